"""The one writer of a process: a thread that takes commands from a queue.

Law: whatever waits is one transaction (group commit, no timer: the next one is what gathered during the last), and a
command is answered when that is on the disk. A command that fails undoes only itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

from antiphon.adapters.sql.connection import refused
from antiphon.ports.runs import FenceError
from antiphon.wire.errors import AntiphonError, StoreError

T = TypeVar("T")
Command: TypeAlias = Callable[[sqlite3.Connection], T]

LOG_LIMIT: Final = 128 * 1024
"""Bytes of write-ahead log above which it is copied into the database."""

_IDLE: Final = 0.5
"""Seconds without a command after which the log is emptied."""

# what a command may raise: SQLite's errors, ours, and those of values that SQLite does not take
_FAILURES: Final = (
    sqlite3.Error,
    AntiphonError,
    FenceError,
    ArithmeticError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)

_logger = logging.getLogger(__name__)


class _Job(Generic[T]):
    __slots__ = ("_answer", "_landed", "command", "error", "result")

    def __init__(self, command: Command[T], answer: asyncio.Future[T], landed: Callable[[T], None] | None) -> None:
        self.command = command
        self.error: BaseException | None = None
        self.result: T | None = None
        self._answer = answer
        self._landed = landed

    def answer(self) -> None:
        """Tell the caller, if it still waits; it goes on in a later turn of the event loop."""
        if self._answer.done():
            return
        if self.error is not None:
            self._answer.set_exception(self.error)
        else:
            self._answer.set_result(self.result)  # pyright: ignore[reportArgumentType]  # T may itself be None

    def land(self) -> None:
        """Note what was committed."""
        if self.error is None and self._landed is not None:
            self._landed(self.result)  # pyright: ignore[reportArgumentType]  # as above


class Writer:
    """Takes commands while it is open. All methods are called on the event loop that made it."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """`db` belongs to the writer from here on; `path` is the database it is connected to."""
        self._db = db
        self._log = path.with_name(path.name + "-wal")
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._closed = False
        self._busy = True
        """Whether there may have been commands since the log was last emptied."""
        self._stuck = False
        """Whether the last copy of the log failed; said once."""
        threading.Thread(target=self._run, name="store-writer", daemon=True).start()

    def submit(self, command: Command[T], landed: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run the command in the next transaction. `landed` is called on the event loop once it is durable, also when
        the caller no longer waits. Raises StoreError when the store is closed or refuses."""
        if self._closed:
            raise StoreError("The store is closed.")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(command, answer, landed))
        return answer

    async def close(self) -> None:
        """Commit what was accepted, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await self._ended.wait()

    # the thread

    def _run(self) -> None:
        try:
            while (batch := self._gather()) is not None:
                try:
                    self._write(batch)
                    logged = self._logged()
                finally:  # whatever happened, nobody waits for ever
                    self._call(_settle, batch)
                if logged > LOG_LIMIT:  # copy it into the database: the next transaction begins it anew
                    self._checkpoint("PASSIVE")
        finally:
            self._db.close()
            self._call(self._end)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(function, *arguments)

    def _gather(self) -> list[_Job[Any]] | None:
        """What waits; waits for the first. None at the end."""
        batch: list[_Job[Any]] = []
        job = self._wait()
        while job is not None:
            batch.append(job)
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)  # the end comes after this batch
            return batch
        return None

    def _wait(self) -> _Job[Any] | None:
        if self._busy:
            try:
                return self._queue.get(timeout=_IDLE)
            except queue.Empty:
                self._empty()
                self._busy = False
        return self._queue.get()

    def _write(self, batch: list[_Job[Any]]) -> None:
        self._busy = True
        for job in batch:
            job.error = StoreError("The store failed.")  # holds until the commit
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            _refuse(batch, error)
            return
        try:
            outcomes = [self._perform(job) for job in batch]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            if len(batch) == 1:
                _refuse(batch, error)
                return
            for job in batch:  # one that fills the disk must not fail the others
                self._write([job])
        else:
            for job, outcome in zip(batch, outcomes, strict=True):
                job.error = outcome

    def _perform(self, job: _Job[Any]) -> BaseException | None:
        """Perform one command; gives its failure, raises when the whole transaction is lost."""
        self._db.execute("SAVEPOINT command")
        try:
            job.result = job.command(self._db)
        except _FAILURES as error:
            if not self._db.in_transaction:
                raise
            self._db.execute("ROLLBACK TO command")
            self._db.execute("RELEASE command")
            return refused(error) if isinstance(error, sqlite3.Error) else error
        self._db.execute("RELEASE command")
        return None

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _logged(self) -> int:
        """Bytes in the write-ahead log."""
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _empty(self) -> None:
        """Nothing happens: leave no log behind, if no reader is in it."""
        self._checkpoint("PASSIVE")
        patience: int = self._db.execute("PRAGMA busy_timeout").fetchone()[0]
        self._db.execute("PRAGMA busy_timeout = 0")
        self._checkpoint("TRUNCATE")
        self._db.execute(f"PRAGMA busy_timeout = {patience}")

    def _checkpoint(self, mode: str) -> None:
        try:
            self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.Error as error:
            # nothing is lost: the log still holds it, and the next command meets the same disk
            if not self._stuck:
                _logger.warning("The log of the database cannot be copied into it: %s", refused(error).message)
            self._stuck = True
        else:
            self._stuck = False

    def _end(self) -> None:
        """The thread has ended; on the event loop."""
        self._closed = True
        self._ended.set()
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    job.error = StoreError("The store is closed.")
                    job.answer()


def _settle(batch: list[_Job[Any]]) -> None:
    for job in batch:
        job.answer()
    for job in batch:
        job.land()


def _refuse(batch: list[_Job[Any]], error: sqlite3.Error) -> None:
    for job in batch:
        job.error = refused(error)
