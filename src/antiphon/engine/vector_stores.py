"""Vector stores: made, changed and deleted. Their files are `members`, their searches `search`.

Law: rows are written first and the index follows; what a failure leaves in the index is nobody's: no search finds it,
and it is swept.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import Embeddings
from antiphon.ports.clock import Clock
from antiphon.ports.files import Files
from antiphon.ports.index import Index
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment
from antiphon.ports.vector_stores import VectorStores as Rows
from antiphon.wire.errors import InvalidRequestError, NotFoundError, StoreError
from antiphon.wire.invalid import quoted
from antiphon.wire.vector_stores import (
    Attributes,
    AutoStrategy,
    Chunking,
    ContextualStrategy,
    CreateVectorStore,
    ExpiresAfter,
    GivenStrategy,
    StaticStrategy,
    Strategy,
    UpdateVectorStore,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreFile,
    VectorStorePage,
)

LOGGER: Final = logging.getLogger(__name__)

DAY: Final = 86_400
"""Seconds."""


class Working(Protocol):
    """Whoever ingests."""

    def wake(self) -> None:
        """There may be files to ingest."""
        ...

    def doubt(self) -> None:
        """Some of what is being ingested may no longer be wanted."""
        ...


class Shelves(msgspec.Struct, frozen=True, kw_only=True):
    """What vector stores are made of."""

    rows: Rows
    files: Files
    index: Index
    ingestion: Working
    contextual: Contextual
    clock: Clock

    async def store(self, project: str, store_id: str, *, alive: bool = False) -> VectorStore:
        """The store as it stands; NotFoundError, and with `alive` InvalidRequestError for an expired one."""
        found = await self.rows.store(project, store_id, self.clock.now())
        if found is None:
            raise missing_store(store_id)
        if alive and found.status == "expired":
            raise expired_store(store_id)
        return found

    async def known(self, project: str, wanted: Sequence[tuple[str, str]]) -> None:
        """NotFoundError for the first of these files (where the request names it, and its id) that does not exist."""
        found = await self.files.files(project, list({file_id for _, file_id in wanted}), self.clock.now())
        for place, file_id in wanted:
            if file_id not in found:
                raise missing_file(file_id, place)

    def attachment(self, file: VectorStoreFile) -> Attachment:
        """The file as it joins its store, under a document of its own."""
        return Attachment(document=self.clock.id("doc_"), file=file)

    async def strategy(self, given: GivenStrategy) -> Strategy:
        """How files will be cut, as their objects show it; InvalidRequestError for a model that is not there."""
        match given:
            case AutoStrategy():
                return StaticStrategy(static=Chunking())
            case StaticStrategy():
                return given
            case ContextualStrategy():
                return ContextualStrategy(contextual=await self.contextual.settle(given.contextual))

    async def cleared(self, work: Awaitable[None]) -> None:
        """Take out of the index what the rows have let go of. What it refuses is left to the sweep."""
        try:
            await work
        except StoreError as error:
            LOGGER.warning("chunks that nobody can find any more are still in the index: %s", error.message)


class VectorStores:
    """The vector stores of a project."""

    def __init__(self, shelves: Shelves, embeddings: Embeddings) -> None:
        self._shelves = shelves
        self._embeddings = embeddings

    async def check(self) -> None:
        """Raise StoreError unless the index answers."""
        await self._shelves.index.check()

    async def create(self, project: str, wanted: CreateVectorStore, /) -> VectorStore:
        """A new store. NotFoundError names a file that does not exist, InvalidRequestError an embedding model."""
        shelves = self._shelves
        ids = tuple(dict.fromkeys(wanted.file_ids))
        await shelves.known(project, [(f"file_ids[{place}]", file_id) for place, file_id in enumerate(wanted.file_ids)])
        strategy = await shelves.strategy(wanted.chunking_strategy)
        space = await self._embeddings.settle(wanted.embedding_model, wanted.embedding_dimension)
        now = int(shelves.clock.now())
        store = VectorStore(
            id=shelves.clock.id("vs_"),
            created_at=now,
            name=wanted.name or "",
            description=wanted.description,
            expires_after=wanted.expires_after,
            expires_at=expiry(wanted.expires_after, now),
            last_active_at=now,
            metadata=wanted.metadata,
            embedding_model=None if space is None else space.model,
            embedding_dimension=None if space is None else space.dimension,
        )
        files = [joining(store.id, file_id, now, strategy) for file_id in ids]
        made = await shelves.rows.create_store(project, store, [shelves.attachment(file) for file in files])
        if files:
            shelves.ingestion.wake()
        return made

    async def retrieve(self, project: str, store_id: str, /) -> VectorStore:
        """The store as it stands; NotFoundError."""
        return await self._shelves.store(project, store_id)

    async def list(self, project: str, page: PageQuery, /) -> VectorStorePage:
        """A page of the stores by creation."""
        found, more = await self._shelves.rows.list_stores(project, page, self._shelves.clock.now())
        return VectorStorePage(
            data=tuple(found),
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
            has_more=more,
        )

    async def update(self, project: str, store_id: str, wanted: UpdateVectorStore, /) -> VectorStore:
        """Change what is given; NotFoundError."""
        store = await self._shelves.store(project, store_id)
        now = self._shelves.clock.now()
        if wanted.name is not UNSET:
            store = replace(store, name=wanted.name or "")
        if wanted.metadata is not UNSET:
            store = replace(store, metadata=wanted.metadata or {})
        if (after := wanted.expires_after) is not UNSET:
            store = replace(store, expires_after=after, expires_at=expiry(after, store.last_active_at or int(now)))
        updated = await self._shelves.rows.update_store(project, store, now)
        if updated is None:
            raise missing_store(store_id)
        return updated

    async def delete(self, project: str, store_id: str, /) -> VectorStoreDeleted:
        """Delete it with all that is indexed of it; its files stay. NotFoundError."""
        shelves = self._shelves
        if not await shelves.rows.delete_store(project, store_id):
            raise missing_store(store_id)
        shelves.ingestion.doubt()
        await shelves.cleared(shelves.index.drop(project, store_id))
        return VectorStoreDeleted(id=store_id)


def missing_store(store_id: str, param: str = "vector_store_id") -> NotFoundError:
    """No such store in this project."""
    return NotFoundError(f"Vector store with id {quoted(store_id)} not found.", param=param)


def missing_file(file_id: str, param: str) -> NotFoundError:
    """No such file in this project."""
    return NotFoundError(f"No such File object: {file_id[:200]}", param=param)


def expired_store(store_id: str, param: str = "vector_store_id") -> InvalidRequestError:
    """Nothing can be done with it any more but to look at it and to delete it."""
    words = f"Vector store with id {quoted(store_id)} has expired: it can neither be searched nor take files."
    return InvalidRequestError(words, param=param, code="vector_store_expired")


def expiry(after: ExpiresAfter | None, since: int) -> int | None:
    """When a store expires that was last used then."""
    return None if after is None else since + after.days * DAY


def joining(
    store_id: str, file_id: str, now: int, strategy: Strategy, attributes: Attributes | None = None
) -> VectorStoreFile:
    """A file that joins a store."""
    return VectorStoreFile(
        id=file_id,
        created_at=now,
        vector_store_id=store_id,
        chunking_strategy=strategy,
        attributes=attributes or {},
    )
