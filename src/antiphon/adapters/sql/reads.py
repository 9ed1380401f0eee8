"""What is asked of the SQLite database. Functions of a connection; nothing here writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from antiphon.adapters.sql.contexts import Stamp, Turn
from antiphon.adapters.sql.rows import entry, weight
from antiphon.adapters.sql.window import sliced, window
from antiphon.core.effects import Entry
from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.codec import encode
from antiphon.wire.conversations import Conversation
from antiphon.wire.responses import Response, unpack

_METADATA: Final = msgspec.json.Decoder(dict[str, str])


def project(db: sqlite3.Connection, name: str) -> int | None:
    """The project's integer."""
    row = db.execute("SELECT id FROM project WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def deletions(db: sqlite3.Connection, project_id: int) -> int:
    """How many of the project's responses were ever deleted."""
    return db.execute("SELECT deletions FROM project WHERE id = ?", (project_id,)).fetchone()[0]


# responses


def response(db: sqlite3.Connection, project_id: int, response_id: str) -> Response | None:
    """The response with its output."""
    row = db.execute(
        "SELECT key, body FROM response WHERE project_id = ? AND id = ?", (project_id, response_id)
    ).fetchone()
    if row is None:
        return None
    found = db.execute(
        """SELECT item.body FROM response_item JOIN item ON item.key = response_item.item_id
        WHERE response_item.project_id = ? AND response_id = ? AND side = 1 ORDER BY position""",
        (project_id, row[0]),
    )
    return unpack(row[1].encode(), tuple([item for (body,) in found if (item := entry(body, None).item) is not None]))


# parents are older than their children, hence `<`: a damaged link can make no circle
_CHAIN: Final = """
    WITH RECURSIVE walk (depth, key, id, previous) AS (
        SELECT 0, key, id, previous_response_id FROM response WHERE project_id = :project AND id = :id
        UNION ALL
        SELECT walk.depth + 1, response.key, response.id, response.previous_response_id
        FROM walk JOIN response ON response.key = walk.previous
        WHERE response.key < walk.key AND response.project_id = :project
    )
    SELECT walk.depth, walk.id, walk.previous, response_item.side, response_item.position, item.body, item.exchange
    FROM walk
    LEFT JOIN response_item ON response_item.project_id = :project AND response_item.response_id = walk.key
    LEFT JOIN item ON item.key = response_item.item_id
"""


def chain(db: sqlite3.Connection, project_id: int, response_id: str) -> tuple[Turn, ...] | None:
    """The turns that end with this response, oldest first; None when one is missing."""
    found: list[tuple[Any, ...]] = db.execute(_CHAIN, {"project": project_id, "id": response_id}).fetchall()
    found.sort(key=lambda row: (-row[0], row[3] or 0, row[4] or 0))
    if not found or found[0][2] is not None:
        return None
    turns: list[Turn] = []
    for _, group in groupby(found, key=lambda row: row[0]):
        turns.append(_turn(list(group), turns[-1].id if turns else None))
    return tuple(turns)


def _turn(found: list[tuple[Any, ...]], previous: str | None) -> Turn:
    items = [(side, body, exchange) for _, _, _, side, _, body, exchange in found if body is not None]
    return Turn(
        id=found[0][1],
        previous=previous,
        entries=tuple([entry(body, exchange) for _, body, exchange in items]),
        inputs=sum(side == 0 for side, _, _ in items),
        weight=sum(weight(body, exchange) for _, body, exchange in items),
    )


def items(db: sqlite3.Connection, project_id: int, item_ids: Sequence[str]) -> dict[str, Entry]:
    """The items of these ids that exist."""
    found = db.execute(
        "SELECT id, body, exchange FROM item WHERE project_id = ? AND id IN (SELECT value FROM json_each(?))",
        (project_id, encode(list(item_ids)).decode()),
    )
    return {item_id: entry(body, exchange) for item_id, body, exchange in found}


# conversations


def conversation(db: sqlite3.Connection, project_id: int, conversation_id: str) -> Conversation | None:
    """The conversation."""
    row = db.execute(
        "SELECT created_at, metadata FROM conversation WHERE project_id = ? AND id = ?", (project_id, conversation_id)
    ).fetchone()
    if row is None:
        return None
    return Conversation(id=conversation_id, created_at=row[0], metadata=_METADATA.decode(row[1]))


def stamp(db: sqlite3.Connection, project_id: int, conversation_id: str) -> Stamp | None:
    """The state that the conversation is in."""
    row = db.execute(
        "SELECT key, version FROM conversation WHERE project_id = ? AND id = ?", (project_id, conversation_id)
    ).fetchone()
    return None if row is None else Stamp(*row)


def conversation_turn(
    db: sqlite3.Connection, project_id: int, conversation_id: str
) -> tuple[Stamp, tuple[Entry, ...], int] | None:
    """The conversation's state, entries and their weight."""
    state = stamp(db, project_id, conversation_id)
    if state is None:
        return None
    found: list[tuple[str, str | None]] = db.execute(
        """SELECT body, exchange FROM conversation_item JOIN item ON item.key = item_id
        WHERE conversation_item.project_id = ? AND conversation_id = ? ORDER BY position""",
        (project_id, state.key),
    ).fetchall()
    return state, tuple([entry(*row) for row in found]), sum(weight(*row) for row in found)


def conversation_page(db: sqlite3.Connection, project_id: int, conversation_id: str, query: PageQuery) -> Slice | None:
    """A page of the conversation's items."""
    state = stamp(db, project_id, conversation_id)
    if state is None:
        return None
    part = window(query, lambda item_id: _place(db, project_id, state.key, item_id))
    found = db.execute(
        f"""SELECT body FROM conversation_item JOIN item ON item.key = item_id
        WHERE conversation_item.project_id = ? AND conversation_id = ? AND position > ? AND position < ?
        ORDER BY position {"DESC" if part.descending else "ASC"} LIMIT ?""",  # noqa: S608  # one of two words
        (project_id, state.key, part.low, part.high, query.limit + 1),
    )
    return sliced([item for (body,) in found if (item := entry(body, None).item) is not None], query.limit, part)


def _place(db: sqlite3.Connection, project_id: int, conversation: int, item_id: str) -> int | None:
    row = db.execute(
        """SELECT position FROM item JOIN conversation_item ON conversation_item.item_id = item.key
        AND conversation_item.project_id = item.project_id
        WHERE item.project_id = ? AND item.id = ? AND conversation_id = ?""",
        (project_id, item_id, conversation),
    ).fetchone()
    return None if row is None else row[0]


def conversation_entry(db: sqlite3.Connection, project_id: int, conversation_id: str, item_id: str) -> Entry | None:
    """One item of the conversation."""
    row = db.execute(
        """SELECT item.body, item.exchange FROM item
        JOIN conversation_item ON conversation_item.item_id = item.key
            AND conversation_item.project_id = item.project_id
        JOIN conversation ON conversation.key = conversation_id
        WHERE item.project_id = ? AND item.id = ? AND conversation.id = ? AND conversation.project_id = ?""",
        (project_id, item_id, conversation_id, project_id),
    ).fetchone()
    return None if row is None else entry(*row)
