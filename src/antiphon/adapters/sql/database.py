"""The database of a process: its file, the writer and the readers over it, and its projects by name."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from antiphon.adapters.sql import connection, reads
from antiphon.adapters.sql.items import Items
from antiphon.adapters.sql.readers import Query, Readers
from antiphon.adapters.sql.schema import STEPS, migrate
from antiphon.adapters.sql.writer import Command, Writer
from antiphon.ports.clock import Clock
from antiphon.wire.errors import StoreError

T = TypeVar("T")


class Layout(msgspec.Struct, frozen=True):
    """What kind of file it is: the steps of its schema (the first one makes the table `project`), its page size."""

    steps: tuple[tuple[str, ...], ...] = STEPS
    page_size: int = 2048


class _Open(msgspec.Struct, frozen=True):
    writer: Writer
    readers: Readers


class Database:
    """Every method but `open` raises StoreError while it is closed."""

    def __init__(self, clock: Clock, path: Path, patience: float, layout: Layout | None = None) -> None:
        """`patience`: seconds to wait while another process writes."""
        self._clock = clock
        self._path = path
        self._patience = patience
        self._layout = layout or Layout()
        self._projects: dict[str, int] = {}
        self._files: _Open | None = None

    async def open(self) -> None:
        """Open the file, which is made when it is not there, and migrate it."""
        db = await asyncio.to_thread(self._prepared)
        try:
            readers = Readers(self._path, self._patience)
        except sqlite3.Error as error:
            db.close()
            raise connection.refused(error) from error
        self._files = _Open(Writer(self._path, db), readers)

    def _prepared(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # what users say is for the owner only; -wal and -shm follow
            db = connection.writer(self._path, self._patience, self._layout.page_size)
        except sqlite3.Error as error:
            raise connection.refused(error) from error
        except OSError as error:
            raise StoreError(f"The data folder cannot be used: {error.strerror}.") from error
        try:
            migrate(db, self._layout.steps)
        except (sqlite3.Error, StoreError) as error:
            db.close()
            raise connection.refused(error) if isinstance(error, sqlite3.Error) else error from error
        return db

    async def close(self) -> None:
        """Finish what was accepted, then release the file."""
        if self._files is None:
            return
        files, self._files = self._files, None
        await files.writer.close()
        await asyncio.to_thread(files.readers.close)

    # whole database

    async def submit(self, command: Command[T], landed: Callable[[T], None] | None = None) -> T:
        """Run the command in the next transaction; see `Writer.submit`."""
        return await self._opened().writer.submit(command, landed)

    async def point(self, query: Query[T]) -> T:
        """Read some ten microseconds' worth."""
        return await self._opened().readers.point(query)

    async def far(self, query: Query[T]) -> T:
        """Read whatever it takes."""
        return await self._opened().readers.far(query)

    # one project

    async def project(self, name: str) -> int | None:
        """The project's integer; None when nothing was ever written for it."""
        known = self._projects.get(name)
        if known is not None:
            return known
        found = await self.point(lambda db: reads.project(db, name))
        if found is not None:
            self._projects[name] = found
        return found

    async def made(self, name: str) -> int:
        """The project's integer; a project is made when it is first written to."""
        known = await self.project(name)
        if known is not None:
            return known
        now = int(self._clock.now())
        found = self._projects[name] = await self.submit(lambda db: _add(db, name, now))
        return found

    def items(self, project_id: int) -> Items:
        """The project's items, for changes made now."""
        return Items(project_id, self._clock.now(), self._clock.id)

    async def read(self, name: str, query: Callable[[sqlite3.Connection, int], T]) -> T:
        """As `far`, with the project; one that was never written to is 0, which owns nothing."""
        project_id = await self.project(name) or 0
        return await self.far(lambda db: query(db, project_id))

    async def peek(self, name: str, query: Callable[[sqlite3.Connection, int], T]) -> T:
        """As `point`, with the project."""
        project_id = await self.project(name) or 0
        return await self.point(lambda db: query(db, project_id))

    async def write(self, name: str, command: Callable[[sqlite3.Connection, int], T]) -> T:
        """As `submit`, with the project."""
        project_id = await self.made(name)
        return await self.submit(lambda db: command(db, project_id))

    def _opened(self) -> _Open:
        if self._files is None:
            raise StoreError("The store is closed.")
        return self._files


def _add(db: sqlite3.Connection, name: str, now: int) -> int:
    db.execute("INSERT INTO project (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, now))
    found = reads.project(db, name)
    assert found is not None
    return found
