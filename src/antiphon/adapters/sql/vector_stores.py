"""Vector stores in the SQLite database. Functions of a connection; those that change anything are run by the writer.

A row holds the counts of its files, which triggers keep, so that it costs the same whatever the number of files. A
deleted store is gone at once for every function here and in `members`; what it held is deleted in parts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.sql import members
from antiphon.adapters.sql.members import Joined, Joining
from antiphon.adapters.sql.window import cut, window
from antiphon.core.standing import counted, expired, store_as, updated, used
from antiphon.ports.store import PageQuery
from antiphon.wire.codec import encode
from antiphon.wire.vector_stores import FileCounts, VectorStore

_STORE: Final = msgspec.json.Decoder(VectorStore)
_COLUMNS: Final = "in_progress, completed, failed, cancelled, usage_bytes, body"
_MOST: Final = 500
"""About how many rows one transaction deletes."""
_FRESH: Final = 60
"""Seconds within which a second use of a store is not noted."""


def decoded(body: str) -> VectorStore:
    """The store without what its files say."""
    return _STORE.decode(body)


def _read(row: Sequence[Any], now: float) -> VectorStore:
    in_progress, completed, failed, cancelled, usage_bytes, body = row
    files = {"in_progress": in_progress, "completed": completed, "failed": failed, "cancelled": cancelled}
    return store_as(decoded(body), counted(files), usage_bytes, now)


def _row(db: sqlite3.Connection, project_id: int, store_id: str) -> tuple[int, str] | None:
    """The key and body of the store."""
    return db.execute(
        "SELECT key, body FROM vector_store WHERE project_id = ? AND id = ? AND deleted = 0", (project_id, store_id)
    ).fetchone()


def key(db: sqlite3.Connection, project_id: int, store_id: str) -> int:
    """The store's key; 0, which holds nothing, when there is none."""
    row = _row(db, project_id, store_id)
    return 0 if row is None else row[0]


def _bare(store: VectorStore) -> str:
    """What is kept of it."""
    bare = msgspec.structs.replace(store, file_counts=FileCounts(), usage_bytes=0, status="completed")
    return encode(bare).decode()


def put(db: sqlite3.Connection, key: int, store: VectorStore) -> None:
    """Replace what is kept of the store."""
    db.execute("UPDATE vector_store SET body = ?, expires_at = ? WHERE key = ?", (_bare(store), store.expires_at, key))


def create(db: sqlite3.Connection, project_id: int, store_: VectorStore, joining: Joining) -> VectorStore:
    """Store it with its first files."""
    own = db.execute(
        "INSERT INTO vector_store (project_id, id, expires_at, body) VALUES (?, ?, ?, ?)",
        (project_id, store_.id, store_.expires_at, _bare(store_)),
    ).lastrowid
    assert own is not None
    members.attach(db, project_id, own, joining)
    made = store(db, project_id, store_.id, joining.now)
    assert made is not None
    return made


def store(db: sqlite3.Connection, project_id: int, store_id: str, now: float) -> VectorStore | None:
    """The store as it stands."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM vector_store WHERE project_id = ? AND id = ? AND deleted = 0",  # noqa: S608  # ours
        (project_id, store_id),
    ).fetchone()
    return None if row is None else _read(row, now)


def page(db: sqlite3.Connection, project_id: int, query: PageQuery, now: float) -> tuple[tuple[VectorStore, ...], bool]:
    """A page of stores, and whether there are more."""
    part = window(query, lambda store_id: key(db, project_id, store_id) or None)
    rows = db.execute(
        f"""SELECT {_COLUMNS} FROM vector_store WHERE project_id = ? AND deleted = 0 AND key > ? AND key < ?
        ORDER BY key {part.direction} LIMIT ?""",  # noqa: S608  # ours, and one of two words
        (project_id, part.low, part.high, query.limit + 1),
    ).fetchall()
    found, more = cut(rows, query.limit, part)
    return tuple([_read(row, now) for row in found]), more


def update(db: sqlite3.Connection, project_id: int, given: VectorStore, now: float) -> VectorStore | None:
    """Replace what of it may be changed."""
    row = _row(db, project_id, given.id)
    if row is not None:
        put(db, row[0], updated(decoded(row[1]), given, now))
    return store(db, project_id, given.id, now)


def idle(db: sqlite3.Connection, project_id: int, store_ids: Sequence[str], now: float) -> list[str]:
    """Those of these stores whose use now is to be noted."""
    found = [(own, _row(db, project_id, own)) for own in dict.fromkeys(store_ids)]
    return [own for own, row in found if row is not None and _idle(decoded(row[1]), now)]


def _idle(given: VectorStore, now: float) -> bool:
    last = given.last_active_at
    return not expired(given, now) and (last is None or last + _FRESH <= now)


def touch(db: sqlite3.Connection, project_id: int, store_ids: Sequence[str], now: float) -> None:
    """Note that these stores were used."""
    for own in store_ids:
        row = _row(db, project_id, own)
        if row is not None and _idle(decoded(row[1]), now):
            put(db, row[0], used(decoded(row[1]), now))


def attach(db: sqlite3.Connection, project_id: int, store_id: str, joining: Joining) -> Joined | None:
    """Add files to the store, which was used thereby."""
    row = _row(db, project_id, store_id)
    if row is None:
        return None
    put(db, row[0], used(decoded(row[1]), joining.now))
    return members.attach(db, project_id, row[0], joining)


# expiry and deletion


def overdue(db: sqlite3.Connection, now: float) -> list[tuple[str, str]]:
    """Project and id of stores that have expired and are still indexed."""
    return db.execute(
        """SELECT name, vector_store.id FROM project CROSS JOIN vector_store ON project_id = project.id
        WHERE expires_at <= ? AND emptied = 0 AND deleted = 0 LIMIT ?""",
        (now, _MOST),
    ).fetchall()


def empty(db: sqlite3.Connection, project_id: int, store_id: str) -> list[str]:
    """Note that the store is no longer indexed; its documents."""
    own = key(db, project_id, store_id)
    db.execute("UPDATE vector_store SET emptied = 1 WHERE key = ?", (own,))
    found = db.execute(
        "SELECT document FROM vector_store_file WHERE project_id = ? AND store_id = ? ORDER BY key", (project_id, own)
    )
    return [document for (document,) in found]


def delete(db: sqlite3.Connection, project_id: int, store_id: str) -> bool:
    """Delete the store, and some of what it held; the rest is for `collect`."""
    gone = db.execute(
        "UPDATE vector_store SET deleted = 1 WHERE project_id = ? AND id = ? AND deleted = 0", (project_id, store_id)
    ).rowcount
    if gone:
        collect(db)
    return gone > 0


def doomed(db: sqlite3.Connection) -> tuple[int, int] | None:
    """Key and project of a deleted store, of any project, that still holds something."""
    return db.execute(
        """SELECT key, project_id FROM project CROSS JOIN vector_store ON project_id = project.id
        WHERE deleted = 1 LIMIT 1"""
    ).fetchone()


def collect(db: sqlite3.Connection) -> None:
    """Delete some of what a deleted store held; the store's row comes last."""
    found = doomed(db)
    if found is None:
        return
    own, project_id = found
    where = (project_id, own, _MOST)
    rows = db.execute(
        """DELETE FROM vector_store_file WHERE key IN (
            SELECT key FROM vector_store_file WHERE project_id = ? AND store_id = ? LIMIT ?
        )""",
        where,
    ).rowcount
    if rows < _MOST:
        rows += db.execute(
            """DELETE FROM file_batch WHERE key IN (
                SELECT key FROM file_batch WHERE project_id = ? AND store_id = ? LIMIT ?
            )""",
            where,
        ).rowcount
    if rows < _MOST:
        db.execute("DELETE FROM vector_store WHERE key = ?", (own,))
