"""Files: rows in the store, bytes in the blobs.

Law: the row decides. Bytes are stored before their row and deleted after it, so that a row always has its bytes; what a
process that dies leaves in between has bytes and no row, and is collected (`Leftovers`).
"""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from antiphon.ports.blobs import Blobs, NoBlobError
from antiphon.ports.clock import Clock
from antiphon.ports.files import Files as Rows
from antiphon.ports.files import StoredFile
from antiphon.ports.index import Document, Index
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import VectorStores
from antiphon.wire.errors import InvalidRequestError, NotFoundError, ServerError, StoreError, TooLargeError
from antiphon.wire.files import CreateFile, File, FileDeleted, FilePage
from antiphon.wire.invalid import quoted

LOGGER: Final = logging.getLogger(__name__)

PREFIX: Final = "file-"
BATCH_BYTES: Final = 200 * 1024 * 1024
"""The largest file of purpose `batch`."""
LONGEST_NAME: Final = 255
_CLOSED: Final = frozenset({"assistants", "user_data"})
"""Purposes whose files OpenAI does not let anybody download."""
_PLAIN: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_KINDS: Final = {".md": "text/markdown", ".jsonl": "application/jsonl", ".yaml": "application/yaml"}
"""Types that systems do not agree on."""


class Rules(Struct, frozen=True, kw_only=True):
    """Bounds. `most`: bytes of a file that comes at once; `upload`: of one that comes in parts; `batch_seconds`: the
    lifetime of files of purpose `batch`, None: for ever; `downloads`: of the purposes that OpenAI keeps closed."""

    most: int = 512 * 1024 * 1024
    upload: int = 8 * 1024 * 1024 * 1024
    batch_seconds: int | None = 30 * 86_400
    downloads: bool = True


class Described(Struct, frozen=True, kw_only=True):
    """A file without its bytes: `name` and `media` (content type) as the client gave them."""

    name: str
    media: str
    wanted: CreateFile


class Shelf(Struct, frozen=True, kw_only=True):
    """What files are kept in."""

    rows: Rows
    blobs: Blobs
    stores: VectorStores
    index: Index
    clock: Clock
    rules: Rules = Rules()


class Incoming:
    """Bytes that are on their way. Left without `keep`, nothing of them stays."""

    def __init__(self, shelf: Shelf, project: str, prefix: str, most: int) -> None:
        self.id = shelf.clock.id(prefix)
        self.size = 0
        self._shelf = shelf
        self._project = project
        self._most = most
        self._stored = False

    async def take(self, pieces: AsyncIterable[bytes]) -> None:
        """Store the pieces; TooLargeError as soon as they are too many."""
        async with aclosing(self._counted(pieces)) as counted:
            await self._shelf.blobs.put(self._project, self.id, counted)
        self._stored = True

    def keep(self) -> None:
        """They stay: there is a row for them, or will be."""
        self._stored = False

    async def _counted(self, pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        async for piece in pieces:
            self.size += len(piece)
            if self.size > self._most:
                raise too_large(self._most)
            yield piece

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored:
            await discard(self._shelf.blobs, self._project, self.id)


class Files:
    """The files of a project."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._rows, self._blobs, self._clock, self._rules = shelf.rows, shelf.blobs, shelf.clock, shelf.rules

    @property
    def rules(self) -> Rules:
        """The bounds."""
        return self._rules

    async def check(self) -> None:
        """Raise StoreError unless the place of the bytes answers."""
        await self._blobs.check()

    def incoming(self, project: str) -> Incoming:
        """Room for the bytes of a new file."""
        return Incoming(self._shelf, project, PREFIX, self._rules.most)

    def admit(self, described: Described, size: int = 0) -> None:
        """Raise InvalidRequestError for a file that is not wanted; may be asked before its size is known."""
        admit(described, size)

    async def create(self, project: str, described: Described, incoming: Incoming) -> File:
        """A new file with these bytes; InvalidRequestError as in `admit`."""
        admit(described, incoming.size)
        stored = stored_file(incoming.id, incoming.size, described, self._clock, self._rules)
        incoming.keep()  # who is cancelled now does not know whether there is a row
        try:
            await self._rows.save_file(project, stored)
        except StoreError:
            await discard(self._blobs, project, incoming.id)
            raise
        return stored.file

    async def list(self, project: str, page: PageQuery, purpose: str | None) -> FilePage:
        """A page of the files."""
        found, more = await self._rows.list_files(project, page, purpose, self._clock.now())
        return FilePage(
            data=tuple(found),
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
            has_more=more,
        )

    async def retrieve(self, project: str, file_id: str) -> File:
        """The file; NotFoundError."""
        return (await self._stored(project, file_id)).file

    async def content(self, project: str, file_id: str) -> StoredFile:
        """The file whose bytes shall be read (by `read`); NotFoundError, InvalidRequestError where that is not
        allowed."""
        stored = await self._stored(project, file_id)
        if not self._rules.downloads and stored.file.purpose in _CLOSED:
            raise InvalidRequestError(f"Not allowed to download files of purpose: {stored.file.purpose}")
        return stored

    async def read(self, project: str, stored: StoredFile, start: int = 0) -> AsyncGenerator[bytes]:
        """Its bytes from `start` on."""
        try:
            async with aclosing(self._blobs.read(project, stored.file.id, start)) as pieces:
                async for piece in pieces:
                    yield piece
        except NoBlobError:
            LOGGER.error("the bytes of %s are gone", stored.file.id)  # noqa: TRY400  # the place tells nothing more
            raise ServerError(f"The bytes of '{stored.file.id}' are gone.") from None

    async def delete(self, project: str, file_id: str) -> FileDeleted:
        """Delete the file, and what vector stores have of it; NotFoundError."""
        documents = await self._documents(project, file_id)
        if not await self._rows.delete_file(project, file_id):
            raise missing(file_id)
        try:
            if documents:
                await self._shelf.index.remove(documents)
        except StoreError as error:  # nobody finds them: their rows are gone
            LOGGER.warning("what was indexed of %s stays until the next sweep: %s", file_id, error.message)
        await discard(self._blobs, project, file_id)
        return FileDeleted(id=file_id)

    async def _stored(self, project: str, file_id: str) -> StoredFile:
        found = await self._rows.file(project, file_id, self._clock.now())
        if found is None:
            raise missing(file_id)
        return found

    async def _documents(self, project: str, file_id: str) -> Sequence[Document]:
        """What the index has of the file."""
        stores = self._shelf.stores
        found: list[Document] = []
        for store_id in await stores.stores_of(project, file_id):
            member = await stores.member(project, store_id, file_id)
            if member is not None:
                found.append(Document(project=project, store_id=store_id, id=member.document, file_id=file_id))
        return found


def missing(file_id: str) -> NotFoundError:
    """No such file in this project."""
    return NotFoundError(f"No such File object: {quoted(file_id)[1:-1]}", param="id")


def too_large(most: int) -> TooLargeError:
    """More bytes than are taken."""
    return TooLargeError(f"The file is too large: at most {most} bytes are taken.", param="file")


def admit(described: Described, size: int) -> None:
    """Files for batches are lines of JSON, and not too many."""
    if described.wanted.purpose != "batch":
        return
    if not described.name.lower().endswith(".jsonl"):
        raise InvalidRequestError(
            f"Invalid file format for purpose 'batch': expected a name that ends in '.jsonl', but got "
            f"{quoted(described.name)}.",
            param="file",
            code="invalid_file_format",
        )
    if size > BATCH_BYTES:
        raise InvalidRequestError(
            f"The file is too large for purpose 'batch': at most {BATCH_BYTES} bytes are taken, but it has {size}.",
            param="file",
            code="file_too_large",
        )


def stored_file(file_id: str, size: int, described: Described, clock: Clock, rules: Rules) -> StoredFile:
    """The row of a new file."""
    now = int(clock.now())
    wanted = described.wanted
    after = wanted.expires_after.seconds if wanted.expires_after else None
    if after is None and wanted.purpose == "batch":
        after = rules.batch_seconds
    file = File(
        id=file_id,
        bytes=size,
        created_at=now,
        expires_at=None if after is None else now + after,
        filename=described.name,
        purpose=wanted.purpose,
    )
    return StoredFile(file=file, media=media(described.name, described.media))


def base_name(name: str) -> str:
    """The last component of a client's name for a file, without what is no text, cut in front where it is long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[-LONGEST_NAME:] if shown.strip(".") else ""


def media(name: str, declared: str) -> str:
    """The content type as it was declared, or else as the name tells."""
    if (plain := declared.strip()).lower() not in _PLAIN:
        return plain
    _, dot, end = name.lower().rpartition(".")
    return _KINDS.get(dot + end) or mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


async def discard(blobs: Blobs, project: str, name: str) -> None:
    """Delete bytes without a row; what cannot be deleted now is collected later."""
    try:
        await blobs.delete(project, name)
    except StoreError as error:
        LOGGER.warning("the bytes of %s stay until they are collected: %s", name, error.message)
