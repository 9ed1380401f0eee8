"""Search of vector stores, as tools see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.core.filters import Filter
from antiphon.ports.index import Mode, Value
from antiphon.wire.tools import RankingOptions


class RetrievalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to search for, in which stores. Several queries are searched and merged into one ranking. `mode` None:
    hybrid where the store has vectors, else keyword."""

    queries: tuple[str, ...]
    store_ids: tuple[str, ...]
    limit: int = 10
    filter: Filter | None = None
    ranking: RankingOptions = RankingOptions()
    mode: Mode | None = None
    rewrite: bool = False


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that answers. `score` from 0 to 1."""

    file_id: str
    filename: str
    store_id: str
    score: float
    text: str
    attributes: dict[str, Value]
    first_page: int | None = None
    last_page: int | None = None


class Found(msgspec.Struct, frozen=True):
    """The queries as they were searched (rewritten, where that was asked), and the hits, best first."""

    queries: tuple[str, ...]
    hits: Sequence[Hit]


class Retrieval(Protocol):
    """Contract: raises AntiphonError: NotFoundError for an unknown store (also another project's), InvalidRequestError
    for an expired one and for a mode that a store cannot do; EmbedderError, RerankError or StoreError when a part of
    the search failed: never an empty answer instead."""

    async def search(self, project: str, wanted: RetrievalQuery, /) -> Found:
        """Search; the stores count as used."""
        ...

    async def exist(self, project: str, store_ids: Sequence[str], /) -> None:
        """Raise as `search` would for these stores, without searching."""
        ...
