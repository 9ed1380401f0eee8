"""The ports `Files` and `VectorStores` on the SQLite database of a process."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from antiphon.adapters.sql import batches, files, ingestion, members, uploads, vector_stores
from antiphon.adapters.sql.database import Database
from antiphon.adapters.sql.members import Joining, Shelf
from antiphon.adapters.sql.runs import Claim
from antiphon.core.status import UPLOAD, VECTOR_STORE_FILE, moved
from antiphon.ports.files import Gone, StoredFile, StoredPart, StoredUpload
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment, ClaimedFile, Ingested, Member
from antiphon.wire.files import File
from antiphon.wire.vector_stores import FileBatch, FileStatus, VectorStore, VectorStoreFile

_NEAR: Final = 32
"""Documents that are read on the event loop; more are read in a thread."""


class SqlFiles:
    """The port `Files`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save_file(self, project: str, file: StoredFile, /) -> None:
        """Store a new file."""
        await self._db.write(project, lambda db, own: files.save(db, own, file))

    async def file(self, project: str, file_id: str, now: float, /) -> StoredFile | None:
        """The file, or None."""
        found = await self._db.peek(project, lambda db, own: files.files(db, own, [file_id], now))
        return found.get(file_id)

    async def files(self, project: str, file_ids: Sequence[str], now: float, /) -> dict[str, StoredFile]:
        """Those of these files that exist."""
        read = self._db.peek if len(file_ids) <= _NEAR else self._db.read
        return await read(project, lambda db, own: files.files(db, own, file_ids, now))

    async def list_files(
        self, project: str, page: PageQuery, purpose: str | None, now: float, /
    ) -> tuple[Sequence[File], bool]:
        """A page of the files by creation; whether there are more."""
        return await self._db.read(project, lambda db, own: files.page(db, own, page, purpose, now))

    async def delete_file(self, project: str, file_id: str, /) -> bool:
        """Delete the row and every membership in a vector store; False when there is none."""
        return await self._db.write(project, lambda db, own: files.delete(db, own, file_id))

    async def save_upload(self, project: str, upload: StoredUpload, /) -> None:
        """Store a new upload."""
        await self._db.write(project, lambda db, own: uploads.save(db, own, upload))

    async def upload(self, project: str, upload_id: str, /) -> StoredUpload | None:
        """The upload as it was left, whatever the time."""
        return await self._db.peek(project, lambda db, own: uploads.upload(db, own, upload_id))

    async def add_part(self, project: str, part: StoredPart, /) -> bool:
        """Add a part to a pending upload; False when the upload is not pending (any more)."""
        return await self._db.write(project, lambda db, own: uploads.add(db, own, part))

    async def parts(self, project: str, upload_id: str, /) -> Sequence[StoredPart]:
        """Its parts, in the order they came."""
        return await self._db.read(project, lambda db, own: uploads.parts(db, own, upload_id))

    async def end_upload(self, project: str, upload: StoredUpload, file: StoredFile | None, /) -> bool:
        """Move a pending upload to its final status, with the file that it became; False when it is not pending."""
        moved(UPLOAD, "pending", upload.upload.status)
        return await self._db.write(project, lambda db, own: uploads.end(db, own, upload, file))

    async def expire_files(self, now: float, /) -> Sequence[Gone]:
        """Delete some of the files and parts whose time has passed; their names, none when nothing is left."""
        return await self._db.submit(lambda db: uploads.expire(db, now))


class SqlVectorStores:
    """The port `VectorStores`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # stores

    async def create_store(self, project: str, store: VectorStore, files: Sequence[Attachment], /) -> VectorStore:
        """Store it with its first files; as it now stands."""
        joining = Joining(files, None, store.created_at)
        return await self._db.write(project, lambda db, own: vector_stores.create(db, own, store, joining))

    async def store(self, project: str, store_id: str, now: float, /) -> VectorStore | None:
        """The store as it stands, or None."""
        return await self._db.peek(project, lambda db, own: vector_stores.store(db, own, store_id, now))

    async def list_stores(self, project: str, page: PageQuery, now: float, /) -> tuple[Sequence[VectorStore], bool]:
        """A page of stores by creation; whether there are more."""
        return await self._db.read(project, lambda db, own: vector_stores.page(db, own, page, now))

    async def update_store(self, project: str, store: VectorStore, now: float, /) -> VectorStore | None:
        """Replace what may be changed; as it now stands, None: no such store."""
        return await self._db.write(project, lambda db, own: vector_stores.update(db, own, store, now))

    async def touch_stores(self, project: str, store_ids: Sequence[str], now: float, /) -> None:
        """They were used now; nothing is written where that was noted within the last minute."""
        idle = await self._db.peek(project, lambda db, own: vector_stores.idle(db, own, store_ids, now))
        if idle:
            await self._db.write(project, lambda db, own: vector_stores.touch(db, own, idle, now))

    async def delete_store(self, project: str, store_id: str, /) -> bool:
        """Delete the store with its memberships and batches; False when there is none. The files stay."""
        gone = await self._db.write(project, lambda db, own: vector_stores.delete(db, own, store_id))
        if gone:
            await self._collect()
        return gone

    async def _collect(self) -> None:
        """Delete what deleted stores still hold."""
        while await self._db.point(vector_stores.doomed):
            await self._db.submit(vector_stores.collect)

    # files in stores

    async def attach(
        self, project: str, store_id: str, files: Sequence[Attachment], batch: FileBatch | None, now: float, /
    ) -> tuple[Sequence[VectorStoreFile], Sequence[str]] | None:
        """Add files; what now stands for each of them, and the documents that were replaced. None: no such store."""
        joining = Joining(files, batch, now)
        joined = await self._db.write(project, lambda db, own: vector_stores.attach(db, own, store_id, joining))
        return None if joined is None else (joined.files, joined.replaced)

    async def member(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """The file in the store."""
        return await self._db.peek(project, lambda db, own: members.member(db, own, store_id, file_id))

    async def members(
        self, project: str, store_id: str, page: PageQuery, status: FileStatus | None, batch_id: str | None, /
    ) -> tuple[Sequence[VectorStoreFile], bool]:
        """A page of the files in the store, or of those of one batch, in the order they were attached."""
        project_id = await self._db.project(project) or 0

        def shelf(db: sqlite3.Connection) -> Shelf:
            store = vector_stores.key(db, project_id, store_id)
            batch = None if batch_id is None else batches.key(db, project_id, store, batch_id) or 0
            return Shelf(store, batch, status)

        return await self._db.far(lambda db: members.page(db, project_id, page, shelf(db)))

    async def documents(self, project: str, documents: Sequence[str], /) -> dict[str, VectorStoreFile]:
        """What stands for these documents; those that are gone are absent."""
        read = self._db.peek if len(documents) <= _NEAR else self._db.read
        return await read(project, lambda db, own: members.documents(db, own, documents))

    async def set_attributes(
        self, project: str, store_id: str, file_id: str, attributes: dict[str, str | bool | int | float], /
    ) -> Member | None:
        """Replace the attributes; None: no such file in the store."""
        return await self._db.write(project, lambda db, own: members.label(db, own, store_id, file_id, attributes))

    async def detach(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """Remove the file from the store; what was removed."""
        return await self._db.write(project, lambda db, own: members.detach(db, own, store_id, file_id))

    async def stores_of(self, project: str, file_id: str, /) -> Sequence[str]:
        """The ids of the stores that this file is in."""
        return await self._db.read(project, lambda db, own: members.stores_of(db, own, file_id))

    async def batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """The batch as it stands."""
        return await self._db.read(project, lambda db, own: batches.batch(db, own, store_id, batch_id))

    async def cancel_batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """Cancel every file of it that is still `in_progress`; the batch. None: no such batch."""
        return await self._db.write(project, lambda db, own: batches.cancel(db, own, store_id, batch_id))

    # ingestion

    async def claim_files(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedFile]:
        """Claim at most `most` documents, oldest first, of each project so many that it holds at most `per_project`."""
        claim = Claim(owner, now, until)
        return await self._db.submit(lambda db: ingestion.claim(db, claim, most, per_project))

    async def renew_files(self, owner: str, documents: Sequence[tuple[str, int]], until: float, /) -> Sequence[str]:
        """Extend the leases of these documents, or give them back; the documents that are still ours and wanted."""
        return await self._db.submit(lambda db: ingestion.renew(db, owner, documents, until))

    async def finish_file(self, ended: Ingested, /) -> bool:
        """Commit the end of an ingestion; False when the document is no longer ours or no longer `in_progress`."""
        moved(VECTOR_STORE_FILE, "in_progress", ended.status)
        return await self._db.submit(lambda db: ingestion.finish(db, ended))

    async def orphans(self, documents: Sequence[str], /) -> Sequence[str]:
        """Those of these documents (of any project) whose chunks are nobody's."""
        return await self._db.far(lambda db: ingestion.orphans(db, documents))

    async def expired_stores(self, now: float, /) -> Sequence[tuple[str, str]]:
        """Project and id of stores whose time has passed and whose files are still indexed; at most 500."""
        await self._collect()  # what a process that died left of deleted stores
        return await self._db.far(lambda db: vector_stores.overdue(db, now))

    async def empty_store(self, project: str, store_id: str, /) -> Sequence[str]:
        """Note that an expired store is no longer indexed; the documents it had. The row and its files stay."""
        return await self._db.write(project, lambda db, own: vector_stores.empty(db, own, store_id))
