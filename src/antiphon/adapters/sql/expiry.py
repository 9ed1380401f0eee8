"""What has expired is deleted in parts, each a transaction of some milliseconds, so that nobody waits long.

Functions of a connection, run by the writer. A response whose run has not ended does not expire before that has.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from antiphon.adapters.sql import reads, responses
from antiphon.adapters.sql.items import Items

_ROWS: Final = 500
"""About how many rows one transaction deletes."""


class Gone(msgspec.Struct, frozen=True):
    """The ids of deleted responses, in the order of their deletion, and the project's deletions after the last."""

    ids: tuple[str, ...]
    deletions: int


def expired_responses(db: sqlite3.Connection, items: Items, now: float) -> Gone:
    """Delete some of the project's expired responses; none when there is none left."""
    found = db.execute(
        """SELECT key, id FROM response WHERE project_id = ? AND expires_at <= ?
        AND NOT EXISTS (SELECT 1 FROM run WHERE response_id = key) ORDER BY expires_at LIMIT ?""",
        (items.project, now, _ROWS),
    ).fetchall()
    gone: list[str] = []
    rows = 0
    for key, own in found:
        if rows >= _ROWS:
            break
        rows += responses.drop(db, items, key)
        gone.append(own)
    return Gone(tuple(gone), reads.deletions(db, items.project))


def expired_rest(db: sqlite3.Connection, project_id: int, now: float) -> int:
    """Delete some of the project's other expired rows; how many, 0 when there is none left."""
    where = (project_id, now, _ROWS)
    completions = db.execute(
        """DELETE FROM chat_completion WHERE key IN (
            SELECT key FROM chat_completion WHERE project_id = ? AND expires_at <= ? LIMIT ?
        )""",
        where,
    ).rowcount
    keys = db.execute(
        """DELETE FROM idempotency WHERE rowid IN (
            SELECT rowid FROM idempotency WHERE project_id = ? AND until <= ? LIMIT ?
        )""",
        where,
    ).rowcount
    return completions + keys
