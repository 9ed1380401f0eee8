"""The way of one file into the index: bytes, text, chunks, vectors, published.

It may be walked again at any time, from its beginning: what is in the index already is compared with what would be
added, and only what is missing is embedded. Text and chunks come out the same for the same bytes, so that all that a
dead process left is usually kept; after an upgrade that reads or cuts differently it is not, and is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from antiphon.core.chunking import Ruler, chunked, searched
from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import Embeddings, Space
from antiphon.ports.blobs import Blobs, NoBlobError
from antiphon.ports.clock import Clock
from antiphon.ports.extractor import Extracted, Extraction, ExtractionError
from antiphon.ports.files import Files
from antiphon.ports.index import Chunk, DimensionError, Document, Index, Value, Vectors
from antiphon.ports.vector_stores import ClaimedFile, Ingested, VectorStores
from antiphon.wire.errors import AntiphonError
from antiphon.wire.vector_stores import Chunking, ContextualStrategy, LastError, StaticStrategy

BATCH: Final = 256
"""Chunks that are written at once when they have no vectors, and those that get their context at once."""


class LostError(Exception):
    """The document is not wanted any more, or is somebody else's."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file passes on its way."""

    rows: VectorStores
    files: Files
    blobs: Blobs
    extraction: Extraction
    ruler: Ruler
    contextual: Contextual
    embeddings: Embeddings
    index: Index
    clock: Clock


class _Cut(msgspec.Struct, frozen=True):
    """A document in chunks; `text` is kept for strategies that look at the whole of it."""

    chunks: list[Chunk]
    text: str = ""


class _RefusedError(Exception):
    """The file fails for this reason."""

    def __init__(self, reason: LastError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Indexing:
    """Indexes claimed files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def index(
        self, claim: ClaimedFile, document: Document, hold: Callable[[], Awaitable[None]]
    ) -> Ingested | LastError:
        """Index the file and publish it; how it ended, or why it failed. `hold` is called before anything is written
        and does not return when the document is no longer ours. Raises LostError."""
        try:
            return await self._index(claim, document, hold)
        except _RefusedError as error:
            return error.reason
        except ExtractionError as error:
            return LastError(code=error.code, message=error.message)
        except DimensionError as error:
            words = (
                f"The embedding model gives vectors of {error.given} numbers, but those of the vector store have "
                f"{error.kept}."
            )
            return LastError(code="server_error", message=words)
        except AntiphonError as error:  # the embedder, the model that writes contexts, the blobs or the index
            return LastError(code="server_error", message=error.message)

    async def _index(self, claim: ClaimedFile, document: Document, hold: Callable[[], Awaitable[None]]) -> Ingested:
        if claim.store.status == "expired":
            raise _refused("The vector store has expired.")
        index = self._parts.index
        cut = await self._cut(claim)
        kept = await self._kept(document, cut.chunks, hold)
        dimension = await self._dimension(claim) if kept == len(cut.chunks) else None
        async with aclosing(self._ready(claim, cut, kept)) as batches:
            async for batch, vectors in batches:
                await hold()
                await index.add(document, batch, vectors)
                dimension = vectors.dimension if vectors is not None else None
        await hold()
        size = await self._publish(document, len(cut.chunks))
        return Ingested(
            document=document.id, fence=claim.fence, status="completed", usage_bytes=size, dimension=dimension
        )

    # text and chunks

    async def _cut(self, claim: ClaimedFile) -> _Cut:
        size = _size(claim)
        text = await self._text(claim)
        chunks = await asyncio.to_thread(
            chunked, text, size.max_chunk_size_tokens, size.chunk_overlap_tokens, self._parts.ruler
        )
        if not chunks:
            raise _RefusedError(LastError(code="invalid_file", message="The file has no text."))
        return _Cut(chunks, text.text if isinstance(claim.file.chunking_strategy, ContextualStrategy) else "")

    async def _text(self, claim: ClaimedFile) -> Extracted:
        parts = self._parts
        stored = await parts.files.file(claim.project, claim.file.id, parts.clock.now())
        if stored is None:
            raise _RefusedError(LastError(code="invalid_file", message="The file does not exist any more."))
        try:
            async with aclosing(parts.blobs.read(claim.project, claim.file.id)) as pieces:
                return await parts.extraction.extract(pieces, stored.file.filename, stored.media)
        except NoBlobError:
            raise _refused("The content of the file is missing.") from None

    async def _kept(self, document: Document, chunks: Sequence[Chunk], hold: Callable[[], Awaitable[None]]) -> int:
        """How many of the chunks are in the index already. What is there but is not the beginning of `chunks` was cut
        by another version of this program: it is removed."""
        index = self._parts.index
        if not await index.count(document):
            return 0
        there = await index.content(document)
        bare = [msgspec.structs.replace(chunk, context="") for chunk in there]  # a model may word it otherwise
        if bare == chunks[: len(there)]:
            return len(there)
        await hold()
        await index.remove([document])
        return 0

    # vectors

    async def _ready(
        self, claim: ClaimedFile, cut: _Cut, kept: int
    ) -> AsyncGenerator[tuple[Sequence[Chunk], Vectors | None]]:
        """The chunks behind those that are kept, in the batches in which they are added."""
        strategy = claim.file.chunking_strategy
        chunks = cut.chunks[kept:]
        if not isinstance(strategy, ContextualStrategy):
            async with aclosing(self._embedded(claim, chunks)) as batches:
                async for batch in batches:
                    yield batch
            return
        for at in range(0, len(chunks), BATCH):
            some = await self._parts.contextual.written(
                claim.project, cut.text, chunks[at : at + BATCH], strategy.contextual
            )
            async with aclosing(self._embedded(claim, some)) as batches:
                async for batch in batches:
                    yield batch

    async def _embedded(
        self, claim: ClaimedFile, chunks: Sequence[Chunk]
    ) -> AsyncGenerator[tuple[Sequence[Chunk], Vectors | None]]:
        space = _space(claim)
        if space is None:
            for at in range(0, len(chunks), BATCH):
                yield chunks[at : at + BATCH], None
            return
        at = 0
        async with aclosing(self._parts.embeddings.embedded(space, [searched(chunk) for chunk in chunks])) as batches:
            async for vectors in batches:
                yield chunks[at : at + len(vectors)], vectors
                at += len(vectors)

    async def _dimension(self, claim: ClaimedFile) -> int | None:
        """For a document whose vectors were all made by a process that has died: what any text has."""
        space = _space(claim)
        if space is None or space.dimension is not None:
            return space and space.dimension
        return (await self._parts.embeddings.query(space, "dimension")).dimension

    # the end

    async def _publish(self, document: Document, count: int) -> int:
        """Let it be found, with the attributes that its row has; how many bytes it takes."""
        index = self._parts.index
        attributes = await self._attributes(document)
        if await index.count(document) != count:
            raise _refused("Another process changed the chunks of the file while it was indexed.")
        size = await index.publish(document, attributes)
        # attributes that were set meanwhile found nothing to label: what is published follows the row until both agree
        while (latest := await self._attributes(document)) != attributes:
            attributes = latest
            await index.label(document, attributes)
        return size

    async def _attributes(self, document: Document) -> dict[str, Value]:
        """As they stand. LostError when the file is not in progress any more."""
        rows = await self._parts.rows.documents(document.project, [document.id])
        row = rows.get(document.id)
        if row is None or row.status != "in_progress":
            raise LostError
        return row.attributes


def _size(claim: ClaimedFile) -> Chunking:
    strategy = claim.file.chunking_strategy
    if isinstance(strategy, StaticStrategy):
        return strategy.static
    if isinstance(strategy, ContextualStrategy):
        options = strategy.contextual
        return Chunking(
            max_chunk_size_tokens=options.max_chunk_size_tokens, chunk_overlap_tokens=options.chunk_overlap_tokens
        )
    return Chunking()


def _space(claim: ClaimedFile) -> Space | None:
    """What the vectors of the store are; None: it has none."""
    model = claim.store.embedding_model
    return Space(model, claim.store.embedding_dimension) if model is not None else None


def _refused(words: str) -> _RefusedError:
    return _RefusedError(LastError(code="server_error", message=words))
