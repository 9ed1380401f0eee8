"""The writer thread: what waits is one transaction, and who fails, fails alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.adapters.sql.connection import writer
from antiphon.adapters.sql.writer import Writer
from antiphon.wire.errors import NotFoundError, StoreError

DEADLINE = 30.0


class Traced:
    """A writer over a table of one column, held until `release`, so that commands gather."""

    def __init__(self, path: Path, *, pages: int = 1_000_000) -> None:
        self.db = writer(path, 1.0)
        self.db.execute("CREATE TABLE note (text UNIQUE)")
        self.db.execute(f"PRAGMA max_page_count = {pages}")
        self.statements: list[str] = []
        self.db.set_trace_callback(self.statements.append)
        self.writer = Writer(path, self.db)
        self._gate = threading.Event()
        self._held = self.writer.submit(lambda _: self._gate.wait(DEADLINE))

    def note(self, text: str, landed: Callable[[None], None] | None = None) -> asyncio.Future[None]:
        return self.writer.submit(lambda db: insert(db, text), landed)

    def release(self) -> None:
        self._gate.set()

    def count(self, statement: str) -> int:
        return self.statements.count(statement)


def insert(db: sqlite3.Connection, text: str) -> None:
    db.execute("INSERT INTO note (text) VALUES (?)", (text,))


def notes(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    found = [text for (text,) in db.execute("SELECT text FROM note ORDER BY rowid")]
    db.close()
    return found


@asynccontextmanager
async def traced(path: Path, *, pages: int = 1_000_000) -> AsyncGenerator[Traced]:
    async with asyncio.timeout(DEADLINE):
        made = Traced(path, pages=pages)
        try:
            yield made
        finally:
            made.release()
            await made.writer.close()


async def test_what_waits_is_one_transaction(tmp_path: Path) -> None:
    async with traced(tmp_path / "db") as made:
        waiting = [made.note(str(at)) for at in range(100)]
        made.release()
        await asyncio.gather(*waiting)
        assert made.count("COMMIT") <= 3  # the gate's, perhaps with some; the rest
    assert notes(tmp_path / "db") == [str(at) for at in range(100)]


async def test_a_command_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    def half(db: sqlite3.Connection) -> None:
        insert(db, "half")
        raise NotFoundError("Not there.")

    async with traced(tmp_path / "db") as made:
        first, half_done, twice, last = (
            made.note("1"),
            made.writer.submit(half),
            made.note("1"),
            made.note("2"),
        )
        made.release()
        found = await asyncio.gather(first, half_done, twice, last, return_exceptions=True)
        assert [type(result) for result in found] == [type(None), NotFoundError, StoreError, type(None)]
    assert notes(tmp_path / "db") == ["1", "2"]


async def test_a_command_that_fills_the_disk_fails_alone(tmp_path: Path) -> None:
    async with traced(tmp_path / "db", pages=60) as made:
        results = [made.note("1"), made.note("x" * 1_000_000), made.note("2")]
        made.release()
        found = await asyncio.gather(*results, return_exceptions=True)
        assert [getattr(result, "message", None) for result in found] == [None, "The store has no space left.", None]
    assert notes(tmp_path / "db") == ["1", "2"]


async def test_a_value_that_cannot_be_stored_is_the_callers_error(tmp_path: Path) -> None:
    async with traced(tmp_path / "db") as made:
        made.release()
        with pytest.raises(UnicodeEncodeError):
            await made.note("\ud800")
        await made.note("1")
    assert notes(tmp_path / "db") == ["1"]


async def test_what_landed_is_noted_before_the_caller_goes_on_and_without_it(tmp_path: Path) -> None:
    landed: list[str] = []
    async with traced(tmp_path / "db") as made:
        gone = made.note("gone", lambda _: landed.append("gone"))
        kept = made.note("kept", lambda _: landed.append("kept"))
        refused = made.note("gone", lambda _: landed.append("refused"))
        gone.cancel()
        made.release()
        await kept
        assert landed == ["gone", "kept"]
        with pytest.raises(StoreError):
            await refused
    assert notes(tmp_path / "db") == ["gone", "kept"]


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    async with traced(tmp_path / "db") as made:
        waiting = [made.note(str(at)) for at in range(10)]
        closing = asyncio.create_task(made.writer.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreError):
            made.note("late")
        made.release()
        await closing
        assert all(future.done() and future.exception() is None for future in waiting)
    assert len(notes(tmp_path / "db")) == 10
