"""Prompts in the SQLite database: a row for each, and one for each of its versions. Functions of a connection; those
that change anything are run by the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import structs

from antiphon.adapters.sql.window import cut, window
from antiphon.ports.store import PageQuery
from antiphon.wire.codec import encode
from antiphon.wire.prompts import PromptVersion

_VERSION: Final = msgspec.json.Decoder(PromptVersion)


class _Head(msgspec.Struct, frozen=True):
    """A prompt: its row's key, its newest version, the one that is the default."""

    key: int
    newest: int
    default: int


_HEAD: Final = """
    SELECT key, newest, coalesce(default_version, newest) FROM (
        SELECT key, default_version, (
            SELECT max(version) FROM prompt_version WHERE prompt_version.project_id = prompt.project_id
            AND prompt_id = key
        ) AS newest FROM prompt WHERE project_id = ? AND {}
    )
"""


def save(db: sqlite3.Connection, project_id: int, prompt: PromptVersion) -> PromptVersion | None:
    """Store the first version, or the next one; None when there is no prompt that this could be the next one of."""
    head = _head(db, project_id, prompt.id)
    if head is None:
        if prompt.version != "1":
            return None
        key = db.execute("INSERT INTO prompt (project_id, id) VALUES (?, ?)", (project_id, prompt.id)).lastrowid
        assert key is not None
        head = _Head(key, 0, 0)
    stored = structs.replace(prompt, version=str(head.newest + 1), is_default=False)
    db.execute(
        "INSERT INTO prompt_version (project_id, prompt_id, version, body) VALUES (?, ?, ?, ?)",
        (project_id, head.key, head.newest + 1, encode(stored).decode()),
    )
    return version(db, project_id, prompt.id, stored.version)


def version(db: sqlite3.Connection, project_id: int, prompt_id: str, wanted: str | None) -> PromptVersion | None:
    """That version, or the default one."""
    head = _head(db, project_id, prompt_id)
    if head is None:
        return None
    if wanted is None:
        return _read(db, project_id, head, head.default)
    return _read(db, project_id, head, int(wanted)) if numbered(wanted) else None


def numbered(text: str) -> bool:
    """Whether this could be the number of a version."""
    return text.isascii() and text.isdigit() and len(text) < 16 and str(int(text)) == text


def versions(db: sqlite3.Connection, project_id: int, prompt_id: str) -> tuple[PromptVersion, ...]:
    """All versions, oldest first."""
    head = _head(db, project_id, prompt_id)
    if head is None:
        return ()
    found = db.execute(
        "SELECT version, body FROM prompt_version WHERE project_id = ? AND prompt_id = ? ORDER BY version",
        (project_id, head.key),
    )
    return tuple([_decoded(body, default=at == head.default) for at, body in found])


def page(db: sqlite3.Connection, project_id: int, query: PageQuery) -> tuple[tuple[PromptVersion, ...], bool]:
    """A page of prompts in their default versions, and whether there are more."""

    def place(prompt_id: str) -> int | None:
        head = _head(db, project_id, prompt_id)
        return None if head is None else head.key

    part = window(query, place)
    heads = db.execute(
        _HEAD.format(f"key > ? AND key < ? ORDER BY key {part.direction} LIMIT ?"),
        (project_id, part.low, part.high, query.limit + 1),
    ).fetchall()
    found, more = cut(heads, query.limit, part)
    prompts = [_read(db, project_id, head, head.default) for head in (_Head(*row) for row in found)]
    return tuple([prompt for prompt in prompts if prompt is not None]), more


def set_default(db: sqlite3.Connection, project_id: int, prompt_id: str, wanted: str) -> PromptVersion | None:
    """Make this version the default; None when it does not exist."""
    if version(db, project_id, prompt_id, wanted) is None:
        return None
    db.execute(
        "UPDATE prompt SET default_version = ? WHERE project_id = ? AND id = ?", (int(wanted), project_id, prompt_id)
    )
    return version(db, project_id, prompt_id, wanted)


def delete(db: sqlite3.Connection, project_id: int, prompt_id: str) -> bool:
    """Delete all versions."""
    head = _head(db, project_id, prompt_id)
    if head is None:
        return False
    db.execute("DELETE FROM prompt_version WHERE project_id = ? AND prompt_id = ?", (project_id, head.key))
    db.execute("DELETE FROM prompt WHERE key = ?", (head.key,))
    return True


def _head(db: sqlite3.Connection, project_id: int, prompt_id: str) -> _Head | None:
    row: Sequence[int] | None = db.execute(_HEAD.format("id = ?"), (project_id, prompt_id)).fetchone()
    return None if row is None else _Head(*row)


def _read(db: sqlite3.Connection, project_id: int, head: _Head, number: int) -> PromptVersion | None:
    row = db.execute(
        "SELECT body FROM prompt_version WHERE project_id = ? AND prompt_id = ? AND version = ?",
        (project_id, head.key, number),
    ).fetchone()
    return None if row is None else _decoded(row[0], default=number == head.default)


def _decoded(body: str, *, default: bool) -> PromptVersion:
    return structs.replace(_VERSION.decode(body), is_default=default)
