"""What the matrix counted, as the table of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Row: TypeAlias = Mapping[str, object]

NAME: Final = "kill"
"""The property of a test's report that holds its row."""
INGESTION: Final = "kill-ingestion"
"""The same for a row of the ingestion matrix."""
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

INGESTION_COLUMNS: Final = {
    "point": "point",
    "episodes": "episodes",
    "files": "acknowledged files",
    "whole": "struck files whole in the index",
    "kept": "chunks in the index at the fault",
    "again": "of them embedded again",
    "breaches": "otherwise wrong",
}


def table(rows: Sequence[Row], columns: Mapping[str, str] = COLUMNS) -> list[str]:
    """Markdown, with the sums in the last line."""
    words = [name for name in columns if name in {"point", "fault"}]
    lines = [
        "| " + " | ".join(columns.values()) + " |",
        "|" + "---|" * len(words) + "--:|" * (len(columns) - len(words)),
    ]
    total = {name: sum(int(str(row.get(name, 0))) for row in rows) for name in columns if name not in words}
    every = (*rows, {"point": "all", "fault": "", **total})
    return [*lines, *("| " + " | ".join(str(row.get(name, 0)) for name in columns) + " |" for row in every)]
