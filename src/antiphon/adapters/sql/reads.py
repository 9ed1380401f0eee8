"""What is asked of the SQLite database. Functions of a connection; nothing here writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from antiphon.adapters.sql.contexts import Stamp, Turn
from antiphon.adapters.sql.rows import entry, weight
from antiphon.adapters.sql.window import cut, sliced, window
from antiphon.core.effects import Entry
from antiphon.core.status import RESPONSE, final
from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.codec import encode
from antiphon.wire.conversations import Conversation
from antiphon.wire.items import Item
from antiphon.wire.responses import Response, ResponseStatus, unpack

_METADATA: Final = msgspec.json.Decoder(dict[str, str])


def project(db: sqlite3.Connection, name: str) -> int | None:
    """The project's integer."""
    row = db.execute("SELECT id FROM project WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def projects(db: sqlite3.Connection) -> list[int]:
    """The integers of all projects."""
    return [own for (own,) in db.execute("SELECT id FROM project").fetchall()]


def deletions(db: sqlite3.Connection, project_id: int) -> int:
    """How many of the project's responses were ever deleted."""
    return db.execute("SELECT deletions FROM project WHERE id = ?", (project_id,)).fetchone()[0]


# responses


def response(db: sqlite3.Connection, project_id: int, response_id: str) -> Response | None:
    """The response with its output, so far as it is finished."""
    row = db.execute(
        "SELECT key, status, body FROM response WHERE project_id = ? AND id = ?", (project_id, response_id)
    ).fetchone()
    return None if row is None else _response(db, project_id, *row)


def status(db: sqlite3.Connection, project_id: int, response_id: str) -> ResponseStatus | None:
    """How the response stands."""
    found = db.execute("SELECT status FROM response WHERE project_id = ? AND id = ?", (project_id, response_id))
    row = found.fetchone()
    return None if row is None else row[0]


def _response(db: sqlite3.Connection, project_id: int, key: int, status: str, body: str) -> Response:
    found = db.execute(
        """SELECT item.body FROM response_item JOIN item ON item.key = response_item.item_id
        WHERE response_item.project_id = ? AND response_id = ? AND side = 1 ORDER BY position""",
        (project_id, key),
    )
    return unpacked(body, status, tuple([item for (text,) in found if (item := entry(text, None).item) is not None]))


def unpacked(body: str, status: str, output: tuple[Item, ...]) -> Response:
    """The response of a row; `body` does not know that its run has begun."""
    found = unpack(body.encode(), output)
    return found if found.status == status else msgspec.structs.replace(found, status=cast("ResponseStatus", status))


def response_page(db: sqlite3.Connection, project_id: int, query: PageQuery) -> tuple[tuple[Response, ...], bool]:
    """A page of responses, and whether there are more."""

    def key_of(response_id: str) -> int | None:
        row = db.execute("SELECT key FROM response WHERE project_id = ? AND id = ?", (project_id, response_id))
        found = row.fetchone()
        return None if found is None else found[0]

    part = window(query, key_of)
    rows = db.execute(
        f"""SELECT key, status, body FROM response WHERE project_id = ? AND key > ? AND key < ?
        ORDER BY key {part.direction} LIMIT ?""",  # noqa: S608  # one of two words
        (project_id, part.low, part.high, query.limit + 1),
    ).fetchall()
    found, more = cut(rows, query.limit, part)
    return tuple([_response(db, project_id, *row) for row in found]), more


def sides(db: sqlite3.Connection, project_id: int, key: int) -> tuple[tuple[Entry, ...], tuple[tuple[int, Entry], ...]]:
    """The response's input, and its output by position."""
    found = db.execute(
        """SELECT side, position, body, exchange FROM response_item JOIN item ON item.key = item_id
        WHERE response_item.project_id = ? AND response_id = ? ORDER BY side, position""",
        (project_id, key),
    ).fetchall()
    given = [entry(body, exchange) for side, _, body, exchange in found if side == 0]
    made = [(position, entry(body, exchange)) for side, position, body, exchange in found if side == 1]
    return tuple(given), tuple(made)


# parents are older than their children, hence `<`: a damaged link can make no circle
_CHAIN: Final = """
    WITH RECURSIVE walk (depth, key, id, previous, status) AS (
        SELECT 0, key, id, previous_response_id, status FROM response WHERE project_id = :project AND id = :id
        UNION ALL
        SELECT walk.depth + 1, response.key, response.id, response.previous_response_id, response.status
        FROM walk JOIN response ON response.key = walk.previous
        WHERE response.key < walk.key AND response.project_id = :project
    )
    SELECT walk.depth, walk.id, walk.previous, walk.status, side, position, item.body, item.exchange
    FROM walk
    LEFT JOIN response_item ON response_item.project_id = :project AND response_item.response_id = walk.key
    LEFT JOIN item ON item.key = response_item.item_id
"""


class Chain(msgspec.Struct, frozen=True):
    """Turns, oldest first; `done` unless the last one's response is not terminal."""

    turns: tuple[Turn, ...]
    done: bool


def chain(db: sqlite3.Connection, project_id: int, response_id: str) -> Chain | None:
    """The turns that end with this response; None when one is missing, or a former one is not terminal."""
    found: list[tuple[Any, ...]] = db.execute(_CHAIN, {"project": project_id, "id": response_id}).fetchall()
    found.sort(key=lambda row: (-row[0], row[4] or 0, row[5] or 0))
    if not found or found[0][2] is not None:
        return None
    turns: list[Turn] = []
    done = True
    for _, group in groupby(found, key=lambda row: row[0]):
        rows = list(group)
        if not done:
            return None
        done = final(RESPONSE, rows[0][3])
        turns.append(_turn(rows, turns[-1].id if turns else None))
    return Chain(tuple(turns), done)


def _turn(found: list[tuple[Any, ...]], previous: str | None) -> Turn:
    items = [(side, body, exchange) for _, _, _, _, side, _, body, exchange in found if body is not None]
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
    part = window(query, lambda item_id: place(db, project_id, state.key, item_id))
    found = db.execute(
        f"""SELECT body FROM conversation_item JOIN item ON item.key = item_id
        WHERE conversation_item.project_id = ? AND conversation_id = ? AND position > ? AND position < ?
        ORDER BY position {part.direction} LIMIT ?""",  # noqa: S608  # one of two words
        (project_id, state.key, part.low, part.high, query.limit + 1),
    )
    return sliced([item for (body,) in found if (item := entry(body, None).item) is not None], query.limit, part)


def place(db: sqlite3.Connection, project_id: int, conversation: int, item_id: str) -> int | None:
    """The item's position in the conversation."""
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
