"""The port `Files` in plain dicts. Law: no method awaits, so each is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from antiphon.adapters.memory.library import Library, Loan, passed
from antiphon.adapters.sql.window import pick
from antiphon.core.status import UPLOAD, final, moved
from antiphon.ports.files import Gone, StoredFile, StoredPart, StoredUpload
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import StoreError
from antiphon.wire.files import File

_MOST: Final = 500
"""Names that one collection gives."""
_KEPT: Final = 86_400
"""Seconds that an upload stays after its time."""


class MemoryFiles:
    """The port `Files`. `library` gives what a project owns, `libraries` all of them by project."""

    def __init__(self, library: Callable[[str], Library], libraries: Callable[[], Mapping[str, Library]]) -> None:
        self._library = library
        self._libraries = libraries

    async def save_file(self, project: str, file: StoredFile, /) -> None:
        """Store a new file."""
        _save(self._library(project), file)

    async def file(self, project: str, file_id: str, now: float, /) -> StoredFile | None:
        """The file, or None."""
        return self._library(project).file(file_id, now)

    async def files(self, project: str, file_ids: Sequence[str], now: float, /) -> dict[str, StoredFile]:
        """Those of these files that exist."""
        library = self._library(project)
        found = {file_id: library.file(file_id, now) for file_id in file_ids}
        return {file_id: file for file_id, file in found.items() if file is not None}

    async def list_files(
        self, project: str, page: PageQuery, purpose: str | None, now: float, /
    ) -> tuple[Sequence[File], bool]:
        """A page of the files by creation; whether there are more."""
        held = [one.file for one in self._library(project).files.values() if not passed(one.file.expires_at, now)]
        return pick(held, page, lambda file: file.id, lambda file: purpose in {None, file.purpose})

    async def delete_file(self, project: str, file_id: str, /) -> bool:
        """Delete the row and every membership in a vector store; False when there is none."""
        return self._library(project).discard(file_id)

    async def save_upload(self, project: str, upload: StoredUpload, /) -> None:
        """Store a new upload."""
        loans = self._library(project).loans
        if upload.upload.id in loans:
            raise StoreError("The store already holds an object with this id.")
        loans[upload.upload.id] = Loan(upload)

    async def upload(self, project: str, upload_id: str, /) -> StoredUpload | None:
        """The upload as it was left, whatever the time."""
        found = self._library(project).loans.get(upload_id)
        return None if found is None else found.upload

    async def add_part(self, project: str, part: StoredPart, /) -> bool:
        """Add a part to a pending upload; False when the upload is not pending (any more)."""
        loan = self._library(project).loans.get(part.part.upload_id)
        if loan is None or final(UPLOAD, loan.upload.upload.status):
            return False
        loan.parts.append(part)
        return True

    async def parts(self, project: str, upload_id: str, /) -> Sequence[StoredPart]:
        """Its parts, in the order they came."""
        loan = self._library(project).loans.get(upload_id)
        return [] if loan is None else list(loan.parts)

    async def end_upload(self, project: str, upload: StoredUpload, file: StoredFile | None, /) -> bool:
        """Move a pending upload to its final status, with the file that it became; False when it is not pending."""
        moved(UPLOAD, "pending", upload.upload.status)
        library = self._library(project)
        loan = library.loans.get(upload.upload.id)
        if loan is None or final(UPLOAD, loan.upload.upload.status):
            return False
        if file is not None:
            _save(library, file)
        loan.upload = upload
        return True

    async def expire_files(self, now: float, /) -> Sequence[Gone]:
        """Delete some of the files and parts whose time has passed; their names, none when nothing is left."""
        gone = list(islice(self._gone(now), _MOST))
        for library in self._libraries().values():
            over = [own for own, loan in library.loans.items() if _forgotten(loan, now)]
            for own in over:
                del library.loans[own]
        return gone

    def _gone(self, now: float) -> Iterator[Gone]:
        """Delete and give one after the other."""
        for project, library in self._libraries().items():
            for own in [own for own, stored in library.files.items() if passed(stored.file.expires_at, now)]:
                library.discard(own)
                yield Gone(project, own)
            for own, loan in library.loans.items():
                upload = loan.upload.upload
                if upload.status == "pending" and passed(upload.expires_at, now):
                    library.end(own, moved(UPLOAD, upload.status, "expired"))
                while loan.parts and final(UPLOAD, loan.upload.upload.status):
                    yield Gone(project, loan.parts.pop(0).part.id)


def _save(library: Library, file: StoredFile) -> None:
    if file.file.id in library.files:
        raise StoreError("The store already holds an object with this id.")
    library.files[file.file.id] = file


def _forgotten(loan: Loan, now: float) -> bool:
    upload = loan.upload.upload
    return final(UPLOAD, upload.status) and not loan.parts and passed(upload.expires_at + _KEPT, now)
