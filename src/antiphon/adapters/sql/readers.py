"""Connections that read: one on the event loop for point lookups, a few in threads for everything longer."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from antiphon.adapters.sql.connection import blocked, reader, refused
from antiphon.wire.errors import StoreError

T = TypeVar("T")
Query: TypeAlias = Callable[[sqlite3.Connection], T]

_THREADS: Final = 2


class Readers:
    """Every read sees all that was committed before it began."""

    def __init__(self, path: Path, patience: float) -> None:
        """Opens the connections; `patience`: seconds to wait where SQLite needs a moment alone."""
        self._near = reader(path, 0.0)
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(_THREADS):
            self._free.put(reader(path, patience))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")
        self._closed = False

    async def point(self, query: Query[T]) -> T:
        """Run a query of some ten microseconds right here, or in a thread when the database is taken for a moment."""
        self._check()
        try:
            return query(self._near)
        except sqlite3.Error as error:
            if not blocked(error):
                raise refused(error) from error
        return await self.far(query)

    async def far(self, query: Query[T]) -> T:
        """Run a query of any length in a thread; all its statements see one state."""
        self._check()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    def close(self) -> None:
        """Wait for running queries, then close the connections."""
        if self._closed:
            return
        self._closed = True
        self._threads.shutdown(wait=True)
        for _ in range(_THREADS):
            self._free.get().close()
        self._near.close()

    def _check(self) -> None:
        if self._closed:
            raise StoreError("The store is closed.")

    def _run(self, query: Query[T]) -> T:
        db = self._free.get()
        try:
            db.execute("BEGIN")
            return query(db)
        except sqlite3.Error as error:
            raise refused(error) from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._free.put(db)
