"""Lines of context in a SQLite file of their own in the data folder, which is made when the first one is wanted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from antiphon.adapters.sql.database import Database, Layout
from antiphon.ports.clock import Clock

NAME: Final = "contexts.db"
MOST: Final = 200_000
"""Lines that are kept, of all projects; some 50 MB."""
_AT_ONCE: Final = 500

STEPS: Final = (
    (
        "CREATE TABLE project (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL)",
        """CREATE TABLE line (
            project_id INTEGER NOT NULL,
            key BLOB NOT NULL,
            line TEXT NOT NULL,
            place INTEGER PRIMARY KEY AUTOINCREMENT
        )""",
        "CREATE UNIQUE INDEX line_by_key ON line (project_id, key)",
    ),
)


class SqliteLines:
    """The port over one file."""

    def __init__(self, clock: Clock, folder: Path, *, most: int = MOST, patience: float = 5.0) -> None:
        self._database = Database(clock, folder / NAME, patience, Layout(STEPS))
        self._opening = asyncio.Lock()
        self._open = False
        self._most = most

    async def known(self, project: str, keys: Sequence[bytes], /) -> dict[bytes, str]:
        """The lines of those keys that have one."""
        database = await self._opened()
        found: dict[bytes, str] = {}
        for at in range(0, len(keys), _AT_ONCE):
            some = list(keys[at : at + _AT_ONCE])
            found.update(await database.read(project, lambda db, project_id, some=some: _known(db, project_id, some)))
        return found

    async def keep(self, project: str, key: bytes, line: str, /) -> None:
        """Keep a line; the oldest goes when there are too many."""
        database = await self._opened()
        await database.write(project, lambda db, project_id: self._keep(db, project_id, key, line))

    async def close(self) -> None:
        """Close the file."""
        async with self._opening:
            if self._open:
                self._open = False
                await self._database.close()

    async def _opened(self) -> Database:
        async with self._opening:
            if not self._open:
                await self._database.open()
                self._open = True
        return self._database

    def _keep(self, db: sqlite3.Connection, project_id: int, key: bytes, line: str) -> None:
        sql = "INSERT OR REPLACE INTO line (project_id, key, line) VALUES (?, ?, ?)"
        place = db.execute(sql, (project_id, key, line)).lastrowid or 0
        db.execute("DELETE FROM line WHERE place <= ?", (place - self._most,))


def _known(db: sqlite3.Connection, project_id: int, keys: Sequence[bytes]) -> dict[bytes, str]:
    marks = ",".join("?" * len(keys))
    sql = f"SELECT key, line FROM line WHERE project_id = ? AND key IN ({marks})"  # noqa: S608  # only marks
    rows: list[tuple[bytes, str]] = db.execute(sql, (project_id, *keys)).fetchall()
    return dict(rows)
