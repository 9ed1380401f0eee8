"""Batches of files in the SQLite database. Functions of a connection; those that change anything are run by the
writer."""

from __future__ import annotations

import sqlite3

from antiphon.core.standing import batch_as, counted
from antiphon.core.status import FILE_BATCH, VECTOR_STORE_FILE, final, moved
from antiphon.wire.vector_stores import FileBatch


def key(db: sqlite3.Connection, project_id: int, store: int, batch_id: str) -> int | None:
    """The batch's key, in the store of this key."""
    row = db.execute(
        "SELECT key FROM file_batch WHERE project_id = ? AND id = ? AND store_id = ?", (project_id, batch_id, store)
    ).fetchone()
    return None if row is None else row[0]


def batch(db: sqlite3.Connection, project_id: int, store_id: str, batch_id: str) -> FileBatch | None:
    """The batch as it stands."""
    row = db.execute(
        """SELECT file_batch.key, created_at, file_batch.cancelled FROM vector_store JOIN file_batch
        ON file_batch.project_id = vector_store.project_id AND store_id = vector_store.key
        WHERE vector_store.project_id = ? AND vector_store.id = ? AND deleted = 0 AND file_batch.id = ?""",
        (project_id, store_id, batch_id),
    ).fetchone()
    if row is None:
        return None
    own, created_at, cancelled = row
    found: list[tuple[str, int]] = db.execute(
        """SELECT status, count(*) FROM file_batch_member
        CROSS JOIN vector_store_file AS member ON member.key = member_id
        WHERE file_batch_member.project_id = ? AND batch_id = ? GROUP BY status""",
        (project_id, own),
    ).fetchall()
    given = FileBatch(id=batch_id, created_at=created_at, vector_store_id=store_id)
    return batch_as(given, counted(dict(found)), cancelled=bool(cancelled))


def cancel(db: sqlite3.Connection, project_id: int, store_id: str, batch_id: str) -> FileBatch | None:
    """Cancel what of it has not ended."""
    found = batch(db, project_id, store_id, batch_id)
    if found is None or final(FILE_BATCH, found.status):
        return found
    db.execute(
        """UPDATE vector_store_file SET status = ?, owner = NULL, until = 0 WHERE status = 'in_progress' AND key IN (
            SELECT member_id FROM file_batch JOIN file_batch_member
            ON file_batch_member.project_id = file_batch.project_id AND batch_id = file_batch.key
            WHERE file_batch.project_id = ? AND file_batch.id = ?
        )""",
        (moved(VECTOR_STORE_FILE, "in_progress", "cancelled"), project_id, batch_id),
    )
    db.execute(
        "UPDATE file_batch SET cancelled = 1 WHERE project_id = ? AND id = ?",
        (project_id, batch_id),
    )
    return batch(db, project_id, store_id, batch_id)
