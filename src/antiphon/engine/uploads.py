"""Uploads: a file that comes in parts, at once and in any order, until it is completed.

Law: the lifecycle is a table (`status.UPLOAD`), and the row moves once. A part is stored before its row; parts of what
is over are collected by retention. An upload whose hour has passed is expired, whether or not its row says so yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from hashlib import md5
from typing import Final

from msgspec.structs import replace

from antiphon.core.status import UPLOAD, final, moved
from antiphon.engine.files import PREFIX as FILE_PREFIX
from antiphon.engine.files import Described, Incoming, Shelf, admit, base_name, discard, stored_file
from antiphon.ports.blobs import NoBlobError
from antiphon.ports.files import StoredPart, StoredUpload
from antiphon.wire.errors import InvalidRequestError, NotFoundError, StoreError
from antiphon.wire.files import CompleteUpload, CreateFile, CreateUpload, FileExpiry, Upload, UploadPart
from antiphon.wire.invalid import out_of_range, quoted

PREFIX: Final = "upload_"
PART_PREFIX: Final = "part_"
LIFETIME: Final = 3600
"""Seconds from the creation of an upload to its end."""
PART_BYTES: Final = 64 * 1024 * 1024
MOST_PARTS: Final = 10_000


class Uploads:
    """The uploads of a project."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._rows, self._blobs, self._clock, self._rules = shelf.rows, shelf.blobs, shelf.clock, shelf.rules

    async def create(self, project: str, wanted: CreateUpload) -> Upload:
        """A new upload, which is pending for an hour."""
        described = _described(wanted)
        if wanted.bytes > self._rules.upload:
            raise out_of_range("bytes", "integer", f"<= {self._rules.upload}", wanted.bytes)
        admit(described, wanted.bytes)
        now = int(self._clock.now())
        upload = Upload(
            id=self._clock.id(PREFIX),
            bytes=wanted.bytes,
            created_at=now,
            expires_at=now + LIFETIME,
            filename=described.name,
            purpose=wanted.purpose,
        )
        seconds = wanted.expires_after.seconds if wanted.expires_after else None
        await self._rows.save_upload(project, StoredUpload(upload=upload, media=wanted.mime_type, seconds=seconds))
        return upload

    async def incoming(self, project: str, upload_id: str) -> Incoming:
        """Room for the bytes of a part; NotFoundError, InvalidRequestError for an upload that takes no more."""
        upload = (await self._pending(project, upload_id)).upload
        parts = await self._rows.parts(project, upload_id)
        room = 2 * upload.bytes + PART_BYTES - sum(part.bytes for part in parts)
        if len(parts) >= MOST_PARTS or room < 0:
            raise InvalidRequestError(
                f"Upload '{upload_id}' takes no more parts: those that it has are more than it can be made of.",
                param="upload_id",
                code="invalid_value",
            )
        return Incoming(self._shelf, project, PART_PREFIX, PART_BYTES)

    async def add(self, project: str, upload_id: str, incoming: Incoming) -> UploadPart:
        """These bytes are a part of the upload; InvalidRequestError when it is over by now."""
        part = UploadPart(id=incoming.id, created_at=int(self._clock.now()), upload_id=upload_id)
        await self._pending(project, upload_id)
        incoming.keep()
        try:
            kept = await self._rows.add_part(project, StoredPart(part=part, bytes=incoming.size))
        except StoreError:
            await discard(self._blobs, project, part.id)
            raise
        if not kept:
            await discard(self._blobs, project, part.id)
            raise await self._refusal(project, upload_id)
        return part

    async def complete(self, project: str, upload_id: str, wanted: CompleteUpload) -> Upload:
        """Make a file of these parts, in this order. InvalidRequestError for parts that are not the upload's, that come
        twice, or that are not as many bytes as were announced, and for another MD5: the upload stays pending."""
        stored = await self._pending(project, upload_id)
        await self._check_parts(project, stored.upload, wanted.part_ids)
        file_id = self._clock.id(FILE_PREFIX)
        try:
            if wanted.md5:
                await self._check_md5(project, wanted.part_ids, wanted.md5)
            size = await self._blobs.join(project, file_id, wanted.part_ids)
        except NoBlobError:  # the parts of an upload that is over are collected
            raise await self._refusal(project, upload_id) from None
        file = stored_file(file_id, size, _kept(stored), self._clock, self._rules)
        ended = _ended(stored, "completed")
        ended = replace(ended, upload=replace(ended.upload, file=file.file))
        try:
            kept = await self._rows.end_upload(project, ended, file)
        except StoreError:
            await discard(self._blobs, project, file_id)
            raise
        if not kept:
            await discard(self._blobs, project, file_id)
            raise await self._refusal(project, upload_id)
        await self._drop_parts(project, wanted.part_ids)
        return ended.upload

    async def cancel(self, project: str, upload_id: str) -> Upload:
        """End it without a file; InvalidRequestError when it is over."""
        ended = _ended(await self._pending(project, upload_id), "cancelled")
        if not await self._rows.end_upload(project, ended, None):
            raise await self._refusal(project, upload_id)
        parts = await self._rows.parts(project, upload_id)
        await self._drop_parts(project, [part.part.id for part in parts])
        return ended.upload

    async def _pending(self, project: str, upload_id: str) -> StoredUpload:
        """The upload, which can still get parts; NotFoundError, InvalidRequestError."""
        stored = await self._rows.upload(project, upload_id)
        if stored is None:
            raise _missing(upload_id)
        stored = self._standing(stored)
        if final(UPLOAD, stored.upload.status):
            raise _over(stored.upload)
        return stored

    def _standing(self, stored: StoredUpload) -> StoredUpload:
        """The upload as it is at this time."""
        upload = stored.upload
        if final(UPLOAD, upload.status) or upload.expires_at > self._clock.now():
            return stored
        return _ended(stored, "expired")

    async def _refusal(self, project: str, upload_id: str) -> InvalidRequestError | NotFoundError:
        """Why something could not be done that could be when it was asked for."""
        stored = await self._rows.upload(project, upload_id)
        return _missing(upload_id) if stored is None else _over(self._standing(stored).upload)

    async def _check_parts(self, project: str, upload: Upload, part_ids: Sequence[str]) -> None:
        sizes = {part.part.id: part.bytes for part in await self._rows.parts(project, upload.id)}
        seen: set[str] = set()
        for place, part_id in enumerate(part_ids):
            if part_id not in sizes:
                raise _invalid(f"there is no part {quoted(part_id)} in upload '{upload.id}'", place)
            if part_id in seen:
                raise _invalid(f"the part {quoted(part_id)} comes twice", place)
            seen.add(part_id)
        total = sum(sizes[part_id] for part_id in part_ids)
        if total != upload.bytes:
            raise _invalid(f"the parts have {total} bytes, but the upload was announced with {upload.bytes}")

    async def _check_md5(self, project: str, part_ids: Sequence[str], wanted: str) -> None:
        digest = md5(usedforsecurity=False)
        for part_id in part_ids:
            async with aclosing(self._blobs.read(project, part_id)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(digest.update, piece)
        if digest.hexdigest() != wanted.lower():
            raise InvalidRequestError(
                f"Invalid 'md5': the parts have the MD5 {digest.hexdigest()}, but got {wanted.lower()} instead.",
                param="md5",
                code="invalid_value",
            )

    async def _drop_parts(self, project: str, part_ids: Sequence[str]) -> None:
        """Their bytes are of no more use; retention deletes their rows."""
        for part_id in part_ids:
            await discard(self._blobs, project, part_id)


def _described(wanted: CreateUpload) -> Described:
    name = base_name(wanted.filename)
    if not name:
        raise InvalidRequestError(
            f"Invalid 'filename': {quoted(wanted.filename)} names no file.", param="filename", code="invalid_value"
        )
    fields = CreateFile(purpose=wanted.purpose, expires_after=wanted.expires_after)
    return Described(name=name, media=wanted.mime_type, wanted=fields)


def _kept(stored: StoredUpload) -> Described:
    """What was said of the file when its upload was made."""
    upload = stored.upload
    after = FileExpiry(anchor="created_at", seconds=stored.seconds) if stored.seconds else None
    fields = CreateFile(purpose=upload.purpose, expires_after=after)  # pyright: ignore[reportArgumentType] (checked when it was created)
    return Described(name=upload.filename, media=stored.media, wanted=fields)


def _ended(stored: StoredUpload, status: str) -> StoredUpload:
    moved(UPLOAD, stored.upload.status, status)
    return replace(stored, upload=replace(stored.upload, status=status))


def _missing(upload_id: str) -> NotFoundError:
    return NotFoundError(f"No such Upload object: {quoted(upload_id)[1:-1]}", param="upload_id")


def _over(upload: Upload) -> InvalidRequestError:
    return InvalidRequestError(
        f"Upload '{upload.id}' is {upload.status} and cannot be changed any more.",
        param="upload_id",
        code=f"upload_{upload.status}",
    )


def _invalid(words: str, place: int | None = None) -> InvalidRequestError:
    path = "part_ids" if place is None else f"part_ids[{place}]"
    return InvalidRequestError(f"Invalid '{path}': {words}.", param=path, code="invalid_value")
