"""The vectors of a store by row: those of its graph, if it has one, and the others, which are compared one by one."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final, TypeAlias

import numpy as np

from antiphon.adapters.indexing.arrays import Booleans, Floats, Grown, Halves, Integers
from antiphon.adapters.indexing.blocks import Blocks, cosines
from antiphon.adapters.indexing.graph import Graph

Near: TypeAlias = tuple[Integers, Floats]
"""Rows and their cosines."""
Fetch: TypeAlias = Callable[[Integers], tuple[Integers, Halves]]
"""Reads vectors from the database: those of the documents of these rows, with the rows that they are of."""

NONE: Final[Near] = (np.empty(0, np.int32), np.empty(0, np.float32))
_MOVED: Final = 4096
"""Vectors that are moved at once."""
_SPARE: Final = 1.3
"""How many more candidates a filter needs than its share of the graph says."""
_DEAREST: Final = 8
"""A candidate from the graph costs as much as so many vectors read and compared."""


def top(rows: Integers, scores: Floats, limit: int) -> Near:
    """The best of them, those of minus infinity never."""
    there = np.flatnonzero(scores > -np.inf)
    if len(there) < len(scores):
        rows, scores = rows[there], scores[there]
    if len(scores) <= limit:
        return rows, scores
    best = np.argpartition(scores, len(scores) - limit)[len(scores) - limit :]
    return rows[best], scores[best]


class Vectors:
    """Grows with the rows of a store; a row without a vector has none here either."""

    def __init__(self, dimension: int, slots: Grown[np.int32], rows: Grown[np.int32]) -> None:
        """`slots` has the slot of each row, `rows` the row of each slot (-1: none)."""
        self.dimension = dimension
        self.graph: Graph | None = None
        self._slots = slots
        self._row_of = rows
        self._blocks = Blocks(dimension)
        self._rows = Grown(np.int32)
        """Of each vector in the blocks, its row."""
        self._place = Grown(np.int32, -1)
        """Of each row, its place in the blocks."""
        self._graphed = Grown(np.bool_)
        """Of each row, whether it is in the graph."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        graph = self.graph.bytes if self.graph is not None else 0
        return self._blocks.bytes + self._rows.bytes + self._place.bytes + self._graphed.bytes + graph

    def graphed(self, length: int) -> Booleans:
        """For each of so many rows whether it is in the graph; not to be changed."""
        self._graphed.reach(length)
        return self._graphed.all[:length]

    @property
    def alone(self) -> int:
        """How many are in no graph."""
        return len(self._blocks)

    def extend(self, rows: Integers, vectors: Halves) -> None:
        """Append; the rows ascend. Those that the graph has need no vectors: see `skip`."""
        if not len(rows):
            return
        begin = len(self._blocks)
        self._blocks.extend(vectors)
        self._rows.extend(rows)
        self._place.reach(int(rows[-1]) + 1)
        self._place.all[rows] = np.arange(begin, begin + len(rows), dtype=np.int32)
        self._graphed.reach(int(rows[-1]) + 1)
        self._graphed.all[rows] = False  # each row is in one place

    def skip(self, slots: Integers) -> Booleans:
        """Which of these slots the graph has; their rows are noted."""
        if self.graph is None:
            return np.zeros(len(slots), np.bool_)
        there = self.graph.has(slots)
        rows = self._row_of.all[slots[there]]
        if len(rows):
            self._graphed.reach(int(rows.max()) + 1)
            self._graphed.all[rows] = True
        return there

    def adopt(self, graph: Graph) -> None:
        """Use this graph from now on. What only the last one had is not found any more."""
        rows, blocks = self._rows.all, self._blocks
        self.graph, self._graphed = graph, Grown(np.bool_)
        self.skip(self._slots.all)
        left = np.flatnonzero(~self.skip(self._slots.all[rows])).astype(np.int32)
        self._blocks, self._rows, self._place = Blocks(self.dimension), Grown(np.int32), Grown(np.int32, -1)
        for begin in range(0, len(left), _MOVED):
            some = left[begin : begin + _MOVED]
            self.extend(rows[some], blocks.of(some))

    def nearest(self, vector: Floats, limit: int, passing: Booleans, fetch: Fetch) -> Near:
        """The nearest rows of those that pass."""
        rows = self._rows.all
        alone = top(rows, self._blocks.similarities(vector, passing[rows]), limit)
        if self.graph is None:
            return alone
        found = self._through(self.graph, vector, limit, passing, fetch)
        return top(np.concatenate([alone[0], found[0]]), np.concatenate([alone[1], found[1]]), limit)

    def similarities(self, vector: Floats, rows: Integers, fetch: Fetch) -> Floats:
        """The cosines of these rows; not a number where a row has no vector."""
        found = np.full(len(rows), np.nan, np.float32)
        places = np.full(len(rows), -1, np.int32)
        known = rows < len(self._place)
        places[known] = self._place.all[rows[known]]
        here = np.flatnonzero(places >= 0)
        if len(here):
            found[here] = _cosines(vector, self._blocks.of(places[here]))
        if self.graph is not None:
            there = np.flatnonzero((places < 0) & self.graphed(int(rows.max(initial=-1)) + 1)[rows])
            if len(there):
                read, vectors = fetch(rows[there])
                cosine = dict(zip(read.tolist(), _cosines(vector, vectors).tolist(), strict=True))
                found[there] = [cosine.get(row, np.nan) for row in rows[there].tolist()]
        return found

    def _through(self, graph: Graph, vector: Floats, limit: int, passing: Booleans, fetch: Fetch) -> Near:
        """The nearest rows in the graph. Where few pass, or too few of the candidates, all that pass are compared."""
        inside = passing & self.graphed(len(passing))
        some = int(np.count_nonzero(inside))
        if not some:
            return NONE
        count = ceil(limit * _SPARE * len(graph) / some) if some < len(graph) else limit
        while count * _DEAREST <= max(some, 64 * limit):
            slots, similar = graph.nearest(vector, count)
            rows = self._row_of.all[slots]
            kept = rows >= 0
            kept[kept] = passing[rows[kept]]
            if np.count_nonzero(kept) >= min(limit, some):
                return top(rows[kept], similar[kept], limit)
            count *= 4
        rows, vectors = fetch(np.flatnonzero(inside).astype(np.int32))
        found = _cosines(vector, vectors)
        found[~inside[rows]] = -np.inf
        return top(rows, found, limit)


def _cosines(vector: Floats, vectors: Halves) -> Floats:
    return cosines(vector.astype(np.float16)[None, :], vectors)
