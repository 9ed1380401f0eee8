"""Files in vector stores in the SQLite database: a row for each document. Functions of a connection; those that change
anything are run by the writer. Triggers keep the counts of the stores, and take out of its batches what is deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.sql.window import cut, window
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment, Member
from antiphon.wire.codec import encode
from antiphon.wire.vector_stores import FileBatch, FileStatus, LastError, Strategy, VectorStoreFile

_STRATEGY: Final = msgspec.json.Decoder(Strategy)
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, str | bool | int | float])
_ERROR: Final = msgspec.json.Decoder(LastError)

COLUMNS: Final = """member.document, file.id, vector_store.id, member.created_at, member.usage_bytes, member.status,
    member.attributes, member.strategy, member.last_error"""
"""What `read` takes."""

_ROWS: Final = f"""SELECT {COLUMNS} FROM vector_store_file AS member
    JOIN file ON file.key = member.file_id
    JOIN vector_store ON vector_store.key = member.store_id AND deleted = 0"""  # noqa: S608  # ours


class Joining(msgspec.Struct, frozen=True):
    """Files that join a store at the time `now`, in a batch or none."""

    files: Sequence[Attachment]
    batch: FileBatch | None
    now: float


class Joined(msgspec.Struct, frozen=True):
    """What now stands for each of the files, and the documents that were replaced."""

    files: list[VectorStoreFile]
    replaced: list[str]


class _Place(msgspec.Struct, frozen=True):
    """A file's key, and its membership in the store, if it has one."""

    file: int
    member: int | None
    status: str | None
    document: str | None


def read(row: Sequence[Any]) -> Member:
    """The member that these columns hold."""
    document, own, store_id, created_at, usage_bytes, status, attributes, strategy, error = row
    file = VectorStoreFile(
        id=own,
        usage_bytes=usage_bytes,
        created_at=created_at,
        vector_store_id=store_id,
        status=status,
        last_error=None if error is None else _ERROR.decode(error),
        chunking_strategy=_STRATEGY.decode(strategy),
        attributes=_ATTRIBUTES.decode(attributes),
    )
    return Member(document, file)


def attach(db: sqlite3.Connection, project_id: int, store: int, joining: Joining) -> Joined:
    """Add files to the store of this key."""
    places = _places(db, project_id, store, joining)
    ids = encode(list(places)).decode()
    fresh: list[tuple[object, ...]] = []
    replaced: list[_Place] = []
    for one in joining.files:
        place = places.get(one.file.id)
        if place is None or place.status in {"in_progress", "completed"}:
            continue
        if place.member is not None:
            replaced.append(place)
        fresh.append(_row(project_id, store, place.file, one))
        places[one.file.id] = _Place(place.file, None, "in_progress", one.document)  # it does not come twice
    db.executemany("DELETE FROM vector_store_file WHERE key = ?", [(place.member,) for place in replaced])
    db.executemany(
        """INSERT INTO vector_store_file (project_id, store_id, file_id, document, status, created_at, attributes,
        strategy) VALUES (?, ?, ?, ?, 'in_progress', ?, ?, ?)""",
        fresh,
    )
    if joining.batch is not None:
        _enlist(db, project_id, store, joining.batch, ids)
    standing = _standing(db, project_id, store, ids)
    return Joined(
        [standing[one.file.id] for one in joining.files if one.file.id in standing],
        [place.document for place in replaced if place.document is not None],
    )


def _places(db: sqlite3.Connection, project_id: int, store: int, joining: Joining) -> dict[str, _Place]:
    """Those of the files that exist, by id."""
    ids = encode(list({one.file.id: None for one in joining.files})).decode()
    found = db.execute(
        """SELECT file.id, file.key, member.key, member.status, member.document FROM json_each(:ids) AS asked
        CROSS JOIN file ON file.project_id = :project AND file.id = asked.value
        LEFT JOIN vector_store_file AS member
            ON member.project_id = :project AND member.file_id = file.key AND member.store_id = :store
        WHERE expires_at IS NULL OR expires_at > :now""",
        {"ids": ids, "project": project_id, "store": store, "now": joining.now},
    )
    return {own: _Place(*rest) for own, *rest in found}


def _row(project_id: int, store: int, file: int, one: Attachment) -> tuple[object, ...]:
    given = one.file
    attributes, strategy = encode(given.attributes).decode(), encode(given.chunking_strategy).decode()
    return (project_id, store, file, one.document, given.created_at, attributes, strategy)


def _enlist(db: sqlite3.Connection, project_id: int, store: int, batch: FileBatch, ids: str) -> None:
    key = db.execute(
        "INSERT INTO file_batch (project_id, store_id, id, created_at) VALUES (?, ?, ?, ?)",
        (project_id, store, batch.id, batch.created_at),
    ).lastrowid
    db.execute(
        """INSERT INTO file_batch_member (project_id, batch_id, member_id)
        SELECT :project, :batch, member.key FROM json_each(:ids) AS asked
        CROSS JOIN file ON file.project_id = :project AND file.id = asked.value
        CROSS JOIN vector_store_file AS member
            ON member.project_id = :project AND member.file_id = file.key AND member.store_id = :store""",
        {"ids": ids, "project": project_id, "store": store, "batch": key},
    )


def _standing(db: sqlite3.Connection, project_id: int, store: int, ids: str) -> dict[str, VectorStoreFile]:
    found = db.execute(
        f"""SELECT {COLUMNS} FROM json_each(:ids) AS asked
        CROSS JOIN file ON file.project_id = :project AND file.id = asked.value
        CROSS JOIN vector_store_file AS member
            ON member.project_id = :project AND member.file_id = file.key AND member.store_id = :store
        CROSS JOIN vector_store ON vector_store.key = :store""",  # noqa: S608  # ours
        {"ids": ids, "project": project_id, "store": store},
    )
    return {member.file.id: member.file for member in map(read, found)}


def member(db: sqlite3.Connection, project_id: int, store_id: str, file_id: str) -> Member | None:
    """The file in the store."""
    row = db.execute(
        f"""{_ROWS} WHERE file.project_id = :project AND file.id = :file AND vector_store.project_id = :project
        AND vector_store.id = :store AND member.project_id = :project""",
        {"project": project_id, "file": file_id, "store": store_id},
    ).fetchone()
    return None if row is None else read(row)


class Shelf(msgspec.Struct, frozen=True):
    """The members that a list is of: those of a store, or of a batch (keys; 0 has none), in this status."""

    store: int
    batch: int | None
    status: FileStatus | None


def page(
    db: sqlite3.Connection, project_id: int, query: PageQuery, shelf: Shelf
) -> tuple[tuple[VectorStoreFile, ...], bool]:
    """A page of members, and whether there are more."""
    part = window(query, lambda file_id: _placed(db, project_id, shelf, file_id))
    if shelf.batch is None:
        listed = "vector_store_file AS member"
        which = "member.project_id = :project AND member.store_id = :store"
        key = "member.key"
    else:
        listed = "file_batch_member CROSS JOIN vector_store_file AS member ON member.key = member_id"
        which = "file_batch_member.project_id = :project AND batch_id = :batch"
        key = "member_id"
    if shelf.status is not None:
        which += " AND member.status = :status"
    rows = db.execute(
        f"""SELECT {COLUMNS} FROM {listed} CROSS JOIN file ON file.key = member.file_id
        CROSS JOIN vector_store ON vector_store.key = member.store_id
        WHERE {which} AND {key} > :low AND {key} < :high ORDER BY {key} {part.direction} LIMIT :limit""",  # noqa: S608  # ours
        {
            "project": project_id,
            "store": shelf.store,
            "batch": shelf.batch,
            "status": shelf.status,
            "low": part.low,
            "high": part.high,
            "limit": query.limit + 1,
        },
    ).fetchall()
    found, more = cut(rows, query.limit, part)
    return tuple([read(row).file for row in found]), more


def _placed(db: sqlite3.Connection, project_id: int, shelf: Shelf, file_id: str) -> int | None:
    row = db.execute(
        """SELECT member.key FROM file CROSS JOIN vector_store_file AS member
        ON member.project_id = file.project_id AND member.file_id = file.key AND member.store_id = :store
        WHERE file.project_id = :project AND file.id = :file AND (:batch IS NULL OR EXISTS (
            SELECT 1 FROM file_batch_member
            WHERE file_batch_member.project_id = :project AND batch_id = :batch AND member_id = member.key
        ))""",
        {"project": project_id, "store": shelf.store, "batch": shelf.batch, "file": file_id},
    ).fetchone()
    return None if row is None else row[0]


def documents(db: sqlite3.Connection, project_id: int, wanted: Sequence[str]) -> dict[str, VectorStoreFile]:
    """What stands for these documents."""
    found = db.execute(
        f"""SELECT {COLUMNS} FROM json_each(:documents) AS asked
        CROSS JOIN vector_store_file AS member ON member.project_id = :project AND member.document = asked.value
        CROSS JOIN file ON file.key = member.file_id
        CROSS JOIN vector_store ON vector_store.key = member.store_id AND deleted = 0""",  # noqa: S608  # ours
        {"documents": encode(wanted).decode(), "project": project_id},
    )
    return {one.document: one.file for one in map(read, found)}


def label(
    db: sqlite3.Connection, project_id: int, store_id: str, file_id: str, attributes: dict[str, Any]
) -> Member | None:
    """Replace the attributes."""
    found = member(db, project_id, store_id, file_id)
    if found is None:
        return None
    db.execute(
        "UPDATE vector_store_file SET attributes = ? WHERE project_id = ? AND document = ?",
        (encode(attributes).decode(), project_id, found.document),
    )
    return member(db, project_id, store_id, file_id)


def detach(db: sqlite3.Connection, project_id: int, store_id: str, file_id: str) -> Member | None:
    """Take the file out of the store."""
    found = member(db, project_id, store_id, file_id)
    if found is not None:
        db.execute("DELETE FROM vector_store_file WHERE project_id = ? AND document = ?", (project_id, found.document))
    return found


def stores_of(db: sqlite3.Connection, project_id: int, file_id: str) -> list[str]:
    """The ids of the stores that the file is in."""
    found: Iterable[tuple[str]] = db.execute(
        """SELECT vector_store.id FROM file
        CROSS JOIN vector_store_file AS member ON member.project_id = file.project_id AND member.file_id = file.key
        CROSS JOIN vector_store ON vector_store.key = member.store_id AND deleted = 0
        WHERE file.project_id = ? AND file.id = ? ORDER BY member.key""",
        (project_id, file_id),
    )
    return [own for (own,) in found]
