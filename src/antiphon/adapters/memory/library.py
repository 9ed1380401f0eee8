"""What one project owns of files, uploads and vector stores, in plain dicts."""

from __future__ import annotations

from collections import Counter

from msgspec import structs

from antiphon.core.standing import batch_as, counted, store_as
from antiphon.ports.files import StoredFile, StoredPart, StoredUpload
from antiphon.ports.vector_stores import Attachment, Member
from antiphon.wire.vector_stores import FileBatch, VectorStore, VectorStoreFile


class Loan:
    """An upload and its parts, in the order they came."""

    def __init__(self, upload: StoredUpload) -> None:
        self.upload = upload
        self.parts: list[StoredPart] = []


class Placed:
    """A file in a store, the `number`-th that was attached to any, with the lease of its ingestion."""

    def __init__(self, number: int, given: Attachment, shelf: Shelf) -> None:
        self.number = number
        self.document = given.document
        self.file = VectorStoreFile(
            id=given.file.id,
            created_at=given.file.created_at,
            vector_store_id=shelf.store.id,
            chunking_strategy=given.file.chunking_strategy,
            attributes=given.file.attributes,
        )
        self.shelf = shelf
        self.owner: str | None = None
        self.until = 0.0
        self.fence = 0
        self.recoveries = 0

    @property
    def member(self) -> Member:
        """As others see it."""
        return Member(self.document, self.file)

    @property
    def open(self) -> bool:
        """Whether its ingestion has not ended."""
        return self.file.status == "in_progress"

    def free(self, now: float) -> bool:
        """Whether it may be claimed."""
        return self.owner is None or self.until < now


class Pack:
    """A batch and its members, by number."""

    def __init__(self, batch: FileBatch) -> None:
        self.batch = batch
        self.cancelled = False
        self.members: dict[int, Placed] = {}

    def shown(self) -> FileBatch:
        """The batch as it stands."""
        counts = counted(Counter(placed.file.status for placed in self.members.values()))
        return batch_as(self.batch, counts, cancelled=self.cancelled)


class Shelf:
    """A store, its members by file in the order they were attached, and its batches."""

    def __init__(self, store: VectorStore) -> None:
        self.store = store
        self.members: dict[str, Placed] = {}
        self.packs: dict[str, Pack] = {}
        self.emptied = False
        self._counts: Counter[str] = Counter()
        self._usage = 0

    def shown(self, now: float) -> VectorStore:
        """The store as it stands."""
        return store_as(self.store, counted(self._counts), self._usage, now)

    def put(self, placed: Placed) -> None:
        """Add a member."""
        self.members[placed.file.id] = placed
        self._count(placed, 1)

    def drop(self, placed: Placed) -> None:
        """Take a member out, also of its batches."""
        self._count(placed, -1)
        del self.members[placed.file.id]
        for pack in self.packs.values():
            pack.members.pop(placed.number, None)

    def move(self, placed: Placed, file: VectorStoreFile) -> None:
        """End a member's ingestion."""
        self._count(placed, -1)
        placed.file, placed.owner = file, None
        self._count(placed, 1)

    def _count(self, placed: Placed, by: int) -> None:
        self._counts[placed.file.status] += by
        self._usage += by * placed.file.usage_bytes


class Library:
    """What one project owns. `documents` are the members of all its stores."""

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self.loans: dict[str, Loan] = {}
        self.shelves: dict[str, Shelf] = {}
        self.documents: dict[str, Placed] = {}

    def file(self, file_id: str, now: float) -> StoredFile | None:
        """The file, if its time has not passed."""
        found = self.files.get(file_id)
        return None if found is None or passed(found.file.expires_at, now) else found

    def place(self, placed: Placed) -> None:
        """Add a member to its store."""
        placed.shelf.put(placed)
        self.documents[placed.document] = placed

    def remove(self, placed: Placed) -> None:
        """Take a member out of its store."""
        placed.shelf.drop(placed)
        del self.documents[placed.document]

    def discard(self, file_id: str) -> bool:
        """Delete a file with its memberships; False when there is none."""
        if self.files.pop(file_id, None) is None:
            return False
        for shelf in self.shelves.values():
            if file_id in shelf.members:
                self.remove(shelf.members[file_id])
        return True

    def end(self, upload_id: str, status: str) -> None:
        """Note that an upload is over."""
        loan = self.loans[upload_id]
        loan.upload = structs.replace(loan.upload, upload=structs.replace(loan.upload.upload, status=status))


def passed(until: float | None, now: float) -> bool:
    """Whether a time has passed."""
    return until is not None and until <= now
