"""What is searched: chunks of text with their vectors, attributes and keywords."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from antiphon.core.chunking import Chunk
from antiphon.core.filters import Filter
from antiphon.core.vectors import Vectors

Value: TypeAlias = str | bool | int | float
Mode: TypeAlias = Literal["vector", "keyword", "hybrid"]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Where chunks belong: ids are opaque here."""

    project: str
    store_id: str
    id: str
    file_id: str


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """A search in one store. `vector` is None in mode `keyword`, `text` is searched for in the modes `keyword` and
    `hybrid`; nothing in it is syntax. At most `limit` hits of each kind are wanted."""

    text: str
    vector: Vectors | None
    mode: Mode
    limit: int
    filter: Filter | None = None


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found. `similarity` is the cosine (-1 to 1), None when the chunk has no vector or vectors were
    not asked; `relevance` the share of the question's weight that the chunk carries (above 0, at most 1; `core.terms`
    says more), None when it has none of the words or they were not asked."""

    document: str
    file_id: str
    attributes: dict[str, Value]
    chunk: Chunk
    similarity: float | None = None
    relevance: float | None = None


class DimensionError(Exception):
    """Vectors of another dimension than the store has."""

    def __init__(self, given: int, kept: int) -> None:
        super().__init__(f"The vectors have {given} numbers, those of the store {kept}.")
        self.given = given
        self.kept = kept


class Index(Protocol):
    """Contract: a call that returns has committed. A document is found only after `publish`, at once and in every
    process, and no more after `remove`. Filters apply before the limit: the best `limit` of what passes are given. In
    mode `hybrid` the matches are the best of both kinds together, each with both its scores. Relevance is judged by the
    published chunks of the store, whatever the filter, and by no other store. The index does not rewrite what it has to
    add to it. What it cannot do raises StoreError. All methods may be called concurrently."""

    async def open(self) -> None:
        """Open, and migrate to the newest schema."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...

    async def check(self) -> None:
        """Raise StoreError unless the index answers."""
        ...

    async def add(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors | None, /) -> None:
        """Add chunks, `vectors` one for each. A position that the document has already stays as it is. Raises
        DimensionError."""
        ...

    async def count(self, document: Document, /) -> int:
        """How many chunks the document has: an interrupted ingestion goes on behind them."""
        ...

    async def publish(self, document: Document, attributes: dict[str, Value], /) -> int:
        """The document is whole: from now on it is found. May be repeated. How many bytes its chunks have: text as
        UTF-8, and vectors as float32."""
        ...

    async def label(self, document: Document, attributes: dict[str, Value], /) -> None:
        """Replace the attributes of a published document: the next search filters by them."""
        ...

    async def remove(self, documents: Sequence[Document], /) -> None:
        """Delete the documents with all their chunks; unknown ones are passed over."""
        ...

    async def drop(self, project: str, store_id: str, /) -> None:
        """Delete all documents of the store."""
        ...

    async def search(self, project: str, store_id: str, lookup: Lookup, /) -> Sequence[Match]:
        """The best matches, in no particular order. An unknown store has none. Raises DimensionError."""
        ...

    async def content(self, document: Document, /) -> Sequence[Chunk]:
        """The chunks of the document by position."""
        ...

    def stored(self) -> AsyncGenerator[Sequence[Document]]:
        """All documents of all projects, a batch at a time, for the collection of what nobody refers to."""
        ...
