"""Vector stores over a store and an index in memory, with what ingestion would have put there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.indexes.memory import MemoryIndex
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.adapters.tokens import BpeTokens
from antiphon.core.chunking import Chunk, searched
from antiphon.core.vectors import Vectors
from antiphon.engine.catalog import Catalog, Served
from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import Embeddings, Policy, Sources
from antiphon.engine.members import Members
from antiphon.engine.reranking import Reranking
from antiphon.engine.rewriting import Rewriting
from antiphon.engine.search import Search
from antiphon.engine.vector_stores import Shelves, VectorStores
from antiphon.ports.embedder import Embedder, EmbedderError
from antiphon.ports.files import StoredFile
from antiphon.ports.index import Document, Lookup, Match, Value
from antiphon.ports.model import Model
from antiphon.ports.reranker import Reranker
from antiphon.ports.retrieval import Found, RetrievalQuery
from antiphon.ports.vector_stores import Attachment, Ingested
from antiphon.wire.errors import StoreError
from antiphon.wire.files import File
from antiphon.wire.vector_stores import CreateVectorStore, VectorStore, VectorStoreFile
from tests.http.library import NoLines
from tests.meaning import MODEL, Meaning

PROJECT = "default"


class Clock(SeededClock):
    """A clock that a test sets forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Watched(Meaning):
    """The embedder; `asked` is what it was asked for queries."""

    def __init__(self, folder: Path) -> None:
        super().__init__(64, folder)
        self.asked: list[str] = []
        self.down = False

    async def embed(self, texts: Sequence[str], use: Any, /) -> Vectors:
        if self.down:
            raise EmbedderError("The embedding model is down.", transient=False)
        if use == "query":
            self.asked += texts
        return await super().embed(texts, use)


class Ingestion:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.woken = 0
        self.doubted = 0

    def wake(self) -> None:
        self.woken += 1

    def doubt(self) -> None:
        self.doubted += 1


class Faulty(MemoryIndex):
    """The index; `down`: it finds and removes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.lookups: list[Lookup] = []
        self.before_label: Callable[[Document, dict[str, Value]], Awaitable[None]] | None = None

    async def label(self, document: Document, attributes: dict[str, Value], /) -> None:
        if self.before_label is not None:
            await self.before_label(document, attributes)
        await super().label(document, attributes)

    async def search(self, project: str, store_id: str, lookup: Lookup, /) -> Sequence[Match]:
        self._fail()
        self.lookups.append(lookup)
        return await super().search(project, store_id, lookup)

    async def remove(self, documents: Sequence[Document], /) -> None:
        self._fail()
        await super().remove(documents)

    async def drop(self, project: str, store_id: str, /) -> None:
        self._fail()
        await super().drop(project, store_id)

    def _fail(self) -> None:
        if self.down:
            raise StoreError("The index is down.")


def _over(served: Served, dimension: int | None) -> Embedder:
    raise AssertionError("the models of the catalog embed nothing here")


class House:
    """Everything, and what clients do with it."""

    def __init__(self, folder: Path, *, reranker: Reranker | None, model: Model | None, vectors: bool) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.index = Faulty()
        self.embedder = Watched(folder)
        self.ingestion = Ingestion()
        catalog, tokens = Catalog({"test": model} if model is not None else {}, self.clock), BpeTokens()
        sources = Sources(self.embedder if vectors else None, catalog, _over)
        self.embeddings = Embeddings(sources, tokens, self.clock, policy=Policy(document=0, query=0))
        shelves = Shelves(
            rows=self.store.vector_stores,
            files=self.store.files,
            index=self.index,
            ingestion=self.ingestion,
            contextual=Contextual(catalog, NoLines(), None),
            clock=self.clock,
        )
        reranking = Reranking(reranker, tokens, self.clock, candidates=10)
        self.stores = VectorStores(shelves, self.embeddings)
        self.members = Members(shelves)
        self.search = Search(
            shelves, self.embeddings, reranking, Rewriting(catalog, "m" if model is not None else None)
        )

    async def file(self, name: str = "a.txt", project: str = PROJECT) -> str:
        """A file without bytes; its id."""
        file = File(id=self.clock.id("file-"), bytes=1, created_at=0, filename=name, purpose="assistants")
        await self.store.files.save_file(project, StoredFile(file=file))
        return file.id

    async def shelf(self, *texts: str, **attributes: Any) -> VectorStore:
        """A store with a file of these chunks."""
        store = await self.stores.create(PROJECT, CreateVectorStore())
        await self.add(store, *texts, **attributes)
        return store

    async def add(self, store: VectorStore, *texts: str, **attributes: Any) -> str:
        """One more file of these chunks, ingested; its id."""
        file_id = await self.file(f"{texts[0][:8]}.txt")
        await self.place(store, file_id, *texts, **attributes)
        return file_id

    async def place(self, store: VectorStore, file_id: str, *texts: str, **attributes: Any) -> str:
        """The file joins the store and is ingested; the document."""
        rows, now = self.store.vector_stores, self.clock.now()
        member = VectorStoreFile(id=file_id, created_at=0, vector_store_id=store.id, attributes=attributes)
        attached = Attachment(document=self.clock.id("doc_"), file=member)
        await rows.attach(PROJECT, store.id, [attached], None, now)
        await self.ingested(*texts)
        return attached.document

    async def ingested(self, *texts: str) -> None:
        """The next file that waits becomes these chunks."""
        rows, now = self.store.vector_stores, self.clock.now()
        (claim,) = await rows.claim_files("tests", now, now + 60, 1, 1)
        document = Document(project=PROJECT, store_id=claim.store.id, id=claim.document, file_id=claim.file.id)
        chunks = [Chunk(position=at, text=text, start=at * 1000, end=at * 1000 + 9) for at, text in enumerate(texts)]
        vectors = await self.embedder.embed([searched(chunk) for chunk in chunks], "document")
        await self.index.add(document, chunks, vectors if claim.store.embedding_model == MODEL else None)
        size = await self.index.publish(document, claim.file.attributes)
        ended = Ingested(document=claim.document, fence=claim.fence, status="completed", usage_bytes=size)
        assert await rows.finish_file(ended)

    async def find(self, query: str | tuple[str, ...], *stores: VectorStore, **wanted: Any) -> Found:
        """A search."""
        queries = (query,) if isinstance(query, str) else query
        ids = tuple(store.id for store in stores)
        return await self.search.search(PROJECT, RetrievalQuery(queries=queries, store_ids=ids, **wanted))


@asynccontextmanager
async def house(
    folder: Path, *, reranker: Reranker | None = None, model: Model | None = None, vectors: bool = True
) -> AsyncGenerator[House]:
    """Open, and close."""
    made = House(folder, reranker=reranker, model=model, vectors=vectors)
    await made.store.open()
    await made.index.open()
    try:
        yield made
    finally:
        await made.index.close()
        await made.store.close()


def texts_of(found: Found) -> list[str]:
    return [hit.text for hit in found.hits]
