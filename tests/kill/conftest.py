"""In the long mode the table is printed at the end."""

from __future__ import annotations

from typing import cast

import pytest

from tests.kill.points import POINTS, Fault, Point
from tests.kill.table import NAME, Row, table
from tests.long import LONG


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    found = [cast("Row", value) for one in reports for name, value in one.user_properties if name == NAME]
    if found and LONG:
        order = {(point.name, fault.value): place for place, (point, fault) in enumerate(_cells())}
        found.sort(key=lambda row: order[str(row["point"]), str(row["fault"])])
        terminalreporter.section("kill matrix")
        for line in table(found):
            terminalreporter.write_line(line)


def _cells() -> list[tuple[Point, Fault]]:
    return [(point, fault) for point in POINTS for fault in Fault]
