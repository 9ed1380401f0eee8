"""What is read from `index.db` besides what searches keep in memory: texts, documents, counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import msgspec

from antiphon.adapters.indexing.segments import Segment
from antiphon.core.chunking import Chunk
from antiphon.ports.index import Document, Match, Value

if TYPE_CHECKING:  # it brings numpy
    from antiphon.adapters.indexing.shelf import Found

_BATCH: Final = 1000

_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, Value])
_Listed: TypeAlias = tuple[int, str, str, str, str]
"""Key, project, store, id and file of a document."""


def count(db: sqlite3.Connection, project_id: int, document: Document) -> int:
    """How many chunks the document has."""
    found = db.execute(
        "SELECT count FROM document WHERE project_id = ? AND id = ? AND state < 2"
        " AND store_id = (SELECT key FROM store WHERE project_id = ? AND id = ?)",
        (project_id, document.id, project_id, document.store_id),
    ).fetchone()
    return found[0] if found is not None else 0


def content(db: sqlite3.Connection, project_id: int, document: Document) -> list[Chunk]:
    """The chunks of the document by position."""
    found = db.execute(
        "SELECT position, passage.body FROM segment JOIN passage ON segment_id = segment.key"
        " WHERE segment.project_id = ? AND document_id = (SELECT key FROM document"
        " WHERE project_id = ? AND id = ? AND state < 2"
        " AND store_id = (SELECT key FROM store WHERE project_id = ? AND id = ?)) ORDER BY position",
        (project_id, project_id, document.id, project_id, document.store_id),
    )
    return [chunk for position, body in found for chunk in Segment(body, position).chunks()]


def empty(db: sqlite3.Connection) -> bool:
    """Whether there is no document, nor anything left of one."""
    row: tuple[int] | None = db.execute(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM document) OR EXISTS (SELECT 1 FROM graph)"
    ).fetchone()
    return row is None


def stored(db: sqlite3.Connection, after: int) -> list[tuple[int, Document]]:
    """Documents of all projects behind this key, with their keys."""
    found: list[_Listed] = db.execute(
        "SELECT document.key, project.name, store.id, document.id, file_id FROM document"
        " JOIN project ON project.id = document.project_id JOIN store ON store.key = document.store_id"
        " WHERE document.key > ? AND state < 2 ORDER BY document.key LIMIT ?",
        (after, _BATCH),
    ).fetchall()
    return [
        (key, Document(project=project, store_id=store, id=document, file_id=file))
        for key, project, store, document, file in found
    ]


def matches(db: sqlite3.Connection, store: tuple[int, int], found: Sequence[Found]) -> list[Match]:
    """The chunks that were found, with their texts and what is known of their documents."""
    documents = {each.document: _document(db, store[0], each.document) for each in found}
    read: list[Match] = []
    for each in found:
        document = documents[each.document]
        chunk = _chunk(db, store, each.slot)
        if document is not None and chunk is not None:
            read.append(
                Match(
                    document=document[0],
                    file_id=document[1],
                    attributes=document[2],
                    chunk=chunk,
                    similarity=each.similarity,
                    relevance=each.relevance,
                )
            )
    return read


def _document(db: sqlite3.Connection, project_id: int, key: int) -> tuple[str, str, dict[str, Value]] | None:
    found = db.execute(
        "SELECT id, file_id, attributes FROM document WHERE project_id = ? AND key = ? AND state = 1",
        (project_id, key),
    ).fetchone()
    if found is None:
        return None
    document, file, attributes = cast("tuple[str, str, str]", found)
    return document, file, _ATTRIBUTES.decode(attributes)


def _chunk(db: sqlite3.Connection, store: tuple[int, int], slot: int) -> Chunk | None:
    found: tuple[int, int, bytes] | None = db.execute(
        "SELECT slot, position, passage.body FROM segment JOIN passage ON segment_id = segment.key"
        " WHERE segment.project_id = ? AND store_id = ? AND slot <= ? ORDER BY slot DESC LIMIT 1",
        (*store, slot),
    ).fetchone()
    return Segment(found[2], found[1]).chunk(slot - found[0]) if found is not None else None
