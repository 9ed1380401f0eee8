"""How a connection to the SQLite file is opened, and how its errors are told to clients."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from antiphon.wire.errors import StoreError

_CODE: Final = 0xFF
"""The primary code within an extended result code."""

_WORDS: Final = {
    sqlite3.SQLITE_FULL: "The store has no space left.",
    sqlite3.SQLITE_BUSY: "The store is locked by another process.",
    sqlite3.SQLITE_LOCKED: "The store is locked by another process.",
    sqlite3.SQLITE_READONLY: "The store cannot be written to.",
    sqlite3.SQLITE_CANTOPEN: "The store cannot be opened.",
    sqlite3.SQLITE_IOERR: "The store's disk failed.",
    sqlite3.SQLITE_NOTADB: "The store's file is not a database.",
    sqlite3.SQLITE_CORRUPT: "The store's file is damaged.",
    sqlite3.SQLITE_CONSTRAINT: "The store already holds an object with this id.",
    sqlite3.SQLITE_TOOBIG: "The object is too large for the store.",
}
"""SQLite's own messages may name files and columns; clients are told these."""


def code(error: sqlite3.Error) -> int:
    """The primary result code, -1 where the module gives none."""
    found: object = getattr(error, "sqlite_errorcode", None)
    return found & _CODE if isinstance(found, int) else -1


def refused(error: sqlite3.Error) -> StoreError:
    """The error as a client is told it."""
    return StoreError(_WORDS.get(code(error), "The store failed."))


def blocked(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way."""
    return code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def writer(path: Path, patience: float, page_size: int = 2048) -> sqlite3.Connection:
    """A connection that writes, in WAL mode; every commit is on the disk before it returns. `patience`: seconds to wait
    for another process; `page_size` is that of a new file (a response touches six pages or so, and each is written to
    the log whole)."""
    db = _connect(path, patience)
    try:
        db.execute(f"PRAGMA page_size = {page_size}")
        _journal(db, patience)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # the writer does it, after it has answered
        db.execute("PRAGMA journal_size_limit = 0")  # a restarted log is cut to what it holds
    except (sqlite3.Error, StoreError):
        db.close()
        raise
    return db


def reader(path: Path, patience: float) -> sqlite3.Connection:
    """A connection that only reads."""
    db = _connect(path, patience)
    db.execute("PRAGMA query_only = ON")
    return db


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)


def _journal(db: sqlite3.Connection, patience: float) -> None:
    """Switch to WAL. SQLite does not wait for another connection that does the same, so we do."""
    deadline = time.monotonic() + patience
    while True:
        try:
            mode: str = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not blocked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise StoreError("The data folder is on a file system that SQLite's write-ahead log cannot use.")
