"""The port `VectorStores` in plain dicts. Law: no method awaits, so each is one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from msgspec import structs

from antiphon.adapters.memory.library import Library, Pack, Placed, Shelf
from antiphon.adapters.sql.window import pick
from antiphon.core.standing import expired, updated, used
from antiphon.core.status import FILE_BATCH, VECTOR_STORE_FILE, final, moved
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment, ClaimedFile, Ingested, Member
from antiphon.wire.errors import StoreError
from antiphon.wire.vector_stores import FileBatch, FileStatus, VectorStore, VectorStoreFile

_MOST: Final = 500
"""Stores that one look for expired ones gives."""
_FRESH: Final = 60
"""Seconds within which a second use of a store is not noted."""


class MemoryVectorStores:
    """The port `VectorStores`. `library` gives what a project owns, `libraries` all of them by project."""

    def __init__(self, library: Callable[[str], Library], libraries: Callable[[], Mapping[str, Library]]) -> None:
        self._library = library
        self._libraries = libraries
        self._numbers = count()

    # stores

    async def create_store(self, project: str, store: VectorStore, files: Sequence[Attachment], /) -> VectorStore:
        """Store it with its first files; as it now stands."""
        library = self._library(project)
        if store.id in library.shelves:
            raise StoreError("The store already holds an object with this id.")
        shelf = Shelf(store)
        self._join(library, shelf, files, store.created_at)
        library.shelves[store.id] = shelf
        return shelf.shown(store.created_at)

    async def store(self, project: str, store_id: str, now: float, /) -> VectorStore | None:
        """The store as it stands, or None."""
        shelf = self._library(project).shelves.get(store_id)
        return None if shelf is None else shelf.shown(now)

    async def list_stores(self, project: str, page: PageQuery, now: float, /) -> tuple[Sequence[VectorStore], bool]:
        """A page of stores by creation; whether there are more."""
        found, more = pick(list(self._library(project).shelves.values()), page, lambda shelf: shelf.store.id)
        return [shelf.shown(now) for shelf in found], more

    async def update_store(self, project: str, store: VectorStore, now: float, /) -> VectorStore | None:
        """Replace what may be changed; as it now stands, None: no such store."""
        shelf = self._library(project).shelves.get(store.id)
        if shelf is None:
            return None
        shelf.store = updated(shelf.store, store, now)
        return shelf.shown(now)

    async def touch_stores(self, project: str, store_ids: Sequence[str], now: float, /) -> None:
        """They were used now."""
        shelves = self._library(project).shelves
        for shelf in (shelves[own] for own in store_ids if own in shelves):
            last = shelf.store.last_active_at
            if last is None or last + _FRESH <= now:
                shelf.store = used(shelf.store, now)

    async def delete_store(self, project: str, store_id: str, /) -> bool:
        """Delete the store with its memberships and batches; False when there is none. The files stay."""
        library = self._library(project)
        shelf = library.shelves.pop(store_id, None)
        if shelf is None:
            return False
        for placed in shelf.members.values():
            del library.documents[placed.document]
        return True

    # files in stores

    async def attach(
        self, project: str, store_id: str, files: Sequence[Attachment], batch: FileBatch | None, now: float, /
    ) -> tuple[Sequence[VectorStoreFile], Sequence[str]] | None:
        """Add files; what now stands for each of them, and the documents that were replaced. None: no such store."""
        library = self._library(project)
        shelf = library.shelves.get(store_id)
        if shelf is None:
            return None
        if batch is not None and any(batch.id in one.packs for one in library.shelves.values()):
            raise StoreError("The store already holds an object with this id.")
        standing, replaced = self._join(library, shelf, files, now)
        shelf.store = used(shelf.store, now)
        if batch is not None:
            pack = shelf.packs[batch.id] = Pack(batch)
            pack.members = {placed.number: placed for placed in sorted(standing, key=lambda placed: placed.number)}
        return [placed.file for placed in standing], replaced

    def _join(
        self, library: Library, shelf: Shelf, files: Sequence[Attachment], now: float
    ) -> tuple[list[Placed], list[str]]:
        """The member of each file, and the documents that were replaced."""
        if any(one.document in library.documents and one.file.id not in shelf.members for one in files):
            raise StoreError("The store already holds an object with this id.")
        replaced: list[str] = []
        standing: list[Placed] = []
        for one in files:
            if library.file(one.file.id, now) is None:
                continue
            held = shelf.members.get(one.file.id)
            if held is not None and held.file.status in {"failed", "cancelled"}:
                library.remove(held)
                replaced.append(held.document)
                held = None
            if held is None:
                held = Placed(next(self._numbers), one, shelf)
                library.place(held)
            standing.append(held)
        return standing, replaced

    async def member(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """The file in the store."""
        placed = self._placed(project, store_id, file_id)
        return None if placed is None else placed.member

    def _placed(self, project: str, store_id: str, file_id: str) -> Placed | None:
        shelf = self._library(project).shelves.get(store_id)
        return None if shelf is None else shelf.members.get(file_id)

    async def members(
        self, project: str, store_id: str, page: PageQuery, status: FileStatus | None, batch_id: str | None, /
    ) -> tuple[Sequence[VectorStoreFile], bool]:
        """A page of the files in the store, or of those of one batch, in the order they were attached."""
        shelf = self._library(project).shelves.get(store_id)
        listed: Sequence[Placed] = ()
        if shelf is not None and batch_id is None:
            listed = list(shelf.members.values())
        elif shelf is not None and batch_id in shelf.packs:
            listed = list(shelf.packs[batch_id].members.values())
        files = [placed.file for placed in listed]
        return pick(files, page, lambda file: file.id, lambda file: status in {None, file.status})

    async def documents(self, project: str, documents: Sequence[str], /) -> dict[str, VectorStoreFile]:
        """What stands for these documents; those that are gone are absent."""
        held = self._library(project).documents
        return {document: held[document].file for document in documents if document in held}

    async def set_attributes(
        self, project: str, store_id: str, file_id: str, attributes: dict[str, str | bool | int | float], /
    ) -> Member | None:
        """Replace the attributes; None: no such file in the store."""
        placed = self._placed(project, store_id, file_id)
        if placed is None:
            return None
        placed.file = structs.replace(placed.file, attributes=attributes)
        return placed.member

    async def detach(self, project: str, store_id: str, file_id: str, /) -> Member | None:
        """Remove the file from the store; what was removed."""
        placed = self._placed(project, store_id, file_id)
        if placed is None:
            return None
        self._library(project).remove(placed)
        return placed.member

    async def stores_of(self, project: str, file_id: str, /) -> Sequence[str]:
        """The ids of the stores that this file is in."""
        shelves = self._library(project).shelves.values()
        found = [shelf.members[file_id] for shelf in shelves if file_id in shelf.members]
        return [placed.shelf.store.id for placed in sorted(found, key=lambda placed: placed.number)]

    async def batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """The batch as it stands."""
        pack = self._pack(project, store_id, batch_id)
        return None if pack is None else pack.shown()

    def _pack(self, project: str, store_id: str, batch_id: str) -> Pack | None:
        shelf = self._library(project).shelves.get(store_id)
        return None if shelf is None else shelf.packs.get(batch_id)

    async def cancel_batch(self, project: str, store_id: str, batch_id: str, /) -> FileBatch | None:
        """Cancel every file of it that is still `in_progress`; the batch. None: no such batch."""
        pack = self._pack(project, store_id, batch_id)
        if pack is None or final(FILE_BATCH, pack.shown().status):
            return None if pack is None else pack.shown()
        for placed in pack.members.values():
            if placed.open:
                status: FileStatus = "cancelled"
                moved(VECTOR_STORE_FILE, placed.file.status, status)
                placed.shelf.move(placed, structs.replace(placed.file, status=status))
        pack.cancelled = True
        return pack.shown()

    # ingestion

    async def claim_files(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedFile]:
        """Claim at most `most` documents, oldest first, of each project so many that it holds at most `per_project`."""
        held = Counter(project for project, placed in self._open() if not placed.free(now))
        claimed: list[ClaimedFile] = []
        for project, placed in sorted(self._open(), key=lambda one: one[1].number):
            if len(claimed) < most and placed.free(now) and held[project] < per_project:
                held[project] += 1
                placed.recoveries += placed.owner is not None
                placed.owner, placed.until = owner, until
                placed.fence += 1
                claimed.append(_claimed(project, placed, now))
        return claimed

    def _open(self) -> Iterator[tuple[str, Placed]]:
        """The documents whose ingestion has not ended, with their projects."""
        for project, library in self._libraries().items():
            yield from ((project, placed) for placed in library.documents.values() if placed.open)

    def _held(self, document: str, fence: int) -> Placed | None:
        """The document, if this claim still holds."""
        found = next((one.documents[document] for one in self._libraries().values() if document in one.documents), None)
        if found is None or not found.open or found.owner is None or found.fence != fence:
            return None
        return found

    async def renew_files(self, owner: str, documents: Sequence[tuple[str, int]], until: float, /) -> Sequence[str]:
        """Extend the leases of these documents, or give them back; the documents that are still ours and wanted."""
        held = [placed for one in documents if (placed := self._held(*one)) is not None and placed.owner == owner]
        for placed in held:
            placed.owner, placed.until = (owner if until > 0 else None), until
        return [placed.document for placed in held]

    async def finish_file(self, ended: Ingested, /) -> bool:
        """Commit the end of an ingestion; False when the document is no longer ours or no longer `in_progress`."""
        moved(VECTOR_STORE_FILE, "in_progress", ended.status)
        placed = self._held(ended.document, ended.fence)
        if placed is None:
            return False
        shelf = placed.shelf
        file = structs.replace(
            placed.file, status=ended.status, usage_bytes=ended.usage_bytes, last_error=ended.last_error
        )
        shelf.move(placed, file)
        if shelf.store.embedding_dimension is None:
            shelf.store = structs.replace(shelf.store, embedding_dimension=ended.dimension)
        return True

    async def orphans(self, documents: Sequence[str], /) -> Sequence[str]:
        """Those of these documents (of any project) whose chunks are nobody's."""
        libraries = self._libraries().values()
        held = {own: placed for library in libraries for own in documents if (placed := library.documents.get(own))}
        return [own for own in documents if own not in held or _spent(held[own])]

    async def expired_stores(self, now: float, /) -> Sequence[tuple[str, str]]:
        """Project and id of stores whose time has passed and whose files are still indexed."""
        return [
            (project, own)
            for project, library in self._libraries().items()
            for own, shelf in library.shelves.items()
            if expired(shelf.store, now) and not shelf.emptied
        ][:_MOST]

    async def empty_store(self, project: str, store_id: str, /) -> Sequence[str]:
        """Note that an expired store is no longer indexed; the documents it had. The row and its files stay."""
        shelf = self._library(project).shelves.get(store_id)
        if shelf is None:
            return []
        shelf.emptied = True
        return [placed.document for placed in shelf.members.values()]


def _spent(placed: Placed) -> bool:
    """Whether nothing of the document is searched."""
    return placed.shelf.emptied or placed.file.status in {"failed", "cancelled"}


def _claimed(project: str, placed: Placed, now: float) -> ClaimedFile:
    return ClaimedFile(
        project=project,
        document=placed.document,
        file=placed.file,
        store=placed.shelf.shown(now),
        fence=placed.fence,
        recoveries=placed.recoveries,
    )
