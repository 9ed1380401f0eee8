"""One store in memory: its vectors, attributes and the lengths of its chunks. Texts and postings stay on the disk.

Law: it follows the database. Where the store's version has changed, what has changed is read, no more. Chunks are rows
here, in the order in which they were read; a filter is judged once for each document.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np

from antiphon.adapters.indexing import keywords
from antiphon.adapters.indexing.arrays import Booleans, Floats, Grown, Halves, Integers
from antiphon.adapters.indexing.columns import Columns
from antiphon.adapters.indexing.graph import Graph, Saved, opened, recorded
from antiphon.adapters.indexing.vectors import NONE, Vectors, top
from antiphon.core.filters import Filter
from antiphon.ports.index import Value

_READ: Final = 512
"""Segments that are read at once."""
_DEAD: Final = 4096
"""Rows of removed documents that may stay in memory; or as many as there are others."""

_SHARE: Final = 8
"""A graph is enlarged when this part of it, or of what makes a store large, is in none."""
_MANY: Final = 256
"""Chunks whose vectors are read by document and no more by segment."""

_Segment: TypeAlias = tuple[int, int, int, int, bytes]
"""Key, document, slot, count, sizes."""
_ATTRIBUTES: Final = msgspec.json.Decoder(dict[str, Value])
_SEGMENTS: Final = """
    SELECT segment.key, document_id, slot, count, sizes
    FROM json_each(?) CROSS JOIN segment
    WHERE project_id = ? AND document_id = json_each.value
    ORDER BY json_each.key, position
"""
_VECTORS: Final = """
    SELECT slot, count, vector.body
    FROM json_each(?) CROSS JOIN segment CROSS JOIN vector
    WHERE segment.project_id = ? AND document_id = json_each.value AND segment_id = segment.key
"""
_VECTOR: Final = """
    SELECT slot, count, vector.body FROM segment JOIN vector ON segment_id = segment.key
    WHERE segment.project_id = ? AND store_id = ? AND slot <= ? ORDER BY slot DESC LIMIT 1
"""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: a vector of length 1, words, or both."""

    vector: Floats | None
    words: Sequence[str]
    limit: int
    filter: Filter | None


class Found(msgspec.Struct, frozen=True):
    """A chunk that was found: its slot, the key of its document, its scores."""

    slot: int
    document: int
    similarity: float | None
    relevance: float | None


class Wanted(msgspec.Struct, frozen=True):
    """A graph that a store should have: `old` is what it searches through now, `begun` what it can go on from."""

    project_id: int
    store: int
    dimension: int
    begun: Saved | None = None
    old: Saved | None = None


class Version(msgspec.Struct, frozen=True):
    """A store as its row says it is."""

    key: int
    dimension: int | None
    version: int
    removed: int


class Shelf:
    """A store. Not for two threads at once."""

    def __init__(self, project_id: int, store: int, folder: Path) -> None:
        """`folder` is where graphs are."""
        self.store = store
        self._folder = folder
        self._own = (project_id, store)
        self._clear()

    def _clear(self) -> None:
        self._version = 0
        # by document: its key, how many of its chunks were read, whether it is still there, its attributes
        self._keys = Grown(np.int64)
        self._counts = Grown(np.int32)
        self._alive = Grown(np.bool_)
        self._columns = Columns()
        self._places: dict[int, int] = {}
        # by row: its document, its slot, how many words it has; and the row of each slot
        self._document = Grown(np.int32)
        self._slot = Grown(np.int32)
        self._size = Grown(np.int32)
        self._row = Grown(np.int32, -1)
        self._vectors: Vectors | None = None
        self._useful = 0
        """How many rows are found through the graph."""
        self._scale: keywords.Scale | None = None
        """None until it is asked for."""

    @property
    def bytes(self) -> int:
        """Memory that it takes, by estimate."""
        columns = (self._keys, self._counts, self._alive, self._document, self._slot, self._size, self._row)
        vectors = self._vectors.bytes if self._vectors is not None else 0
        scale = 2 * self._size.bytes if self._scale is not None else 0
        return sum(column.bytes for column in columns) + self._columns.bytes + 100 * len(self._places) + vectors + scale

    # following the database

    def follow(self, db: sqlite3.Connection, now: Version) -> None:
        """Read what has changed since."""
        if now.version == self._version:
            return
        if now.removed > self._version:
            self._forget(db)
        self._learn(db, now)
        self._version = now.version
        self._scale = None
        self._useful = len(self._graph_rows())

    def _forget(self, db: sqlite3.Connection) -> None:
        """Notice that documents were removed."""
        if not self._places:
            return
        there = db.execute("SELECT key FROM document WHERE project_id = ? AND store_id = ? AND state = 1", self._own)
        keys = {key for (key,) in there}
        for key in self._places.keys() - keys:
            self._alive.all[self._places.pop(key)] = False
        found = int(np.count_nonzero(self._alive.all[self._document.all]))
        if len(self._document) - found > max(_DEAD, found):
            self._clear()

    def _learn(self, db: sqlite3.Connection, now: Version) -> None:
        """Notice that documents were published or changed."""
        changed = db.execute(
            "SELECT key, attributes, count FROM document"
            " WHERE project_id = ? AND store_id = ? AND changed > ? AND state = 1 ORDER BY changed",
            (*self._own, self._version),
        )
        rows: list[tuple[int, str, int]] = changed.fetchall()
        known = len(self._keys)
        new = [key for key, _, _ in rows if key not in self._places]
        self._places.update(zip(new, range(known, known + len(new)), strict=True))
        self._keys.extend(np.array(new, np.int64))
        self._counts.reach(known + len(new))
        self._alive.extend(np.ones(len(new), np.bool_))
        longer: list[int] = []
        for key, attributes, count in rows:
            place = self._places[key]
            self._columns.set(place, _ATTRIBUTES.decode(attributes), new=place >= known)
            if self._counts.all[place] < count:
                self._counts.all[place] = count
                longer.append(key)
        if longer:
            found = db.execute(_SEGMENTS, (msgspec.json.encode(longer).decode(), self._own[0]))
            while segments := found.fetchmany(_READ):
                self._append(db, segments, now)

    def _append(self, db: sqlite3.Connection, segments: Sequence[_Segment], now: Version) -> None:
        """Add the rows of segments, where they are not there."""
        self._row.reach(max(slot + count for _, _, slot, count, _ in segments))
        new = [segment for segment in segments if self._row.all[segment[2]] < 0]
        if not new:
            return
        counts = [count for _, _, _, count, _ in new]
        slots = np.concatenate([np.arange(slot, slot + count, dtype=np.int32) for _, _, slot, count, _ in new])
        first = len(self._slot)
        rows = np.arange(first, first + len(slots), dtype=np.int32)
        self._row.all[slots] = rows
        self._slot.extend(slots)
        self._document.extend(np.repeat(np.array([self._places[each[1]] for each in new], np.int32), counts))
        self._size.extend(np.frombuffer(b"".join(each[4] for each in new), "<u2").astype(np.int32))
        if now.dimension is not None:
            self._load(db, new, slots, now.dimension)

    def _load(self, db: sqlite3.Connection, segments: Sequence[_Segment], slots: Integers, dimension: int) -> None:
        """Read the vectors of new segments, but for those that the graph has."""
        if self._vectors is None:
            self._vectors = Vectors(dimension, self._slot, self._row)
            saved = recorded(db, self._own)
            graph = opened(self._folder, saved, dimension) if saved is not None else None
            if graph is not None:
                self._vectors.adopt(graph)
        there, at = self._vectors.skip(slots), 0
        rows: list[Integers] = []
        bodies: list[bytes] = []
        for key, _, slot, count, _ in segments:
            body = None if there[at : at + count].all() else self._vector(db, key)
            if body is not None:
                rows.append(self._row.all[slot : slot + count])
                bodies.append(body)
            at += count
        if rows:
            halves = np.frombuffer(b"".join(bodies), "<f2").reshape(-1, dimension)
            self._vectors.extend(np.concatenate(rows), halves)

    def _vector(self, db: sqlite3.Connection, segment: int) -> bytes | None:
        asked = "SELECT body FROM vector WHERE segment_id = ? AND project_id = ?"
        found: tuple[bytes] | None = db.execute(asked, (segment, self._own[0])).fetchone()
        return found[0] if found is not None else None

    # the graph

    def wants(self, many: int) -> Wanted | None:
        """Whether it should have a graph, or a larger one; `many`: vectors that are too many to compare one by one."""
        vectors = self._vectors
        if vectors is None:
            return None
        graph = vectors.graph
        if graph is None:
            return Wanted(*self._own, vectors.dimension) if vectors.alone > many else None
        if len(graph) > 2 * self._useful + many:  # most of it is gone
            return Wanted(*self._own, vectors.dimension, None, graph.saved)
        more = vectors.alone > max(many // _SHARE, len(graph) // _SHARE)
        return Wanted(*self._own, vectors.dimension, graph.saved, graph.saved) if more else None

    @property
    def graphed(self) -> bool:
        """Whether it is searched through a graph."""
        return self._vectors is not None and self._vectors.graph is not None

    def adopt(self, graph: Graph) -> bool:
        """Search through this graph from now on; False when it lacks something that is only in the last one."""
        if self._vectors is not None:
            before = self._graph_rows()
            self._vectors.adopt(graph)
            self._useful = len(self._graph_rows())
            return bool(graph.has(self._slot.all[before]).all())
        return True

    def _graph_rows(self) -> Integers:
        """The rows that are found through the graph."""
        if self._vectors is None or self._vectors.graph is None:
            return np.empty(0, np.int32)
        alive = self._alive.all[self._document.all]
        return np.flatnonzero(alive & self._vectors.graphed(len(alive))).astype(np.int32)

    # searching

    def search(self, db: sqlite3.Connection, question: Question) -> list[Found]:
        """The nearest and the most relevant chunks of those that pass."""
        passing = self._passing(question.filter)
        vector = question.vector
        near, similar = NONE
        if vector is not None and self._vectors is not None:
            near, similar = self._vectors.nearest(vector, question.limit, passing, partial(self._fetch, db))
        relevances = self._relevances(db, question.words) if question.words else None
        rows = near
        if relevances is not None:
            said = np.flatnonzero(relevances).astype(np.int32)
            said = said[passing[said]]
            said, _ = top(said, relevances[said], question.limit)
            more = np.setdiff1d(said, near)
            rows = np.concatenate([near, more])
            if vector is not None and self._vectors is not None:
                others = self._vectors.similarities(vector, more, partial(self._fetch, db))
                similar = np.concatenate([similar, others])
        return self._found(rows, similar, relevances)

    def _found(self, rows: Integers, similar: Floats, relevances: Floats | None) -> list[Found]:
        similarities = np.full(len(rows), np.nan, np.float32)
        similarities[: len(similar)] = similar
        relevant = relevances[rows] if relevances is not None else np.zeros(len(rows), np.float32)
        slots, documents = self._slot.all[rows].tolist(), self._keys.all[self._document.all[rows]].tolist()
        return [
            Found(slot, document, None if np.isnan(similarity) else similarity, relevance or None)
            for slot, document, similarity, relevance in zip(
                slots, documents, similarities.tolist(), relevant.tolist(), strict=True
            )
        ]

    def _fetch(self, db: sqlite3.Connection, rows: Integers) -> tuple[Integers, Halves]:
        """Vectors from the disk: those of these rows and of their neighbours, each with its row."""
        dimension = self._vectors.dimension if self._vectors is not None else 1
        if len(rows) > _MANY:
            documents = self._keys.all[np.unique(self._document.all[rows])].tolist()
            found = db.execute(_VECTORS, (msgspec.json.encode(documents).decode(), self._own[0])).fetchall()
        else:
            each = (db.execute(_VECTOR, (*self._own, slot)).fetchone() for slot in self._slot.all[rows].tolist())
            found = list({segment[0]: segment for segment in each if segment is not None}.values())
        slots = [np.arange(slot, min(slot + count, len(self._row)), dtype=np.int32) for slot, count, _ in found]
        there = self._row.all[np.concatenate(slots)] if slots else np.empty(0, np.int32)
        halves = np.frombuffer(b"".join(body for _, _, body in found), "<f2").reshape(-1, dimension)
        return there[there >= 0], halves[there >= 0]

    def _passing(self, wanted: Filter | None) -> Booleans:
        """For each row whether it can be found."""
        documents = self._alive.all
        if wanted is not None and len(documents):
            documents = documents & self._columns.mask(wanted)
        if documents.all():
            return np.ones(len(self._document), np.bool_)
        return documents[self._document.all]

    def _relevances(self, db: sqlite3.Connection, words: Sequence[str]) -> Floats:
        if self._scale is None:
            alive = self._alive.all[self._document.all]
            rows = self._row.all.copy()
            rows[self._slot.all[~alive]] = -1
            self._scale = keywords.scale(rows, self._size.all, self._slot.all[alive])
        return keywords.relevances(db, self._own, words, self._scale)
