"""In the long mode the table is printed at the end."""

from __future__ import annotations

from typing import cast

import pytest

from tests.kill.ingesting import Point as Moment
from tests.kill.points import POINTS, Fault, Point
from tests.kill.table import INGESTION, INGESTION_COLUMNS, NAME, Row, table
from tests.long import LONG


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not LONG:
        return
    if found := _rows(terminalreporter, INGESTION):
        found.sort(key=lambda row: [moment.value for moment in Moment].index(str(row["point"])))
        terminalreporter.section("kill matrix of ingestion")
        for line in table(found, INGESTION_COLUMNS):
            terminalreporter.write_line(line)
    if found := _rows(terminalreporter, NAME):
        order = {(point.name, fault.value): place for place, (point, fault) in enumerate(_cells())}
        found.sort(key=lambda row: order[str(row["point"]), str(row["fault"])])
        terminalreporter.section("kill matrix")
        for line in table(found):
            terminalreporter.write_line(line)


def _rows(terminalreporter: pytest.TerminalReporter, wanted: str) -> list[Row]:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    return [cast("Row", value) for one in reports for name, value in one.user_properties if name == wanted]


def _cells() -> list[tuple[Point, Fault]]:
    return [(point, fault) for point in POINTS for fault in Fault]
