"""Why chunks were not inserted. The writer hands these out instead of raising them: they are no failures of it."""

from __future__ import annotations

import msgspec


class Lacks(msgspec.Struct, frozen=True):
    """The document has these positions already."""

    positions: frozenset[int]


class Measured(msgspec.Struct, frozen=True):
    """The store's vectors have another dimension."""

    dimension: int
