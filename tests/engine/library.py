"""Ingestion over a real SQLite file, with an embedder and an index that the test can stop, fail and count."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.extracting.extraction import Limits, Workers
from antiphon.adapters.lines import SqliteLines
from antiphon.adapters.models.scripted import Says, Script, Scripted, Step
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.adapters.stores.sqlite import SqliteStore
from antiphon.adapters.tokens import BpeTokens
from antiphon.core.chunking import Chunk, Ruler
from antiphon.core.vectors import Vectors
from antiphon.engine.catalog import Catalog, Served
from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import VOCABULARY, Embeddings, Policy, Sources
from antiphon.engine.indexing import Indexing
from antiphon.engine.indexing import Parts as Stations
from antiphon.engine.ingestion import Bounds, Ingestion
from antiphon.engine.sweep import Sweep
from antiphon.ports.blobs import Blobs
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder, EmbedderError
from antiphon.ports.extractor import Extraction
from antiphon.ports.files import StoredFile
from antiphon.ports.index import Document, Index, Lookup, Match, Value
from antiphon.ports.vector_stores import Attachment, Member
from antiphon.wire.files import File
from antiphon.wire.vector_stores import (
    Chunking,
    FileBatch,
    FileStatus,
    StaticStrategy,
    Strategy,
    VectorStore,
    VectorStoreFile,
)
from tests.patience import eventually

PROJECT = "default"
MODEL = "counting"
SMALL = StaticStrategy(static=Chunking(max_chunk_size_tokens=100, chunk_overlap_tokens=0))
BOUNDS = Bounds(lease=1.0)
BATCH = 4
"""Texts of one call of the embedder."""


def lines(key: str, count: int) -> str:
    """A text of so many lines, about eight to a small chunk."""
    return "".join(f"line {number} of {key} tells of a mill and of a river.\n" for number in range(count))


class Counting:
    """The embedder. `asked` counts texts; `gate` stops the calls that have a text with the word `stop`."""

    model = MODEL
    most_texts = BATCH
    most_tokens = 100_000

    def __init__(self, dimension: int = 4) -> None:
        self.dimension: int | None = dimension
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.stop = ""
        self.down: EmbedderError | None = None
        self.waiting = 0

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        self.asked.update(texts)
        if any(self.stop in text for text in texts):
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
        if self.down is not None:
            raise self.down
        assert self.dimension is not None
        numbers = [float(len(text) + at) for text in texts for at in range(self.dimension)]
        return packed(self.dimension, numbers)

    def hold(self, word: str) -> None:
        """Stop the calls that have a text with this word."""
        self.stop = word
        self.gate.clear()

    def free(self) -> None:
        self.gate.set()

    async def held(self, calls: int = 1) -> None:
        """Return once so many calls are held."""

        async def stands() -> bool:
            return self.waiting >= calls

        await eventually(stands)

    async def close(self) -> None:
        """Nothing to release."""


def packed(dimension: int, numbers: Sequence[float]) -> Vectors:
    return Vectors(dimension, array("f", numbers).tobytes())


Hook = Callable[[str, Document | None], Awaitable[None]]


async def _nothing(call: str, document: Document | None) -> None:
    """The hook of a test that has none."""


class Watched:
    """The index, with a hook in front of every call that writes."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.before: Hook = _nothing
        self.after: Hook = _nothing

    async def open(self) -> None:
        await self.index.open()

    async def close(self) -> None:
        await self.index.close()

    async def check(self) -> None:
        await self.index.check()

    async def add(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors | None, /) -> None:
        await self.before("add", document)
        await self.index.add(document, chunks, vectors)
        await self.after("add", document)

    async def count(self, document: Document, /) -> int:
        return await self.index.count(document)

    async def publish(self, document: Document, attributes: dict[str, Value], /) -> int:
        await self.before("publish", document)
        size = await self.index.publish(document, attributes)
        await self.after("publish", document)
        return size

    async def label(self, document: Document, attributes: dict[str, Value], /) -> None:
        await self.index.label(document, attributes)

    async def remove(self, documents: Sequence[Document], /) -> None:
        await self.before("remove", None)
        await self.index.remove(documents)

    async def drop(self, project: str, store_id: str, /) -> None:
        await self.index.drop(project, store_id)

    async def search(self, project: str, store_id: str, lookup: Lookup, /) -> Sequence[Match]:
        return await self.index.search(project, store_id, lookup)

    async def content(self, document: Document, /) -> Sequence[Chunk]:
        return await self.index.content(document)

    def stored(self) -> AsyncGenerator[Sequence[Document]]:
        return self.index.stored()


async def whole(content: bytes) -> AsyncGenerator[bytes]:
    yield content


class Process:
    """What one process does in the background."""

    def __init__(self, ingestion: Ingestion, sweep: Sweep) -> None:
        self.ingestion = ingestion
        self.sweep = sweep


class Skewed:
    """A clock that goes wrong by so many seconds. The leases of one that is far behind have passed for everybody else,
    as those of a process that was suspended."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds

    def now(self) -> float:
        return self._clock.now() + self.seconds

    def id(self, prefix: str, /) -> str:
        return self._clock.id(prefix)


class Library:
    """A store, blobs and an index, and the processes that ingest there."""

    def __init__(
        self, folder: Path, store: SqliteStore, blobs: Blobs, index: Watched, extraction: Extraction, clock: Clock
    ) -> None:
        self.folder = folder
        self.store = store
        self.rows = store.vector_stores
        self.blobs = blobs
        self.index = index
        self.extraction = extraction
        self.clock = clock
        self.embedder = Counting()
        self.model = Scripted(Script((Step((Says("About a mill."),), repeat=True),)))
        self.stack = AsyncExitStack()
        self._processes: list[Ingestion] = []

    def process(
        self,
        bounds: Bounds = BOUNDS,
        *,
        embedder: Embedder | None = None,
        ruler: Ruler | None = None,
        clock: Clock | None = None,
        sweep_seconds: float = 300,
    ) -> Process:
        """One more process, which is not open yet; it is closed at the end."""
        clock = clock or self.clock
        catalog = Catalog({"test": self.model}, self.clock)
        contextual = Contextual(catalog, SqliteLines(self.clock, self.folder), None)
        sources = Sources(embedder or self.embedder, catalog, _no_other)
        embeddings = Embeddings(sources, BpeTokens(), self.clock, policy=Policy(document=0, query=0))
        stations = Stations(
            rows=self.rows,
            files=self.store.files,
            blobs=self.blobs,
            extraction=self.extraction,
            ruler=ruler or BpeTokens().ruler(VOCABULARY),
            contextual=contextual,
            embeddings=embeddings,
            index=self.index,
            clock=clock,
        )
        sweep = Sweep(rows=self.rows, index=self.index, clock=clock, seconds=sweep_seconds)
        ingestion = Ingestion(rows=self.rows, indexing=Indexing(stations), sweep=sweep, clock=clock, bounds=bounds)
        self.stack.push_async_callback(contextual.close)
        self.stack.push_async_callback(sweep.close)
        self.stack.push_async_callback(ingestion.close)
        self._processes.append(ingestion)
        return Process(ingestion, sweep)

    # what clients do

    async def file(
        self,
        content: bytes | str,
        name: str = "text.txt",
        media: str = "text/plain",
        *,
        project: str = PROJECT,
        expires_at: int | None = None,
    ) -> str:
        """A file; its id."""
        raw = content.encode() if isinstance(content, str) else content
        file_id = self.clock.id("file-")
        await self.blobs.put(project, file_id, whole(raw))
        file = File(
            id=file_id,
            bytes=len(raw),
            created_at=int(self.clock.now()),
            filename=name,
            purpose="assistants",
            expires_at=expires_at,
        )
        await self.store.files.save_file(project, StoredFile(file=file, media=media))
        return file_id

    async def vector_store(
        self, model: str | None = MODEL, project: str = PROJECT, expires_at: int | None = None
    ) -> str:
        """A store; its id."""
        now = int(self.clock.now())
        made = VectorStore(
            id=self.clock.id("vs_"), created_at=now, last_active_at=now, embedding_model=model, expires_at=expires_at
        )
        await self.rows.create_store(project, made, [])
        return made.id

    async def attach(
        self,
        store_id: str,
        *file_ids: str,
        project: str = PROJECT,
        strategy: Strategy = SMALL,
        batch: FileBatch | None = None,
        said: bool = True,
    ) -> None:
        """Add these files to the store, and say so to every process."""
        files = [
            Attachment(
                document=self.clock.id("doc_"),
                file=VectorStoreFile(
                    id=file_id, created_at=int(self.clock.now()), vector_store_id=store_id, chunking_strategy=strategy
                ),
            )
            for file_id in file_ids
        ]
        assert await self.rows.attach(project, store_id, files, batch, self.clock.now()) is not None
        for ingestion in self._processes if said else ():
            ingestion.wake()

    # what stands

    async def member(self, store_id: str, file_id: str) -> Member:
        found = await self.rows.member(PROJECT, store_id, file_id)
        assert found is not None
        return found

    async def status(self, store_id: str, file_id: str) -> FileStatus:
        return (await self.member(store_id, file_id)).file.status

    async def ended(self, store_id: str, file_id: str) -> VectorStoreFile:
        """The file once it is in progress no more."""

        async def over() -> bool:
            return await self.status(store_id, file_id) != "in_progress"

        await eventually(over)
        return (await self.member(store_id, file_id)).file

    async def document(self, store_id: str, file_id: str) -> Document:
        member = await self.member(store_id, file_id)
        return Document(project=PROJECT, store_id=store_id, id=member.document, file_id=file_id)

    async def chunks(self, store_id: str, file_id: str) -> Sequence[Chunk]:
        return await self.index.content(await self.document(store_id, file_id))

    async def stored(self) -> set[str]:
        """The documents of the index."""
        return {one.id async for documents in self.index.stored() for one in documents}

    async def half_done(self, store_id: str, file_id: str) -> None:
        """Attach the file, and return when its ingestion is held behind its first chunks."""
        self.embedder.hold("line 60 ")
        await self.attach(store_id, file_id)
        await self.embedder.held()

        async def begun() -> bool:
            return bool(await self.chunks(store_id, file_id))

        await eventually(begun)
        assert file_id not in await self.found(store_id)

    async def idle(self, *stored: str) -> None:
        """Return once the index holds these documents only."""

        async def clean() -> bool:
            return await self.stored() == set(stored)

        await eventually(clean)

    async def found(self, store_id: str, words: str = "river") -> set[str]:
        """The files that a search by keywords finds."""
        wanted = Lookup(text=words, vector=None, mode="keyword", limit=1000)
        return {match.file_id for match in await self.index.search(PROJECT, store_id, wanted)}


def _no_other(served: Served, dimension: int | None) -> Embedder:
    raise AssertionError("only the configured embedder is asked for")


@asynccontextmanager
async def library(folder: Path) -> AsyncGenerator[Library]:
    """A library on a folder."""
    clock = SystemClock()
    parts = Parts(name="", clock=clock, folder=folder)
    async with AsyncExitStack() as stack:
        store = SqliteStore(clock, folder)
        await store.open()
        stack.push_async_callback(store.close)
        place = adapter("blobs", "folder")
        blobs: Blobs = place.make(place.config(), parts)
        await blobs.open()
        stack.push_async_callback(blobs.close)
        found = adapter("indexes", "embedded")
        index = Watched(found.make(found.config(), parts))
        await index.open()
        stack.push_async_callback(index.close)
        extraction = Workers(Limits(), folder)
        stack.push_async_callback(extraction.close)
        made = Library(folder, store, blobs, index, extraction, clock)
        stack.push_async_callback(made.stack.aclose)
        yield made
