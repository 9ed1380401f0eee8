"""Files and images that a context refers to become what a model can read: data URLs, or extracted text.

Law: only what the model sees is changed. Items stay as the client gave them, so that a file is looked up in every turn
and one that was deleted is gone from then on: the client hears of it where it names the file, the model where the
conversation does.
"""

from __future__ import annotations

import mimetypes
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeAlias, cast

import msgspec
from msgspec import UNSET

from antiphon.core.effects import Entry
from antiphon.core.parts import text_of
from antiphon.ports.blobs import NoBlobError
from antiphon.ports.clock import Clock
from antiphon.ports.door import Door, DoorError, DoorLimits
from antiphon.ports.extractor import Extraction, ExtractionError
from antiphon.ports.files import StoredFile
from antiphon.wire.content import InputFile, InputImage, InputText, Part
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError, ServerError
from antiphon.wire.items import (
    ComputerCallOutput,
    CustomToolCallOutput,
    FunctionCallOutput,
    Item,
    Message,
    Screenshot,
    item_id,
)

UNKNOWN: Final = "application/octet-stream"
FRESH: Final = 600.0
"""Seconds for which what was fetched from a URL stands for it."""
_Attached: TypeAlias = InputFile | InputImage


class AttachmentLimits(msgspec.Struct, frozen=True):
    """Bytes of one file, characters of its text that the model gets, characters of all attachments of one context, and
    characters that are kept for the next turns."""

    file: int = 32 * 1024 * 1024
    text: int = 1_000_000
    context: int = 128 * 1024 * 1024
    kept: int = 64 * 1024 * 1024


class Rows(Protocol):
    """What is needed of Files."""

    async def files(self, project: str, file_ids: Sequence[str], now: float, /) -> dict[str, StoredFile]:
        """As Files does."""
        ...


class Contents(Protocol):
    """What is needed of Blobs."""

    def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        """As Blobs does."""
        ...


class Supplies(msgspec.Struct, frozen=True, kw_only=True):
    """Where files come from, and what reads them."""

    files: Rows
    blobs: Contents
    extraction: Extraction
    door: Door
    clock: Clock
    limits: AttachmentLimits = AttachmentLimits()


class _Document(msgspec.Struct, frozen=True):
    """A file with its bytes."""

    content: bytes
    filename: str
    media: str


class Attachments:
    """Resolves attachments; see the module."""

    def __init__(self, supplies: Supplies) -> None:
        self._supplies = supplies
        self._cache = _Cache(supplies.limits.kept)

    async def resolved(
        self, project: str, context: Sequence[Entry], places: Mapping[str, str], *, native: bool
    ) -> tuple[Entry, ...]:
        """The context as the model is to see it. `places` says by item id where the request gives an item (`input[3]`):
        what is wrong there raises an error that names it; elsewhere the model is told. `native`: the endpoint reads
        files itself."""
        found = [place for place, entry in enumerate(context) if entry.item is not None and _refers(entry.item)]
        if not found:
            return tuple(context)
        known = await self._known(project, [cast("Item", context[place].item) for place in found])
        reading = _Reading(self._supplies, self._cache, project, known, native=native)
        resolved = list(context)
        for place in found:
            item = cast("Item", context[place].item)
            resolved[place] = msgspec.structs.replace(
                context[place], item=await reading.item(item, places.get(str(item_id(item))))
            )
        return tuple(resolved)

    async def _known(self, project: str, items: Sequence[Item]) -> Mapping[str, StoredFile]:
        ids = [part.file_id for item in items for part in _attached(item) if part.file_id]
        if not ids:
            return {}
        return await self._supplies.files.files(project, list(dict.fromkeys(ids)), self._supplies.clock.now())


class _Cache:
    """What attachments became, bounded by the characters that are kept; the least used goes first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[str, ...], tuple[Part, float]] = OrderedDict()

    def get(self, key: tuple[str, ...], now: float) -> Part | None:
        """None when it is not kept, or not fresh any more."""
        part, until = self._kept.get(key, (None, 0.0))
        if part is None or until < now:
            return None
        self._kept.move_to_end(key)
        return part

    def put(self, key: tuple[str, ...], part: Part, until: float) -> None:
        """Keep it."""
        gone, _ = self._kept.pop(key, (None, 0.0))
        self._room += 0 if gone is None else _size(gone)
        self._kept[key] = (part, until)
        self._room -= _size(part)
        while self._room < 0:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._room += _size(oldest)


class _Reading:
    """Resolves the attachments of one context."""

    def __init__(
        self, supplies: Supplies, cache: _Cache, project: str, known: Mapping[str, StoredFile], *, native: bool
    ) -> None:
        self._supplies = supplies
        self._cache = cache
        self._project = project
        self._known = known
        self._native = native
        self._room = supplies.limits.context

    async def item(self, item: Item, place: str | None) -> Item:
        """The item with its attachments resolved."""
        match item:
            case Message():
                return msgspec.structs.replace(item, content=await self._parts(item.content, place, "content"))
            case FunctionCallOutput() | CustomToolCallOutput():
                output = await self._parts(cast("Sequence[Part]", item.output), place, "output")
                return msgspec.structs.replace(item, output=output)
            case ComputerCallOutput():
                shown = await self._part(_screen(item.output), None if place is None else f"{place}.output")
                return msgspec.structs.replace(item, output=shown) if isinstance(shown, InputImage) else item
            case _:
                return item

    async def _parts(self, parts: Sequence[Part], place: str | None, name: str) -> tuple[Part, ...]:
        return tuple(
            [
                await self._part(part, None if place is None else f"{place}.{name}[{number}]")
                if isinstance(part, InputFile | InputImage)
                else part
                for number, part in enumerate(parts)
            ]
        )

    async def _part(self, part: _Attached, place: str | None) -> Part:
        if not _unread(part):
            return part
        try:
            made = await self._made(part)
        except _UnreadableError as error:
            if place is not None:
                raise error.told(place) from None
            return InputText(text=f"[{error.message}]")
        self._room -= _size(made)
        if self._room < 0:
            words = "The files of this conversation are larger together than a model is given."
            raise InvalidRequestError(words, param=place or "input", code="context_length_exceeded")
        return _marked(made, part)

    async def _made(self, part: _Attached) -> Part:
        now = self._supplies.clock.now()
        source, until = self._source(part, now)
        key = (self._project, type(part).__name__, *source, str(self._native))
        if (made := self._cache.get(key, now)) is not None:
            return made
        made = await self._read(part)
        self._cache.put(key, made, until)
        return made

    def _source(self, part: _Attached, now: float) -> tuple[tuple[str, ...], float]:
        """What the attachment is known by, and until when. A file of ours that is there never changes."""
        if part.file_id:
            self._stored(part.file_id)
            return ("id", part.file_id), float("inf")
        assert isinstance(part, InputFile)
        if isinstance(part.file_data, str):
            digest = blake2b(part.file_data.encode("utf-8", "replace"), digest_size=16).hexdigest()
            return ("inline", digest, str(part.filename)), float("inf")
        return ("url", str(part.file_url), str(part.filename)), now + FRESH

    async def _read(self, part: _Attached) -> Part:
        if isinstance(part, InputImage):
            document = await self._blob(str(part.file_id))
            if not document.media.startswith("image/"):
                raise _UnreadableError(f"The file '{document.filename}' is no image.", "file_id")
            return InputImage(image_url=_url(document))
        name = "file_id" if part.file_id else "file_url"
        if part.file_id:
            document = await self._blob(part.file_id)
        elif isinstance(part.file_data, str):
            return await self._inline(part.file_data, str(part.filename or "file"))
        else:
            document = await self._fetched(str(part.file_url))
            if part.filename:
                document = msgspec.structs.replace(document, filename=str(part.filename))
        if document.media.startswith("image/"):
            return InputImage(image_url=_url(document))
        if self._native:
            return InputFile(filename=document.filename, file_data=_url(document))
        return await self._text(document, name)

    async def _inline(self, given: str, filename: str) -> Part:
        """A file that the request holds. What is text is read where the message is written."""
        if self._native or text_of(given, filename) is not None:
            return InputFile(filename=filename, file_data=given)
        head, comma, body = given.partition(",")
        inline = bool(comma) and head.startswith("data:")
        media = head.removeprefix("data:").partition(";")[0] if inline else ""
        try:
            content = b64decode(body if inline else given, validate=True)
        except (Base64Error, ValueError):
            raise _UnreadableError(f"The file '{filename}' is not in base64.", "file_data") from None
        document = _Document(content, filename, media or _guessed(filename))
        if document.media.startswith("image/"):
            return InputImage(image_url=_url(document))
        return await self._text(document, "file_data")

    async def _text(self, document: _Document, name: str) -> Part:
        async def pieces() -> AsyncGenerator[bytes]:
            yield document.content

        try:
            read = await self._supplies.extraction.extract(pieces(), document.filename, document.media)
        except ExtractionError as error:
            if error.code == "server_error":
                raise ServerError(f"The file '{document.filename}' could not be read: {error.message}") from error
            raise _UnreadableError(f"The file '{document.filename}' cannot be read: {error.message}", name) from None
        text, most = read.text, self._supplies.limits.text
        if len(text) > most:
            text = f"{text[:most]}\n[cut: the first {most} of {len(text)} characters]"
        return InputText(text=f"File {document.filename}:\n{text}")

    def _stored(self, file_id: str) -> StoredFile:
        stored = self._known.get(file_id)
        if stored is None:
            raise _UnreadableError(f"File with id '{file_id}' not found.", "file_id", NotFoundError)
        if stored.file.bytes > self._supplies.limits.file:
            words = f"The file '{stored.file.filename}' is larger than {self._supplies.limits.file} bytes."
            raise _UnreadableError(words, "file_id")
        return stored

    async def _blob(self, file_id: str) -> _Document:
        stored = self._stored(file_id)
        try:
            content = b"".join([piece async for piece in self._supplies.blobs.read(self._project, file_id)])
        except NoBlobError:  # deleted meanwhile
            raise _UnreadableError(f"File with id '{file_id}' not found.", "file_id", NotFoundError) from None
        name = stored.file.filename
        return _Document(content, name, stored.media if stored.media != UNKNOWN else _guessed(name))

    async def _fetched(self, url: str) -> _Document:
        try:
            got = await self._supplies.door.fetch(url, DoorLimits(size=self._supplies.limits.file))
        except DoorError as error:
            raise _UnreadableError(f"The file could not be fetched. {error.message}", "file_url") from None
        return _Document(got.content, got.filename, got.media if got.media != UNKNOWN else _guessed(got.filename))


class _UnreadableError(Exception):
    """An attachment that cannot be given to the model; `name` is what of it names the file."""

    def __init__(self, message: str, name: str, kind: type[AntiphonError] = InvalidRequestError) -> None:
        super().__init__(message)
        self.message = message
        self._name = name
        self._kind = kind

    def told(self, place: str) -> AntiphonError:
        """As the client is told, who gave it at this place."""
        code = None if self._kind is NotFoundError else "invalid_value"
        return self._kind(self.message, param=f"{place}.{self._name}", code=code)


def _refers(item: Item) -> bool:
    return any(map(_unread, _attached(item)))


def _attached(item: Item) -> Sequence[_Attached]:
    """The files and images of an item."""
    match item:
        case Message(role="user" | "system" | "developer"):
            parts: Sequence[Any] = item.content
        case FunctionCallOutput(output=tuple()) | CustomToolCallOutput(output=tuple()):
            parts = cast("Sequence[Any]", item.output)
        case ComputerCallOutput():
            parts = (_screen(item.output),)
        case _:
            return ()
    return [part for part in parts if isinstance(part, InputFile | InputImage)]


def _unread(part: _Attached) -> bool:
    """Whether the model cannot be given it as it stands."""
    if isinstance(part, InputImage):
        return bool(part.file_id) and not part.image_url
    return bool(part.file_id or part.file_url or part.file_data)


def _screen(shown: Screenshot | InputImage) -> InputImage:
    if isinstance(shown, InputImage):
        return shown
    return InputImage(image_url=shown.image_url or None, file_id=shown.file_id or None)


def _marked(made: Part, part: _Attached) -> Part:
    """What was made, with the settings of the part that it stands for."""
    if isinstance(made, InputImage) and isinstance(part, InputImage):
        made = msgspec.structs.replace(made, detail=part.detail)
    if part.prompt_cache_breakpoint is not UNSET and isinstance(made, InputText | InputFile | InputImage):
        made = msgspec.structs.replace(made, prompt_cache_breakpoint=part.prompt_cache_breakpoint)
    return made


def _size(part: Part) -> int:
    match part:
        case InputText():
            return len(part.text)
        case InputImage():
            return len(part.image_url or "")
        case InputFile():
            return len(part.file_data or "")
        case _:
            return 0


def _url(document: _Document) -> str:
    return f"data:{document.media};base64,{b64encode(document.content).decode()}"


def _guessed(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or UNKNOWN
