"""Vectors for vector stores: which embedder a store has, batches, and what is done about calls that fail."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from antiphon.core.vectors import Vectors
from antiphon.engine.catalog import Catalog, Served, UnknownModelError
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder, EmbedderError
from antiphon.ports.tokens import Tokens
from antiphon.wire.errors import InvalidRequestError

VOCABULARY: Final = "text-embedding-3-small"
"""The model whose tokens sizes are in."""
_LONGEST_KEPT: Final = 4096
"""Characters of a query whose vector is kept."""


class Space(msgspec.Struct, frozen=True):
    """What the vectors of a store are: the name of their model, and how many numbers one has (None: not known yet)."""

    model: str
    dimension: int | None = None


class Sources(msgspec.Struct, frozen=True):
    """Where embedders come from: the configured one (None: there is none), and the models of the catalog, over which
    `over` makes embedders of vectors of so many numbers (None: the model's own)."""

    embedder: Embedder | None
    catalog: Catalog
    over: Callable[[Served, int | None], Embedder]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are made. Seconds: a call that fails is repeated after `first`, then after twice as long each time up
    to `longest`, or after what the embedder asks for, as long as that is within `document` or `query` from the
    beginning. `query_limit` is the longest that a query may take altogether."""

    document: float = 120.0
    query: float = 5.0
    query_limit: float = 30.0
    first: float = 0.5
    longest: float = 30.0
    parallel: int = 4
    """Calls for one document at once."""
    calls: int = 8
    """Calls of this process for documents at once."""
    kept: int = 512
    """Vectors of queries that are kept."""


class Embeddings:
    """Makes the vectors of documents and queries. Raises EmbedderError where it cannot."""

    def __init__(
        self,
        sources: Sources,
        tokens: Tokens,
        clock: Clock,
        *,
        policy: Policy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = sources
        self._tokens = tokens
        self._clock = clock
        self._policy = policy or Policy()
        self._sleep = sleep
        self._calls = asyncio.Semaphore(self._policy.calls)
        self._kept: OrderedDict[tuple[Space, str], Vectors] = OrderedDict()

    async def settle(self, name: str | None, dimension: int | None) -> Space | None:
        """What the vectors of a new store shall be: of the model of this name (None: the configured embedder's); None:
        there is no embedder, the store is searched by keywords only. InvalidRequestError for what cannot be."""
        own = self._sources.embedder
        if name is None and own is None:
            if dimension is not None:
                raise _wrong("embedding_dimension", "This server has no embedding model: stores have no vectors.")
            return None
        if own is not None and (name is None or _same(name, own)):
            if dimension is not None and own.dimension not in {None, dimension}:
                words = f"Vectors of the embedding model '{own.model}' have {own.dimension} dimensions."
                raise _wrong("embedding_dimension", words)
            return Space(own.model if name is None else name, dimension or own.dimension)
        assert name is not None
        try:
            await self._sources.catalog.resolve(name)
        except UnknownModelError:
            words = f"The embedding model '{name}' does not exist."
            raise _wrong("embedding_model", words, "model_not_found") from None
        return Space(name, dimension)

    async def embedded(self, space: Space, texts: Sequence[str]) -> AsyncGenerator[Vectors]:
        """The vectors of these texts, in order, some at a time, all of one dimension. Close it in every case."""
        embedder = await self._embedder(space)
        batches = self._batches(embedder, texts)
        dimension = space.dimension
        waiting: deque[asyncio.Task[Vectors]] = deque()
        try:
            while True:
                while len(waiting) < self._policy.parallel and (batch := next(batches, None)) is not None:
                    waiting.append(asyncio.create_task(self._document(embedder, batch)))
                if not waiting:
                    return
                vectors = await waiting[0]
                waiting.popleft()
                dimension = _checked(vectors, Space(space.model, dimension))
                yield vectors
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def query(self, space: Space, text: str) -> Vectors:
        """The vector of a query; one that was asked for lately is remembered."""
        key = (space, text)
        if (known := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return known
        try:
            async with asyncio.timeout(self._policy.query_limit):
                embedder = await self._embedder(space)
                vectors = await self._repeated(embedder, [text], "query")
        except TimeoutError:
            raise EmbedderError(f"The embedding model '{space.model}' did not answer in time.") from None
        _checked(vectors, space)
        if len(text) <= _LONGEST_KEPT:
            self._kept[key] = vectors
            while len(self._kept) > self._policy.kept:
                self._kept.popitem(last=False)
        return vectors

    async def close(self) -> None:
        """Close the configured embedder."""
        if self._sources.embedder is not None:
            await self._sources.embedder.close()

    async def _embedder(self, space: Space) -> Embedder:
        own = self._sources.embedder
        if own is not None and _same(space.model, own):
            return own
        try:
            served = await self._sources.catalog.resolve(space.model)
        except UnknownModelError:
            words = f"The embedding model '{space.model}' of this vector store is not served."
            raise EmbedderError(words, transient=False) from None
        return self._sources.over(served, space.dimension)

    def _batches(self, embedder: Embedder, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0
        for text in texts:
            more = self._tokens.count(text, VOCABULARY)
            if batch and (len(batch) >= embedder.most_texts or tokens + more > embedder.most_tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += more
        if batch:
            yield batch

    async def _document(self, embedder: Embedder, batch: Sequence[str]) -> Vectors:
        async with self._calls:
            return await self._repeated(embedder, batch, "document")

    async def _repeated(self, embedder: Embedder, texts: Sequence[str], use: Literal["document", "query"]) -> Vectors:
        until = self._clock.now() + (self._policy.document if use == "document" else self._policy.query)
        wait = self._policy.first
        while True:
            try:
                vectors = await embedder.embed(texts, use)
            except EmbedderError as error:
                pause = max(wait, error.retry_after or 0.0)
                if not error.transient or self._clock.now() + pause > until:
                    raise
            else:
                if len(vectors) != len(texts):
                    words = (
                        f"The embedding model '{embedder.model}' gave {len(vectors)} vectors for {len(texts)} texts."
                    )
                    raise EmbedderError(words, transient=False)
                return vectors
            await self._sleep(pause)
            wait = min(wait * 2, self._policy.longest)


def _same(name: str, embedder: Embedder) -> bool:
    """Whether this is a name of the embedder's model: with or without whoever published it."""
    return name == embedder.model or name.rpartition("/")[2] == embedder.model.rpartition("/")[2]


def _checked(vectors: Vectors, space: Space) -> int:
    """The dimension of the vectors, which is the one that was there before."""
    if space.dimension not in {None, vectors.dimension}:
        words = (
            f"The embedding model '{space.model}' gave {vectors.dimension} dimensions where {space.dimension} are kept."
        )
        raise EmbedderError(words, transient=False)
    return vectors.dimension


def _wrong(param: str, words: str, code: str | None = None) -> InvalidRequestError:
    return InvalidRequestError(words, param=param, code=code)
