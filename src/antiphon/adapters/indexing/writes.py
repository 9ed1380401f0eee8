"""What is added to `index.db`: commands for the writer's thread.

Law: a command does little more than insert; words, text and vectors were prepared before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from antiphon.adapters.indexing import segments
from antiphon.adapters.indexing.arrays import Floats, Halves
from antiphon.adapters.indexing.postings import Words, words
from antiphon.adapters.indexing.refusals import Lacks, Measured
from antiphon.core.chunking import Chunk, searched
from antiphon.core.terms import counted
from antiphon.ports.index import Document, Value, Vectors
from antiphon.wire.errors import StoreError

BUILT, PUBLISHED, REMOVED = 0, 1, 2
"""States of a document."""

_MOST_SIZE: Final = 0xFFFF


class _Segment(msgspec.Struct, frozen=True):
    position: int
    count: int
    sizes: bytes
    passage: bytes
    vectors: bytes | None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Chunks, ready to be inserted."""

    document: Document
    segments: list[_Segment]
    words: Words
    count: int
    size: int
    dimension: int | None


def prepared(document: Document, chunks: Sequence[Chunk], vectors: Vectors | None) -> Prepared:
    """All the work that needs no database; some 200 microseconds for a chunk. Raises StoreError."""
    try:
        return _prepared(document, chunks, vectors)
    except UnicodeEncodeError as error:
        raise StoreError("The text holds half a character, which cannot be stored.") from error


def _prepared(document: Document, chunks: Sequence[Chunk], vectors: Vectors | None) -> Prepared:
    known = [counted(searched(chunk)) for chunk in chunks]
    halves = _halves(vectors) if vectors is not None else None
    made = [
        _Segment(
            position=chunks[begin].position,
            count=end - begin,
            sizes=np.array([min(each.total(), _MOST_SIZE) for each in known[begin:end]], "<u2").tobytes(),
            passage=segments.packed(chunks[begin:end]),
            vectors=halves[begin:end].tobytes() if halves is not None else None,
        )
        for begin, end in segments.runs(chunks)
    ]
    return Prepared(
        document=document,
        segments=made,
        words=words(known),
        count=len(chunks),
        size=sum(len(chunk.text.encode()) for chunk in chunks) + (len(vectors.packed) if vectors is not None else 0),
        dimension=vectors.dimension if vectors is not None else None,
    )


def _halves(vectors: Vectors) -> Halves:
    return unit(np.frombuffer(vectors.packed, "<f4").reshape(-1, vectors.dimension)).astype("<f2")


def unit(given: Floats) -> Floats:
    """The vectors with length 1. Raises StoreError for what is no number."""
    lengths = np.sqrt(np.einsum("ij,ij->i", given, given, dtype=np.float64))
    if not np.isfinite(lengths).all():
        raise StoreError("A vector holds what is no number.")
    return (given / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)


# adding


def add(db: sqlite3.Connection, project_id: int, given: Prepared) -> Lacks | Measured | None:
    """Insert the chunks; or say why nothing was inserted."""
    store, dimension, first = _store(db, project_id, given.document.store_id)
    if given.dimension is not None and dimension not in {None, given.dimension}:
        assert dimension is not None
        return Measured(dimension)
    document, state = _document(db, project_id, store, given.document)
    if there := _there(db, project_id, document, given):
        return Lacks(there)
    db.execute(
        "UPDATE store SET next = next + ?, dimension = coalesce(dimension, ?) WHERE project_id = ? AND key = ?",
        (given.count, given.dimension, project_id, store),
    )
    db.execute(
        "UPDATE document SET count = count + ?, size = size + ? WHERE project_id = ? AND key = ?",
        (given.count, given.size, project_id, document),
    )
    _insert(db, (project_id, store, document), first, given.segments)
    db.executemany(
        "INSERT INTO posting (project_id, store_id, part, term, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body = CAST(body || excluded.body AS BLOB)",
        [(project_id, store, *posting) for posting in given.words.postings(first)],
    )
    if state == PUBLISHED:
        _touch(db, project_id, store, document)
    return None


def _insert(db: sqlite3.Connection, owner: tuple[int, int, int], slot: int, given: Sequence[_Segment]) -> None:
    for each in given:
        made = db.execute(
            "INSERT INTO segment (project_id, store_id, document_id, slot, position, count, sizes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*owner, slot, each.position, each.count, each.sizes),
        )
        key = (made.lastrowid, owner[0])
        db.execute("INSERT INTO passage (segment_id, project_id, body) VALUES (?, ?, ?)", (*key, each.passage))
        if each.vectors is not None:
            db.execute("INSERT INTO vector (segment_id, project_id, body) VALUES (?, ?, ?)", (*key, each.vectors))
        slot += each.count


def _there(db: sqlite3.Connection, project_id: int, document: int, given: Prepared) -> frozenset[int]:
    """The positions that the document has of those given."""
    wanted = {segment.position + number for segment in given.segments for number in range(segment.count)}
    found = db.execute(
        "SELECT position, count FROM segment WHERE project_id = ? AND document_id = ? AND position <= ?",
        (project_id, document, max(wanted, default=-1)),
    )
    return frozenset(position + number for position, count in found for number in range(count)) & wanted


def publish(db: sqlite3.Connection, project_id: int, document: Document, attributes: Mapping[str, Value]) -> int:
    """Let the document be found; its size."""
    store, _, _ = _store(db, project_id, document.store_id)
    key, _ = _document(db, project_id, store, document)
    db.execute(
        "UPDATE document SET state = ?, attributes = ? WHERE project_id = ? AND key = ?",
        (PUBLISHED, _encoded(attributes), project_id, key),
    )
    _touch(db, project_id, store, key)
    size: int = db.execute("SELECT size FROM document WHERE project_id = ? AND key = ?", (project_id, key)).fetchone()[
        0
    ]
    return size


def label(db: sqlite3.Connection, project_id: int, document: Document, attributes: Mapping[str, Value]) -> None:
    """Replace the attributes of a published document."""
    changed = db.execute(
        "UPDATE document SET attributes = ? WHERE project_id = ? AND id = ? AND state = ?"
        " AND store_id = (SELECT key FROM store WHERE project_id = ? AND id = ?) RETURNING store_id, key",
        (_encoded(attributes), project_id, document.id, PUBLISHED, project_id, document.store_id),
    ).fetchone()
    if changed is not None:
        _touch(db, project_id, *changed)


def _encoded(attributes: Mapping[str, Value]) -> str:
    return msgspec.json.encode(attributes).decode()


def _touch(db: sqlite3.Connection, project_id: int, store: int, document: int) -> None:
    """The store has changed in this document."""
    db.execute("UPDATE store SET version = version + 1 WHERE project_id = ? AND key = ?", (project_id, store))
    db.execute(
        "UPDATE document SET changed = (SELECT version FROM store WHERE project_id = ? AND key = ?)"
        " WHERE project_id = ? AND key = ?",
        (project_id, store, project_id, document),
    )


def _store(db: sqlite3.Connection, project_id: int, store_id: str) -> tuple[int, int | None, int]:
    """Key, dimension and next slot of the store, which is made when it is not there."""
    found: tuple[int, int | None, int] | None = db.execute(
        "SELECT key, dimension, next FROM store WHERE project_id = ? AND id = ?", (project_id, store_id)
    ).fetchone()
    if found is not None:
        return found
    made = db.execute("INSERT INTO store (project_id, id) VALUES (?, ?)", (project_id, store_id))
    assert made.lastrowid is not None
    return made.lastrowid, None, 0


def _document(db: sqlite3.Connection, project_id: int, store: int, document: Document) -> tuple[int, int]:
    """Key and state of the document, which is made when it is not there."""
    found: tuple[int, int] | None = db.execute(
        "SELECT key, state FROM document WHERE project_id = ? AND store_id = ? AND id = ? AND state < ?",
        (project_id, store, document.id, REMOVED),
    ).fetchone()
    if found is not None:
        return found
    made = db.execute(
        "INSERT INTO document (project_id, store_id, id, file_id) VALUES (?, ?, ?, ?)",
        (project_id, store, document.id, document.file_id),
    )
    assert made.lastrowid is not None
    return made.lastrowid, BUILT
