"""Vectors in memory that are compared one by one: exact, and fast while they are few.

They stay float16, as they are kept: numkong compares those as fast as BLAS compares float32, in half the memory, and in
one thread (the threads of a BLAS wait for each other when the machine is busy).
"""

from __future__ import annotations

from typing import Final

import numkong
import numpy as np

from antiphon.adapters.indexing.arrays import Booleans, Floats, Halves, Integers

_ROWS: Final = 4096
"""Vectors of a block: what is added never moves more than these."""
_FEW: Final = 0.5
"""The share of a block below which the vectors that pass are gathered instead of comparing all."""


class Blocks:
    """Vectors of length 1, numbered from 0."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._blocks: list[Halves] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(block.nbytes for block in self._blocks)

    def extend(self, vectors: Halves) -> None:
        """Append."""
        at = 0
        while at < len(vectors):
            room = self._room(len(vectors) - at)
            room[:] = vectors[at : at + len(room)]
            at += len(room)
            self._length += len(room)

    def _room(self, wanted: int) -> Halves:
        """The next free places, no more than wanted."""
        begin = self._length % _ROWS
        if begin == 0:
            self._blocks.append(np.empty((min(wanted, _ROWS), self.dimension), np.float16))
        block = self._blocks[-1]
        if begin and begin == len(block):
            larger = np.empty((min(max(begin + wanted, 2 * begin), _ROWS), self.dimension), np.float16)
            larger[:begin] = block
            block = self._blocks[-1] = larger
        return block[begin : begin + wanted]

    def similarities(self, vector: Floats, passing: Booleans) -> Floats:
        """The cosine of each vector that passes; minus infinity for the others."""
        asked = vector.astype(np.float16)[None, :]
        found = np.full(self._length, -np.inf, np.float32)
        for number, block in enumerate(self._blocks):
            begin = number * _ROWS
            part = passing[begin : begin + _ROWS]
            count, length = int(np.count_nonzero(part)), len(part)
            if count == length:
                found[begin : begin + length] = cosines(asked, block[:length])
            elif count > _FEW * length:
                found[begin : begin + length][part] = cosines(asked, block[:length])[part]
            elif count:
                rows = np.flatnonzero(part)
                found[begin + rows] = cosines(asked, block[rows])
        return found

    def of(self, rows: Integers) -> Halves:
        """These vectors."""
        found = np.empty((len(rows), self.dimension), np.float16)
        for at, row in enumerate(rows.tolist()):
            found[at] = self._blocks[row // _ROWS][row % _ROWS]
        return found


def cosines(asked: Halves, vectors: Halves) -> Floats:
    """The cosines of one vector, as a matrix of one row, and many; all are of length 1."""
    return np.clip(np.asarray(numkong.cdist(asked, vectors, "dot"))[0], -1, 1).astype(np.float32)
