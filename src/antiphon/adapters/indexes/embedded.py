"""An index in one SQLite file of its own, `index.db`: vectors, words and texts of chunks.

Law: what is searched is the file; what is in memory follows it (`adapters.indexing.shelf`), so several processes may
use the same one. Nothing here runs on the event loop for longer than a point read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from antiphon.adapters.indexing import reading
from antiphon.adapters.indexing.refusals import Lacks, Measured
from antiphon.adapters.indexing.schema import LAYOUT
from antiphon.adapters.parts import Parts
from antiphon.adapters.sql.database import Database
from antiphon.ports.clock import Clock
from antiphon.ports.index import Chunk, DimensionError, Document, Lookup, Match, Value, Vectors

if TYPE_CHECKING:
    from antiphon.adapters.indexing.engine import Engine

FILE: Final = "index.db"
"""The name of the database in the data folder."""


class IndexFile(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the index."""

    memory_mb: Annotated[int, Meta(ge=1)] = 1024
    """Vectors and attributes of stores kept in memory, MB; the store that is searched stays whatever it takes."""
    graph_above: Annotated[int, Meta(ge=100)] = 200_000
    """Vectors of a store above which a graph (HNSW) is made to search them."""
    patience: Annotated[float, Meta(ge=0.0)] = 5.0
    """Seconds to wait while another process writes."""


class EmbeddedIndex:
    """The port `Index` on the file `index.db` in a folder."""

    def __init__(self, clock: Clock, folder: Path, config: IndexFile | None = None) -> None:
        self._config = config or IndexFile()
        self._folder = folder
        self._db = Database(clock, folder / FILE, self._config.patience, LAYOUT)
        self._engine: Engine | None = None

    @property
    def memory(self) -> int:
        """Bytes that stores take in memory, by estimate."""
        return self._engine.shelves.bytes if self._engine is not None else 0

    @property
    def graphs(self) -> int:
        """How many stores in memory are searched through a graph."""
        return self._engine.shelves.graphs if self._engine is not None else 0

    async def open(self) -> None:
        """Open the file, which is made when it is not there, and migrate it."""
        await self._db.open()

    async def close(self) -> None:
        """Release the file and the memory."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.growth.close()
        await self._db.close()

    async def check(self) -> None:
        """Raise StoreError unless the file can be read."""
        await self._db.point(lambda db: db.execute("SELECT 1 FROM project LIMIT 1").fetchone())

    async def add(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors | None, /) -> None:
        """Add chunks; a position that is there stays as it is."""
        engine, left = await self._loaded(), chunks
        while left:
            made = await asyncio.to_thread(engine.prepared, document, left, vectors)
            ended = await self._db.write(document.project, lambda db, own, made=made: engine.add(db, own, made))
            if ended is None:
                return
            if isinstance(ended, Measured):
                assert vectors is not None
                raise DimensionError(vectors.dimension, ended.dimension)
            left, vectors = _missing(left, vectors, ended)

    async def count(self, document: Document, /) -> int:
        """How many chunks the document has."""
        return await self._db.peek(document.project, lambda db, own: reading.count(db, own, document))

    async def publish(self, document: Document, attributes: dict[str, Value], /) -> int:
        """Let the document be found."""
        engine = await self._loaded()
        return await self._db.write(document.project, lambda db, own: engine.publish(db, own, document, attributes))

    async def label(self, document: Document, attributes: dict[str, Value], /) -> None:
        """Replace the attributes of a published document."""
        engine = await self._loaded()
        await self._db.write(document.project, lambda db, own: engine.label(db, own, document, attributes))

    async def remove(self, documents: Sequence[Document], /) -> None:
        """Delete the documents."""
        engine = await self._loaded()
        stores: dict[tuple[str, str], list[str]] = {}
        for document in documents:
            stores.setdefault((document.project, document.store_id), []).append(document.id)
        for (project, store_id), ids in stores.items():
            await self._db.write(
                project, lambda db, own, store_id=store_id, ids=ids: engine.remove(db, own, store_id, ids)
            )
        await self._purge()

    async def drop(self, project: str, store_id: str, /) -> None:
        """Delete all documents of the store."""
        engine = await self._loaded()
        await self._db.write(project, lambda db, own: engine.remove(db, own, store_id, None))
        await self._purge()

    async def search(self, project: str, store_id: str, lookup: Lookup, /) -> Sequence[Match]:
        """The best matches."""
        engine = await self._loaded()
        found = await self._db.read(project, lambda db, own: engine.shelves.search(db, own, store_id, lookup))
        engine.growth.look()
        return found

    async def content(self, document: Document, /) -> Sequence[Chunk]:
        """The chunks of the document by position."""
        return await self._db.read(document.project, lambda db, own: reading.content(db, own, document))

    async def stored(self) -> AsyncGenerator[Sequence[Document]]:
        """All documents of all projects."""
        if await self._db.far(lambda db: reading.empty(db) and not any(self._folder.glob("index-*.graph"))):
            return  # a server that is not asked to search does not load what searches
        engine = await self._loaded()
        await self._purge()  # what a process left that died while it removed
        await self._db.far(lambda db: engine.swept(db, self._folder))
        after = 0
        while found := await self._db.far(lambda db, after=after: reading.stored(db, after)):
            yield [document for _, document in found]
            after = found[-1][0]

    # what the methods share

    async def _purge(self) -> None:
        engine = await self._loaded()
        while await self._db.submit(engine.purge):
            pass

    async def _loaded(self) -> Engine:
        if self._engine is None:
            made = await asyncio.to_thread(self._made)
            self._engine = self._engine or made
        return self._engine

    def _made(self) -> Engine:
        from antiphon.adapters.indexing.engine import Engine  # noqa: PLC0415 - numpy: no start should wait for it

        return Engine(self._db, self._folder, self._config.memory_mb * 1024 * 1024, self._config.graph_above)


def _missing(chunks: Sequence[Chunk], vectors: Vectors | None, there: Lacks) -> tuple[Sequence[Chunk], Vectors | None]:
    """What the document does not have yet."""
    kept = [place for place, chunk in enumerate(chunks) if chunk.position not in there.positions]
    left = [chunks[place] for place in kept]
    if vectors is None:
        return left, None
    size = 4 * vectors.dimension
    return left, Vectors(
        vectors.dimension, b"".join(vectors.packed[place * size : (place + 1) * size] for place in kept)
    )


def make(config: IndexFile, parts: Parts) -> EmbeddedIndex:
    """The index in the data folder."""
    return EmbeddedIndex(parts.clock, parts.folder, config)
