"""Files in the SQLite database: rows, no bytes. Functions of a connection; those that change anything are run by the
writer. A file whose time has passed is no more, whether or not its row has been collected."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.adapters.sql.window import cut, window
from antiphon.ports.files import StoredFile
from antiphon.ports.store import PageQuery
from antiphon.wire.codec import encode
from antiphon.wire.files import File

_FILE: Final = msgspec.json.Decoder(File)
_LIVE: Final = "(expires_at IS NULL OR expires_at > :now)"


def save(db: sqlite3.Connection, project_id: int, stored: StoredFile) -> None:
    """Store a new file."""
    file = stored.file
    db.execute(
        "INSERT INTO file (project_id, id, purpose, expires_at, media, body) VALUES (?, ?, ?, ?, ?, ?)",
        (project_id, file.id, file.purpose, file.expires_at, stored.media, encode(file).decode()),
    )


def files(db: sqlite3.Connection, project_id: int, file_ids: Sequence[str], now: float) -> dict[str, StoredFile]:
    """Those of these files that exist."""
    found = db.execute(
        f"""SELECT DISTINCT file.id, body, media FROM json_each(:ids) AS asked
        CROSS JOIN file ON file.project_id = :project AND file.id = asked.value WHERE {_LIVE}""",  # noqa: S608  # ours
        {"ids": encode(file_ids).decode(), "project": project_id, "now": now},
    )
    return {own: StoredFile(file=_FILE.decode(body), media=media) for own, body, media in found}


def page(
    db: sqlite3.Connection, project_id: int, query: PageQuery, purpose: str | None, now: float
) -> tuple[tuple[File, ...], bool]:
    """A page of the files, and whether there are more."""

    def place(file_id: str) -> int | None:
        row = db.execute(
            f"SELECT key FROM file WHERE project_id = :project AND id = :id AND {_LIVE}",  # noqa: S608  # ours
            {"project": project_id, "id": file_id, "now": now},
        ).fetchone()
        return None if row is None else row[0]

    part = window(query, place)
    which = "" if purpose is None else "AND purpose = :purpose"
    rows = db.execute(
        f"""SELECT body FROM file WHERE project_id = :project {which} AND key > :low AND key < :high AND {_LIVE}
        ORDER BY key {part.direction} LIMIT :limit""",  # noqa: S608  # ours, and one of two words
        {
            "project": project_id,
            "purpose": purpose,
            "low": part.low,
            "high": part.high,
            "now": now,
            "limit": query.limit + 1,
        },
    ).fetchall()
    found, more = cut(rows, query.limit, part)
    return tuple([_FILE.decode(body) for (body,) in found]), more


def delete(db: sqlite3.Connection, project_id: int, file_id: str) -> bool:
    """Delete the row and its memberships."""
    row = db.execute("SELECT key FROM file WHERE project_id = ? AND id = ?", (project_id, file_id)).fetchone()
    if row is None:
        return False
    drop(db, project_id, row[0])
    return True


def drop(db: sqlite3.Connection, project_id: int, key: int) -> int:
    """Delete the row of this key and its memberships; how many rows."""
    where = (project_id, key)
    left = db.execute("DELETE FROM vector_store_file WHERE project_id = ? AND file_id = ?", where).rowcount
    return left + db.execute("DELETE FROM file WHERE project_id = ? AND key = ?", where).rowcount
