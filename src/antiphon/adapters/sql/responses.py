"""Rows of responses, terminal or not: what saving a turn, queueing a run and deleting either have in common."""

from __future__ import annotations

import sqlite3

import msgspec

from antiphon.adapters.sql import reads
from antiphon.adapters.sql.items import Items
from antiphon.wire.responses import Response


class Link(msgspec.Struct, frozen=True):
    """Where a response stands: the project's deletions as of now, and the key of the response before it (None at a
    chain's start, 0 when that one is gone)."""

    deletions: int
    previous: int | None


def link(db: sqlite3.Connection, project_id: int, previous: str | None) -> Link:
    """The link to the response with the id `previous`."""
    if previous is None:
        return Link(reads.deletions(db, project_id), None)
    deletions, key = db.execute(
        """SELECT deletions, (SELECT key FROM response WHERE project_id = project.id AND id = ?)
        FROM project WHERE id = ?""",
        (previous, project_id),
    ).fetchone()
    return Link(deletions, key or 0)


class Record(msgspec.Struct, frozen=True):
    """A response as its row: its packed `body`, the keys of what it refers to, when it expires."""

    response: Response
    body: str
    previous: int | None
    conversation: int | None
    expires_at: float | None


def insert(db: sqlite3.Connection, project_id: int, record: Record) -> int:
    """The key of the new row."""
    response = record.response
    key = db.execute(
        """INSERT INTO response (project_id, id, created_at, status, model, previous_response_id, conversation_id,
        background, body, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            project_id,
            response.id,
            response.created_at,
            response.status,
            response.model,
            record.previous,
            record.conversation,
            response.background,
            record.body,
            record.expires_at,
        ),
    ).lastrowid
    assert key is not None
    return key


def unlock(db: sqlite3.Connection, conversation: int) -> None:
    """The turn of this conversation is over."""
    db.execute("UPDATE conversation SET lock_owner = NULL, lock_until = NULL WHERE key = ?", (conversation,))


def drop(db: sqlite3.Connection, items: Items, key: int) -> int:
    """Delete the response, its run and its journal; how many rows that took. Count the deletion in the project."""
    where = (items.project, key)
    held = db.execute("SELECT item_id FROM response_item WHERE project_id = ? AND response_id = ?", where).fetchall()
    db.execute("DELETE FROM response_item WHERE project_id = ? AND response_id = ?", where)
    gone = db.execute("DELETE FROM journal WHERE project_id = ? AND response_id = ?", where).rowcount
    end(db, key)
    db.execute("DELETE FROM response WHERE key = ?", (key,))
    db.execute("UPDATE project SET deletions = deletions + 1 WHERE id = ?", (items.project,))
    items.release(db, held)
    return 1 + gone + 2 * len(held)


def end(db: sqlite3.Connection, key: int) -> None:
    """Delete the response's run, if it has one; its journal stays."""
    if db.execute("DELETE FROM run WHERE response_id = ?", (key,)).rowcount:
        db.execute("DELETE FROM run_request WHERE response_id = ?", (key,))
