"""The attributes of a store's documents by key, so that a filter is judged once for each value, not for each chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from antiphon.adapters.indexing.arrays import Booleans, Grown
from antiphon.core.filters import Comparison, Filter, holds
from antiphon.ports.index import Value

_ABSENT: Final = -1
_MOST_MASKS: Final = 16
_SPARE: Final = 1000
"""Values that no document has, besides as many as two for each, that are kept before they are looked for."""


class _Column:
    """One key: the different values, and for each document which of them it has."""

    def __init__(self) -> None:
        self.codes = Grown(np.int32, _ABSENT)
        self.values: list[Value] = []
        self._known: dict[tuple[bool, Value], int] = {}

    def set(self, document: int, value: Value) -> None:
        self.codes.reach(document + 1)
        key = (isinstance(value, bool), value)  # to Python, 1 is True
        code = self._known.setdefault(key, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        self.codes.all[document] = code
        if len(self.values) > 2 * len(self.codes) + _SPARE:
            self._tidy()

    def _tidy(self) -> None:
        """Forget the values that no document has any more."""
        there = np.flatnonzero(self.codes.all != _ABSENT)
        used, codes = np.unique(self.codes.all[there], return_inverse=True)
        self.codes.all[there] = codes
        self.values = [self.values[code] for code in used.tolist()]
        self._known = {(isinstance(value, bool), value): code for code, value in enumerate(self.values)}

    def fits(self, wanted: Comparison, documents: int) -> Booleans:
        self.codes.reach(documents)
        judged = np.array([*(holds(wanted, value) for value in self.values), holds(wanted, None)])
        return judged[self.codes.all[:documents]]  # the code of nothing, -1, is the last one


class Columns:
    """The attributes of documents that are numbered from 0."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._masks: dict[str, Booleans] = {}
        self._length = 0

    @property
    def bytes(self) -> int:
        """Memory that it takes, by estimate."""
        columns = sum(column.codes.bytes + 200 * len(column.values) for column in self._columns.values())
        return columns + sum(mask.nbytes for mask in self._masks.values())

    def set(self, document: int, attributes: Mapping[str, Value], *, new: bool) -> None:
        """Replace the attributes of a document; `new`: it had none."""
        self._masks.clear()
        self._length = max(self._length, document + 1)
        if not new:
            for column in self._columns.values():
                column.codes.reach(self._length)
                column.codes.all[document] = _ABSENT
        for key, value in attributes.items():
            self._columns.setdefault(key, _Column()).set(document, value)

    def mask(self, wanted: Filter) -> Booleans:
        """For each document whether it passes; not to be changed."""
        key = repr(wanted)  # to Python, filters for 1 and for true are equal
        found = self._masks.get(key)
        if found is None:
            if len(self._masks) >= _MOST_MASKS:
                self._masks.pop(next(iter(self._masks)))
            found = self._masks[key] = self._judged(wanted)
        return found

    def _judged(self, wanted: Filter) -> Booleans:
        if isinstance(wanted, Comparison):
            column = self._columns.get(wanted.key)
            if column is None:
                return np.full(self._length, holds(wanted, None))
            return column.fits(wanted, self._length)
        every = wanted.type == "and"
        judged = np.full(self._length, every)
        for each in wanted.filters:
            judged = judged & self._judged(each) if every else judged | self._judged(each)
        return judged
