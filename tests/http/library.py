"""The parts of retrieval for a server that is about something else: stores in memory, nothing ingested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from antiphon.adapters.indexes.memory import MemoryIndex
from antiphon.adapters.tokens import BpeTokens
from antiphon.engine.catalog import Catalog, Served
from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import Embeddings, Sources
from antiphon.engine.files import Files, Shelf
from antiphon.engine.members import Members
from antiphon.engine.reranking import Reranking
from antiphon.engine.rewriting import Rewriting
from antiphon.engine.search import Search
from antiphon.engine.uploads import Uploads
from antiphon.engine.vector_stores import Shelves, VectorStores
from antiphon.ports.blobs import Blobs
from antiphon.ports.clock import Clock
from antiphon.ports.embedder import Embedder
from antiphon.ports.files import StoredFile
from antiphon.ports.index import Index
from antiphon.ports.storage import Storage
from antiphon.ports.vector_stores import Attachment, Ingested
from antiphon.wire.files import File
from antiphon.wire.vector_stores import FileBatch, VectorStore, VectorStoreFile
from tests.blobs import MemoryBlobs

PROJECT = "default"


class Idle:
    """Ingests nothing."""

    def wake(self) -> None: ...

    def doubt(self) -> None: ...


class NoLines:
    """Keeps no lines."""

    async def known(self, project: str, keys: object, /) -> dict[bytes, str]:
        return {}

    async def keep(self, project: str, key: bytes, line: str, /) -> None: ...

    async def close(self) -> None: ...


def _over(served: Served, dimension: int | None) -> Embedder:
    raise AssertionError("nothing is embedded here")


class Shortest:
    """A reranker: the shorter a text, the better."""

    model = "shortest"

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        return [1 / (1 + len(text)) for text in texts]

    async def close(self) -> None: ...


def library(store: Storage, clock: Clock, index: Index | None = None, blobs: Blobs | None = None) -> dict[str, Any]:
    """The fields of Services."""
    catalog, tokens = Catalog({}, clock), BpeTokens()
    embeddings = Embeddings(Sources(None, catalog, _over), tokens, clock)
    shelves = Shelves(
        rows=store.vector_stores,
        files=store.files,
        index=index or MemoryIndex(),
        ingestion=Idle(),
        contextual=Contextual(catalog, NoLines(), None),
        clock=clock,
    )
    reranking = Reranking(Shortest(), tokens, clock)
    shelf = Shelf(
        rows=store.files, blobs=blobs or MemoryBlobs(), stores=store.vector_stores, index=shelves.index, clock=clock
    )
    return {
        "files": Files(shelf),
        "uploads": Uploads(shelf),
        "vector_stores": VectorStores(shelves, embeddings),
        "members": Members(shelves),
        "retrieval": Search(shelves, embeddings, reranking, Rewriting(catalog, None)),
        "reranking": reranking,
    }


class Shelved(NamedTuple):
    """What stands in a store."""

    file_id: str
    vector_store_id: str
    batch_id: str


async def shelved(store: Storage, clock: Clock) -> Shelved:
    """A file that is in a store by a batch, ingested without a chunk."""
    now = int(clock.now())
    file = File(id=clock.id("file-"), bytes=1, created_at=now, filename="a.txt", purpose="assistants")
    await store.files.save_file(PROJECT, StoredFile(file=file, media="text/plain"))
    made = VectorStore(id=clock.id("vs_"), created_at=now)
    rows = store.vector_stores
    await rows.create_store(PROJECT, made, ())
    batch = FileBatch(id=clock.id("vsfb_"), created_at=now, vector_store_id=made.id)
    member = VectorStoreFile(id=file.id, created_at=now, vector_store_id=made.id)
    attached = Attachment(document=clock.id("doc_"), file=member)
    await rows.attach(PROJECT, made.id, [attached], batch, now)
    (claim,) = await rows.claim_files("tests", now, now + 60, 1, 1)
    await rows.finish_file(Ingested(document=claim.document, fence=claim.fence, status="completed"))
    return Shelved(file.id, made.id, batch.id)
