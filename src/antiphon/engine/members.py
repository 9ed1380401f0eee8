"""The files in vector stores, and batches of them.

Law: as of `vector_stores`: rows first, then the index. What attributes say acts on the next search.
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.engine.vector_stores import Shelves, joining, missing_file, missing_store
from antiphon.ports.index import Document
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment, Member
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.invalid import quoted
from antiphon.wire.vector_stores import (
    AttachFile,
    Attributes,
    CreateFileBatch,
    FileBatch,
    FileContentPage,
    FileStatus,
    TextContent,
    VectorStoreFile,
    VectorStoreFileDeleted,
    VectorStoreFilePage,
)

_STATES = {"in_progress": "is still being ingested", "failed": "could not be ingested", "cancelled": "was cancelled"}


class Members:
    """The files in the vector stores of a project."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    # files

    async def attach(self, project: str, store_id: str, wanted: AttachFile, /) -> VectorStoreFile:
        """Add a file; one that failed or was cancelled is tried again, one that is there stays as it is. NotFoundError
        for the store and for the file, InvalidRequestError for an expired store."""
        shelves = self._shelves
        await shelves.store(project, store_id, alive=True)
        await shelves.known(project, [("file_id", wanted.file_id)])
        now = int(shelves.clock.now())
        strategy = await shelves.strategy(wanted.chunking_strategy)
        file = joining(store_id, wanted.file_id, now, strategy, wanted.attributes)
        standing = await self._attached(project, store_id, [shelves.attachment(file)], None)
        if not standing:  # deleted this moment
            raise missing_file(wanted.file_id, "file_id")
        return standing[0]

    async def list(
        self, project: str, store_id: str, page: PageQuery, status: FileStatus | None, /
    ) -> VectorStoreFilePage:
        """A page of the files by the time they joined; NotFoundError."""
        await self._shelves.store(project, store_id)
        return _listed(*await self._shelves.rows.members(project, store_id, page, status, None))

    async def retrieve(self, project: str, store_id: str, file_id: str, /) -> VectorStoreFile:
        """The file in the store; NotFoundError."""
        return (await self._member(project, store_id, file_id)).file

    async def label(
        self, project: str, store_id: str, file_id: str, attributes: Attributes | None, /
    ) -> VectorStoreFile:
        """Replace its attributes; NotFoundError. When this returns, searches filter by them."""
        rows = self._shelves.rows
        member = await rows.set_attributes(project, store_id, file_id, attributes or {})
        if member is None:
            raise await self._missing(project, store_id, file_id)
        shown = member.file
        while True:
            await self._shelves.index.label(_document(project, member), member.file.attributes)
            latest = await rows.member(project, store_id, file_id)
            if latest is None or (latest.document, latest.file.attributes) == (
                member.document,
                member.file.attributes,
            ):
                return shown
            member = latest  # somebody else set them meanwhile: the index follows the row, whoever labels last

    async def detach(self, project: str, store_id: str, file_id: str, /) -> VectorStoreFileDeleted:
        """Take the file out of the store; NotFoundError."""
        shelves = self._shelves
        member = await shelves.rows.detach(project, store_id, file_id)
        if member is None:
            raise await self._missing(project, store_id, file_id)
        shelves.ingestion.doubt()
        await shelves.cleared(shelves.index.remove([_document(project, member)]))
        return VectorStoreFileDeleted(id=file_id)

    async def content(self, project: str, store_id: str, file_id: str, /) -> FileContentPage:
        """The text of its chunks in order; NotFoundError, and InvalidRequestError unless it is ingested."""
        await self._shelves.store(project, store_id, alive=True)
        member = await self._member(project, store_id, file_id)
        if (state := _STATES.get(member.file.status)) is not None:
            words = f"The file {quoted(file_id)} {state} and has no content in this vector store."
            raise InvalidRequestError(words, param="file_id", code="invalid_value")
        chunks = await self._shelves.index.content(_document(project, member))
        return FileContentPage(data=tuple(TextContent(text=chunk.text) for chunk in chunks))

    # batches

    async def batch(self, project: str, store_id: str, wanted: CreateFileBatch, /) -> FileBatch:
        """Add files together; errors as of `attach`."""
        shelves = self._shelves
        await shelves.store(project, store_id, alive=True)
        if wanted.files is not None:
            files, path = wanted.files, "files[{}].file_id"
        else:
            files, path = [_each(wanted, file_id) for file_id in wanted.file_ids or ()], "file_ids[{}]"
        await shelves.known(project, [(path.format(place), file.file_id) for place, file in enumerate(files)])
        now = int(shelves.clock.now())
        batch = FileBatch(id=shelves.clock.id("vsfb_"), created_at=now, vector_store_id=store_id)
        once = {file.file_id: file for file in files}  # of a file that comes twice, the last word counts
        joined = [
            joining(store_id, file.file_id, now, await shelves.strategy(file.chunking_strategy), file.attributes)
            for file in once.values()
        ]
        await self._attached(project, store_id, [shelves.attachment(file) for file in joined], batch)
        return await self.retrieve_batch(project, store_id, batch.id)

    async def retrieve_batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch:
        """The batch as it stands; NotFoundError."""
        await self._shelves.store(project, store_id)
        found = await self._shelves.rows.batch(project, store_id, batch_id)
        if found is None:
            raise _missing_batch(store_id, batch_id)
        return found

    async def cancel_batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch:
        """Cancel what of it is not ingested yet; NotFoundError."""
        await self._shelves.store(project, store_id)
        found = await self._shelves.rows.cancel_batch(project, store_id, batch_id)
        if found is None:
            raise _missing_batch(store_id, batch_id)
        self._shelves.ingestion.doubt()
        return found

    async def list_batch(
        self, project: str, store_id: str, batch_id: str, page: PageQuery, status: FileStatus | None, /
    ) -> VectorStoreFilePage:
        """A page of the batch's files; NotFoundError."""
        await self.retrieve_batch(project, store_id, batch_id)
        return _listed(*await self._shelves.rows.members(project, store_id, page, status, batch_id))

    # what they share

    async def _attached(
        self, project: str, store_id: str, files: Sequence[Attachment], batch: FileBatch | None
    ) -> Sequence[VectorStoreFile]:
        """What now stands for each that still exists."""
        shelves = self._shelves
        standing = await shelves.rows.attach(project, store_id, files, batch, shelves.clock.now())
        if standing is None:
            raise missing_store(store_id)
        now, replaced = standing
        shelves.ingestion.wake()
        if replaced:
            gone = [Document(project=project, store_id=store_id, id=document, file_id="") for document in replaced]
            await shelves.cleared(shelves.index.remove(gone))
        return now

    async def _member(self, project: str, store_id: str, file_id: str) -> Member:
        member = await self._shelves.rows.member(project, store_id, file_id)
        if member is None:
            raise await self._missing(project, store_id, file_id)
        return member

    async def _missing(self, project: str, store_id: str, file_id: str) -> NotFoundError:
        """That there is no such store, or no such file in it."""
        if await self._shelves.rows.store(project, store_id, self._shelves.clock.now()) is None:
            return missing_store(store_id)
        words = f"No file found with id {quoted(file_id)} in vector store {quoted(store_id)}."
        return NotFoundError(words, param="file_id")


def _document(project: str, member: Member) -> Document:
    file = member.file
    return Document(project=project, store_id=file.vector_store_id, id=member.document, file_id=file.id)


def _each(wanted: CreateFileBatch, file_id: str) -> AttachFile:
    """One of `file_ids`: what the batch says counts for all of them."""
    return AttachFile(file_id=file_id, attributes=wanted.attributes, chunking_strategy=wanted.chunking_strategy)


def _missing_batch(store_id: str, batch_id: str) -> NotFoundError:
    words = f"No file batch found with id {quoted(batch_id)} in vector store {quoted(store_id)}."
    return NotFoundError(words, param="batch_id")


def _listed(found: Sequence[VectorStoreFile], more: bool) -> VectorStoreFilePage:
    return VectorStoreFilePage(
        data=tuple(found),
        first_id=found[0].id if found else None,
        last_id=found[-1].id if found else None,
        has_more=more,
    )
