"""What is deleted from `index.db`.

Law: what is removed is first made unfindable in one short transaction, then deleted in pieces, so that nobody waits
long for the writer. A process that dies in between leaves documents in state `REMOVED`; the next one that removes or
lists documents deletes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np

from antiphon.adapters.indexing.arrays import Booleans
from antiphon.adapters.indexing.postings import BITS, PART, without
from antiphon.adapters.indexing.segments import Segment
from antiphon.adapters.indexing.writes import REMOVED
from antiphon.core.chunking import searched
from antiphon.core.terms import counted

_STEP: Final = 16
"""Segments, or documents without any, that one transaction deletes."""

_Row: TypeAlias = tuple[int, int, int, bytes]
"""A segment: key, slot, count, passage."""


def remove(db: sqlite3.Connection, project_id: int, store_id: str, ids: Sequence[str] | None) -> None:
    """Let these documents, or all, be found no more."""
    listed = None if ids is None else msgspec.json.encode(ids).decode()
    changed = db.execute(
        "UPDATE document SET state = ? WHERE project_id = ? AND state < 2"
        " AND store_id = (SELECT key FROM store WHERE project_id = ? AND id = ?)"
        " AND (? IS NULL OR id IN (SELECT value FROM json_each(?)))",
        (REMOVED, project_id, project_id, store_id, listed, listed),
    )
    if changed.rowcount:
        db.execute(
            "UPDATE store SET version = version + 1, removed = version + 1 WHERE project_id = ? AND id = ?",
            (project_id, store_id),
        )


def purge(db: sqlite3.Connection) -> bool:
    """Delete a piece of what was removed, of any project; whether there may be more."""
    found: tuple[int, int] | None = db.execute(
        "SELECT project_id, store_id FROM document WHERE state = 2 LIMIT 1"
    ).fetchone()
    if found is None:
        return False
    alive = db.execute("SELECT 1 FROM document WHERE project_id = ? AND store_id = ? AND state < 2 LIMIT 1", found)
    if alive.fetchone() is None:  # of a whole store no posting is worth looking at
        _purge_store(db, *found)
    else:
        _purge_documents(db, *found)
    return True


def _purge_store(db: sqlite3.Connection, project_id: int, store: int) -> None:
    own = (project_id, store)
    part = db.execute("SELECT part FROM posting WHERE project_id = ? AND store_id = ? LIMIT 1", own).fetchone()
    if part is not None:
        db.execute("DELETE FROM posting WHERE project_id = ? AND store_id = ? AND part = ?", (*own, *part))
        return
    rows: list[tuple[int]] = db.execute(
        "SELECT key FROM segment WHERE project_id = ? AND store_id = ? LIMIT ?", (*own, 16 * _STEP)
    ).fetchall()
    if rows:
        _delete(db, project_id, [key for (key,) in rows])
        return
    db.execute("DELETE FROM document WHERE project_id = ? AND store_id = ?", own)
    db.execute("DELETE FROM graph WHERE project_id = ? AND store_id = ?", own)
    db.execute("DELETE FROM store WHERE project_id = ? AND key = ?", own)


def _purge_documents(db: sqlite3.Connection, project_id: int, store: int) -> None:
    documents = db.execute(
        "SELECT key FROM document WHERE project_id = ? AND store_id = ? AND state = 2 LIMIT ?",
        (project_id, store, _STEP),
    )
    listed = msgspec.json.encode([key for (key,) in documents]).decode()
    rows: list[_Row] = db.execute(
        "SELECT segment.key, slot, count, passage.body FROM json_each(?) CROSS JOIN segment CROSS JOIN passage"
        " WHERE segment.project_id = ? AND document_id = json_each.value AND segment_id = segment.key LIMIT ?",
        (listed, project_id, _STEP),
    ).fetchall()
    _strike(db, (project_id, store), rows)
    _delete(db, project_id, [key for key, *_ in rows])
    if len(rows) < _STEP:
        db.execute(
            "DELETE FROM document WHERE project_id = ? AND key IN (SELECT value FROM json_each(?))",
            (project_id, listed),
        )


def _strike(db: sqlite3.Connection, owner: tuple[int, int], rows: Sequence[_Row]) -> None:
    """Delete the postings of segments."""
    gone: dict[int, Booleans] = {}
    touched: set[tuple[int, str]] = set()
    for _, first, count, body in rows:
        for slot, chunk in zip(range(first, first + count), Segment(body, 0).chunks(), strict=True):
            part = slot >> BITS
            gone.setdefault(part, np.zeros(PART, np.bool_))[slot % PART] = True
            touched.update((part, term) for term in counted(searched(chunk)))
    place = "project_id = ? AND store_id = ? AND part = ? AND term = ?"
    for part, term in sorted(touched):
        key = (*owner, part, term)
        found = db.execute(f"SELECT body FROM posting WHERE {place}", key).fetchone()  # noqa: S608 - ours
        if found is None:
            continue
        if body := without(found[0], gone[part]):
            db.execute(f"UPDATE posting SET body = ? WHERE {place}", (body, *key))  # noqa: S608 - ours
        else:
            db.execute(f"DELETE FROM posting WHERE {place}", key)  # noqa: S608 - ours


def _delete(db: sqlite3.Connection, project_id: int, keys: Sequence[int]) -> None:
    """Delete segments with their texts and vectors."""
    listed = msgspec.json.encode(keys).decode()
    for table, column in (("passage", "segment_id"), ("vector", "segment_id"), ("segment", "key")):
        db.execute(
            f"DELETE FROM {table} WHERE project_id = ? AND {column} IN (SELECT value FROM json_each(?))",  # noqa: S608
            (project_id, listed),
        )
