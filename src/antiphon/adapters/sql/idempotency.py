"""First answers in the SQLite database. Functions of a connection, run by the writer."""

from __future__ import annotations

import sqlite3
from typing import Final

from antiphon.ports.idempotency import FirstAnswer

_PUT: Final = """INSERT INTO idempotency (project_id, key, digest, status, content_type, body, until)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, key) DO UPDATE
    SET digest = excluded.digest, status = excluded.status, content_type = excluded.content_type,
    body = excluded.body, until = excluded.until"""


def begin(db: sqlite3.Connection, project_id: int, answer: FirstAnswer, now: float) -> FirstAnswer | None:
    """Take the key; what it stands for, if it is taken."""
    row = db.execute(
        """SELECT key, digest, status, content_type, body, until FROM idempotency
        WHERE project_id = ? AND key = ? AND until > ?""",
        (project_id, answer.key, now),
    ).fetchone()
    if row is not None:
        key, digest, status, content_type, body, until = row
        return FirstAnswer(key=key, digest=digest, status=status, content_type=content_type, body=body, until=until)
    db.execute(_PUT, _values(project_id, answer))
    return None


def complete(db: sqlite3.Connection, project_id: int, answer: FirstAnswer) -> None:
    """Keep the answer, unless there is one or another request has the key by now."""
    db.execute(_PUT + " WHERE status = 0 AND digest = excluded.digest", _values(project_id, answer))


def forget(db: sqlite3.Connection, project_id: int, key: str) -> None:
    """Free the key, unless it is answered."""
    db.execute("DELETE FROM idempotency WHERE project_id = ? AND key = ? AND status = 0", (project_id, key))


def _values(project_id: int, answer: FirstAnswer) -> tuple[object, ...]:
    return (
        project_id,
        answer.key,
        answer.digest,
        answer.status,
        answer.content_type,
        answer.body,
        answer.until,
    )
