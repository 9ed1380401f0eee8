"""Files and uploads as rows; their bytes are `Blobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.ports.store import PageQuery
from antiphon.wire.files import File, Upload, UploadPart


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with what its object does not show. `media` is its content type as declared or guessed."""

    file: File
    media: str = "application/octet-stream"


class StoredUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload with what its object does not show: the file's content type, and the file's lifetime in seconds."""

    upload: Upload
    media: str
    seconds: int | None = None


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part with its size."""

    part: UploadPart
    bytes: int


class Gone(msgspec.Struct, frozen=True):
    """A name whose row is gone: its bytes may be deleted."""

    project: str
    name: str


class Files(Protocol):
    """Contract: as of Store. A file or upload whose time has passed (`now` is the caller's clock) answers as one that
    does not exist, except that an upload is shown as `expired` until its row is collected."""

    async def save_file(self, project: str, file: StoredFile, /) -> None:
        """Store a new file."""
        ...

    async def file(self, project: str, file_id: str, now: float, /) -> StoredFile | None:
        """The file, or None."""
        ...

    async def files(self, project: str, file_ids: Sequence[str], now: float, /) -> dict[str, StoredFile]:
        """Those of these files that exist."""
        ...

    async def list_files(
        self, project: str, page: PageQuery, purpose: str | None, now: float, /
    ) -> tuple[Sequence[File], bool]:
        """A page of the files by creation; whether there are more."""
        ...

    async def delete_file(self, project: str, file_id: str, /) -> bool:
        """Delete the row and every membership in a vector store; False when there is none. What was indexed of it is
        an orphan from then on (`VectorStores.orphans`)."""
        ...

    async def save_upload(self, project: str, upload: StoredUpload, /) -> None:
        """Store a new upload."""
        ...

    async def upload(self, project: str, upload_id: str, /) -> StoredUpload | None:
        """The upload as it was left, whatever the time."""
        ...

    async def add_part(self, project: str, part: StoredPart, /) -> bool:
        """Add a part to a pending upload; False when the upload is not pending (any more)."""
        ...

    async def parts(self, project: str, upload_id: str, /) -> Sequence[StoredPart]:
        """Its parts, in the order they came."""
        ...

    async def end_upload(self, project: str, upload: StoredUpload, file: StoredFile | None, /) -> bool:
        """Move a pending upload to its final status, with the file that it became; False when it is not pending. Its
        parts stay until they are collected. IllegalMoveError when the status is not final."""
        ...

    async def expire_files(self, now: float, /) -> Sequence[Gone]:
        """Delete the rows of files whose time has passed, as `delete_file` does, and the parts of uploads that are over
        or whose time has passed (these become `expired`); at most 500 names a call, none when nothing is left. Rows of
        uploads go a day after their `expires_at`."""
        ...
