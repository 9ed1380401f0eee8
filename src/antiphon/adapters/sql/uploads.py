"""Uploads and their parts in the SQLite database, and the collection of what is over. Functions of a connection; those
that change anything are run by the writer."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec
from msgspec import structs

from antiphon.adapters.sql import files
from antiphon.ports.files import Gone, StoredFile, StoredPart, StoredUpload
from antiphon.wire.codec import encode
from antiphon.wire.files import Upload, UploadPart

_UPLOAD: Final = msgspec.json.Decoder(Upload)
_MOST: Final = 500
"""About how many rows one transaction deletes."""
_KEPT: Final = 86_400
"""Seconds that the row of an upload stays after its time."""


def save(db: sqlite3.Connection, project_id: int, stored: StoredUpload) -> None:
    """Store a new upload."""
    upload = stored.upload
    db.execute(
        """INSERT INTO upload (project_id, id, status, expires_at, media, seconds, body)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            project_id,
            upload.id,
            upload.status,
            upload.expires_at,
            stored.media,
            stored.seconds,
            encode(upload).decode(),
        ),
    )


def upload(db: sqlite3.Connection, project_id: int, upload_id: str) -> StoredUpload | None:
    """The upload as it was left."""
    row = db.execute(
        "SELECT body, status, media, seconds FROM upload WHERE project_id = ? AND id = ?", (project_id, upload_id)
    ).fetchone()
    if row is None:
        return None
    body, status, media, seconds = row
    left = structs.replace(_UPLOAD.decode(body), status=status)
    return StoredUpload(upload=left, media=media, seconds=seconds)


def add(db: sqlite3.Connection, project_id: int, stored: StoredPart) -> bool:
    """Add a part to a pending upload."""
    part = stored.part
    return (
        db.execute(
            """INSERT INTO upload_part (project_id, upload_id, id, created_at, bytes)
            SELECT project_id, key, ?, ?, ? FROM upload WHERE project_id = ? AND id = ? AND status = 'pending'""",
            (part.id, part.created_at, stored.bytes, project_id, part.upload_id),
        ).rowcount
        > 0
    )


def parts(db: sqlite3.Connection, project_id: int, upload_id: str) -> list[StoredPart]:
    """Its parts, in the order they came."""
    found = db.execute(
        """SELECT upload_part.id, created_at, bytes FROM upload
        JOIN upload_part ON upload_part.project_id = upload.project_id AND upload_id = upload.key
        WHERE upload.project_id = ? AND upload.id = ? ORDER BY upload_part.key""",
        (project_id, upload_id),
    )
    return [
        StoredPart(part=UploadPart(id=own, created_at=created_at, upload_id=upload_id), bytes=size)
        for own, created_at, size in found
    ]


def end(db: sqlite3.Connection, project_id: int, stored: StoredUpload, file: StoredFile | None) -> bool:
    """Move a pending upload to its end, with the file that it became."""
    upload = stored.upload
    moved = db.execute(
        "UPDATE upload SET status = ?, body = ? WHERE project_id = ? AND id = ? AND status = 'pending'",
        (upload.status, encode(upload).decode(), project_id, upload.id),
    ).rowcount
    if moved and file is not None:
        files.save(db, project_id, file)
    return moved > 0


def expire(db: sqlite3.Connection, now: float) -> list[Gone]:
    """Delete some of what has expired, of all projects: files, then parts; the names of what is gone."""
    return _expired_files(db, now) or _spent_parts(db, now)


def _expired_files(db: sqlite3.Connection, now: float) -> list[Gone]:
    found = db.execute(
        """SELECT project.id, name, key, file.id FROM project CROSS JOIN file ON project_id = project.id
        WHERE expires_at <= ? LIMIT ?""",
        (now, _MOST),
    ).fetchall()
    gone: list[Gone] = []
    rows = 0
    for project_id, project, key, own in found:
        if rows >= _MOST:
            break
        rows += files.drop(db, project_id, key)
        gone.append(Gone(project, own))
    return gone


def _spent_parts(db: sqlite3.Connection, now: float) -> list[Gone]:
    db.execute(
        """UPDATE upload SET status = 'expired' WHERE key IN (
            SELECT key FROM project CROSS JOIN upload ON project_id = project.id
            WHERE status = 'pending' AND expires_at <= ?
        )""",
        (now,),
    )
    over = """FROM project CROSS JOIN upload ON upload.project_id = project.id
        AND upload.status IN ('completed', 'cancelled', 'expired')"""
    found = db.execute(
        f"""SELECT name, upload_part.id, upload_part.key {over}
        CROSS JOIN upload_part ON upload_part.project_id = upload.project_id AND upload_id = upload.key LIMIT ?""",
        (_MOST,),
    ).fetchall()
    db.executemany("DELETE FROM upload_part WHERE key = ?", [(key,) for _, _, key in found])
    db.execute(
        f"""DELETE FROM upload WHERE key IN (
            SELECT upload.key {over} WHERE expires_at <= ? AND NOT EXISTS (
                SELECT 1 FROM upload_part WHERE upload_part.project_id = upload.project_id AND upload_id = upload.key
            ) LIMIT ?
        )""",  # noqa: S608  # ours
        (now - _KEPT, _MOST),
    )
    return [Gone(project, own) for project, own, _ in found]
