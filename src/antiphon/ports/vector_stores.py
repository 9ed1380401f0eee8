"""Vector stores as rows: the stores, the files in them, and the work of ingesting those under leases.

What is searched lives in the `Index`, under the id of the *document*: one attachment of one file to one store.
Attaching a file again makes another document, so that an ingestion that was overtaken writes where nobody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.ports.store import PageQuery
from antiphon.wire.vector_stores import FileBatch, FileStatus, LastError, VectorStore, VectorStoreFile


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it joins a store: `file.status` is `in_progress`, `file.id` the file's id. `document` is fresh."""

    document: str
    file: VectorStoreFile


class ClaimedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to ingest, as its new owner finds it. `recoveries`: how often it was claimed from an owner whose lease had
    passed; `store` is as it stands now."""

    project: str
    document: str
    file: VectorStoreFile
    store: VectorStore
    fence: int
    recoveries: int


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """How the ingestion of a document ended. `dimension`: of its vectors, None when it has none."""

    document: str
    fence: int
    status: FileStatus
    usage_bytes: int = 0
    last_error: LastError | None = None
    dimension: int | None = None


class Member(msgspec.Struct, frozen=True):
    """A file in a store, and its document."""

    document: str
    file: VectorStoreFile


class VectorStores(Protocol):
    """Contract: as of Store. The rows alone say `file_counts`, `usage_bytes` and `status` of a store and of a batch:
    they are computed from the files. A store is `expired` when its `expires_at` has passed (`now` is the caller's
    clock), else `in_progress` while a file of it is, else `completed`; what is expired stays so. A batch is
    `in_progress` while a file of it is, `cancelled` when it was cancelled, `failed` when all its files failed, else
    `completed`; files that left the store, or were replaced in it, count no more. A file may be in several batches.
    Reading a store costs the same whatever the number of its files."""

    # stores

    async def create_store(self, project: str, store: VectorStore, files: Sequence[Attachment], /) -> VectorStore:
        """Store it with its first files, as `attach` does at the time `created_at`; as it now stands."""
        ...

    async def store(self, project: str, store_id: str, now: float, /) -> VectorStore | None:
        """The store as it stands, or None."""
        ...

    async def list_stores(self, project: str, page: PageQuery, now: float, /) -> tuple[Sequence[VectorStore], bool]:
        """A page of stores by creation; whether there are more."""
        ...

    async def update_store(self, project: str, store: VectorStore, now: float, /) -> VectorStore | None:
        """Replace name, description, metadata, `expires_after` and `expires_at` (these two not of an expired store),
        which is a use of the store; as it now stands. None: no such store."""
        ...

    async def touch_stores(self, project: str, store_ids: Sequence[str], now: float, /) -> None:
        """They were used now: `last_active_at`, and `expires_at` where `expires_after` is set. Unknown and expired ones
        are passed over; one that was used within the last minute is left as it is."""
        ...

    async def delete_store(self, project: str, store_id: str, /) -> bool:
        """Delete the store with its memberships and batches; False when there is none. The files stay. The store is
        gone at once, a large one's memberships go in parts: others write in between."""
        ...

    # files in stores

    async def attach(
        self, project: str, store_id: str, files: Sequence[Attachment], batch: FileBatch | None, now: float, /
    ) -> tuple[Sequence[VectorStoreFile], Sequence[str]] | None:
        """Add files; what now stands for each of them, and the documents that were replaced. A file that is there and
        failed or was cancelled is replaced by the new document, which is in no batch but this; one that is
        `in_progress` or `completed` stays as it is (with `batch` it joins the batch). Files that do not exist (any
        more) are passed over. The store was used, as by `touch_stores`. None: no such store."""
        ...

    async def member(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """The file in the store."""
        ...

    async def members(
        self, project: str, store_id: str, page: PageQuery, status: FileStatus | None, batch_id: str | None, /
    ) -> tuple[Sequence[VectorStoreFile], bool]:
        """A page of the files in the store, or of those of one batch, in the order they were attached; of a store or
        batch that does not exist, none. A file whose status is another than `status` may be a cursor."""
        ...

    async def documents(self, project: str, documents: Sequence[str], /) -> dict[str, VectorStoreFile]:
        """What stands for these documents; those that are gone are absent."""
        ...

    async def set_attributes(
        self, project: str, store_id: str, file_id: str, attributes: dict[str, str | bool | int | float], /
    ) -> Member | None:
        """Replace the attributes; None: no such file in the store."""
        ...

    async def detach(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """Remove the file from the store; what was removed."""
        ...

    async def stores_of(self, project: str, file_id: str, /) -> Sequence[str]:
        """The ids of the stores that this file is in."""
        ...

    async def batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """The batch as it stands."""
        ...

    async def cancel_batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """Cancel every file of it that is still `in_progress`; the batch, which is not changed when there is no such
        file. None: no such batch."""
        ...

    # ingestion

    async def claim_files(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedFile]:
        """Claim at most `most` documents in progress, oldest first: those that wait, and those of others whose lease
        has passed; a project never holds more than `per_project` unexpired leases, over all owners. Each claim raises
        the fence. Those of expired stores are claimed too (to fail them)."""
        ...

    async def renew_files(self, owner: str, documents: Sequence[tuple[str, int]], until: float, /) -> Sequence[str]:
        """Extend the leases of these documents (each with its fence), or give them back (`until` <= 0); the documents
        that are still ours and wanted (not deleted, cancelled or claimed by another)."""
        ...

    async def finish_file(self, ended: Ingested, /) -> bool:
        """Commit the end of an ingestion; False when the document is no longer ours (claimed by another, given back,
        out of its store) or no longer `in_progress`: its chunks are then nobody's. The store's `embedding_dimension` is
        set where it was None. IllegalMoveError when `status` is no end."""
        ...

    async def orphans(self, documents: Sequence[str], /) -> Sequence[str]:
        """Those of these documents (of any project) whose chunks are nobody's: no row stands for them, or one that
        failed or was cancelled, or one in a store that `empty_store` was called for."""
        ...

    async def expired_stores(self, now: float, /) -> Sequence[tuple[str, str]]:
        """Project and id of stores whose time has passed and whose files are still indexed; at most 500 a call."""
        ...

    async def empty_store(self, project: str, store_id: str, /) -> Sequence[str]:
        """Note that an expired store is no longer indexed; the documents it had. The row and its files stay."""
        ...
