"""What the matrix counted, as the table of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Row: TypeAlias = Mapping[str, object]

NAME: Final = "kill"
"""The property of a test's report that holds its row."""
COLUMNS: Final = {
    "point": "point",
    "fault": "fault",
    "episodes": "episodes",
    "open runs": "runs open at the fault",
    "acknowledged": "acknowledged responses",
    "events heard": "events heard",
    "unsafe calls": "unsafe calls",
    "calls cut": "of them cut",
    "acknowledged data lost": "lost",
    "run twice": "run twice",
    "not terminal": "not terminal",
    "stream not legal": "illegal streams",
    "otherwise wrong": "other",
}


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown, with the sums in the last line."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---|---|" + "--:|" * (len(COLUMNS) - 2)]
    total = {name: sum(int(str(row.get(name, 0))) for row in rows) for name in list(COLUMNS)[2:]}
    every = (*rows, {"point": "all", "fault": "", **total})
    return [*lines, *("| " + " | ".join(str(row.get(name, 0)) for name in COLUMNS) + " |" for row in every)]
