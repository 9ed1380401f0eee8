"""Stored chat completions in the SQLite database. Functions of a connection; those that change anything are run by the
writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from antiphon.adapters.sql.press import Press, unpressed
from antiphon.adapters.sql.window import cut, window
from antiphon.ports.completions import StoredCompletion
from antiphon.ports.store import PageQuery
from antiphon.wire.codec import encode

_COLUMNS: Final = "id, created, model, metadata, body, messages, expires_at"
_METADATA: Final = msgspec.json.Decoder(dict[str, str])


def save(db: sqlite3.Connection, project_id: int, completion: StoredCompletion, press: Press) -> None:
    """Store it."""
    db.execute(
        f"INSERT INTO chat_completion (project_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # ours
        (
            project_id,
            completion.id,
            completion.created,
            completion.model,
            encode(completion.metadata).decode(),
            press(completion.body),
            press(completion.messages),
            completion.expires_at,
        ),
    )


def completion(db: sqlite3.Connection, project_id: int, completion_id: str) -> StoredCompletion | None:
    """The stored one."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM chat_completion WHERE project_id = ? AND id = ?",  # noqa: S608  # ours
        (project_id, completion_id),
    ).fetchone()
    return None if row is None else _read(row)


class Wanted(msgspec.Struct, frozen=True):
    """A list: of this model (None: of any) and with all these metadata."""

    model: str | None
    metadata: Mapping[str, str]


def page(
    db: sqlite3.Connection, project_id: int, query: PageQuery, wanted: Wanted
) -> tuple[tuple[StoredCompletion, ...], bool]:
    """A page, and whether there are more."""

    def place(completion_id: str) -> int | None:
        row = db.execute(
            "SELECT key FROM chat_completion WHERE project_id = ? AND id = ?", (project_id, completion_id)
        ).fetchone()
        return None if row is None else row[0]

    part = window(query, place)
    rows = db.execute(
        f"""SELECT {_COLUMNS} FROM chat_completion WHERE project_id = :project AND key > :low AND key < :high
        AND coalesce(model = :model, 1) AND NOT EXISTS (
            SELECT 1 FROM json_each(:metadata) AS asked WHERE NOT EXISTS (
                SELECT 1 FROM json_each(chat_completion.metadata) AS own
                WHERE own.key = asked.key AND own.value = asked.value
            )
        ) ORDER BY key {part.direction} LIMIT :limit""",  # noqa: S608  # ours, and one of two words
        {
            "project": project_id,
            "low": part.low,
            "high": part.high,
            "model": wanted.model,
            "metadata": encode(wanted.metadata).decode(),
            "limit": query.limit + 1,
        },
    ).fetchall()
    found, more = cut(rows, query.limit, part)
    return tuple([_read(row) for row in found]), more


def update(
    db: sqlite3.Connection, project_id: int, completion_id: str, metadata: Mapping[str, str]
) -> StoredCompletion | None:
    """Replace the metadata."""
    db.execute(
        "UPDATE chat_completion SET metadata = ? WHERE project_id = ? AND id = ?",
        (encode(metadata).decode(), project_id, completion_id),
    )
    return completion(db, project_id, completion_id)


def delete(db: sqlite3.Connection, project_id: int, completion_id: str) -> bool:
    """Delete it."""
    gone = db.execute("DELETE FROM chat_completion WHERE project_id = ? AND id = ?", (project_id, completion_id))
    return gone.rowcount > 0


def _read(row: tuple[Any, ...]) -> StoredCompletion:
    own, created, model, metadata, body, messages, expires_at = row
    return StoredCompletion(
        id=own,
        created=created,
        model=model,
        metadata=_METADATA.decode(metadata),
        body=unpressed(body),
        messages=unpressed(messages),
        expires_at=expires_at,
    )
