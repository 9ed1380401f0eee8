"""Columns of numbers that grow: what is added does not copy what is there each time."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

N = TypeVar("N", bound=np.generic)
Floats: TypeAlias = NDArray[np.float32]
Halves: TypeAlias = NDArray[np.float16]
Integers: TypeAlias = NDArray[np.int32]
Booleans: TypeAlias = NDArray[np.bool_]


class Grown(Generic[N]):
    """An array with room behind its end, an eighth of it at most."""

    def __init__(self, kind: type[N], fill: Any = 0) -> None:
        """`fill`: what the places between the end and a `put` far behind it hold."""
        self._fill = fill
        self._room: NDArray[N] = np.empty(0, kind)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def all(self) -> NDArray[N]:
        """What is there, to be read, or changed in place; not longer than until the next `extend`."""
        return self._room[: self._length]

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self._room.nbytes

    def extend(self, values: NDArray[N]) -> None:
        """Append."""
        begin = self._length
        self.reach(begin + len(values))
        self._room[begin : self._length] = values

    def reach(self, length: int) -> None:
        """Be at least so long."""
        if length > len(self._room):
            room = np.full(length + length // 8, self._fill, self._room.dtype)
            room[: self._length] = self.all
            self._room = room
        self._length = max(self._length, length)
