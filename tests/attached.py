"""Files as an engine finds them: rows in a store, bytes in a dictionary, an extractor and a door that do as they are
told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import asynccontextmanager

from antiphon.engine.attachments import AttachmentLimits, Attachments, Rows, Supplies
from antiphon.ports.blobs import NoBlobError
from antiphon.ports.clock import Clock
from antiphon.ports.door import Answer, Ask, DoorError, DoorLimits, Fetched
from antiphon.ports.extractor import Extracted, ExtractionError
from antiphon.ports.files import StoredFile


class Bytes:
    """Blobs of which only reading is asked; counts."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], bytes] = {}
        self.reads: list[str] = []

    async def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        self.reads.append(name)
        if (project, name) not in self.held:
            raise NoBlobError
        yield self.held[project, name][start:]


class Reader:
    """Reads what is UTF-8; counts."""

    def __init__(self) -> None:
        self.read: list[tuple[str, str]] = []

    async def extract(self, pieces: AsyncIterable[bytes], filename: str, media: str, /) -> Extracted:
        self.read.append((filename, media))
        content = b"".join([piece async for piece in pieces])
        if content == b"ours":
            raise ExtractionError("server_error", "the reader died.")
        try:
            return Extracted(content.decode())
        except UnicodeDecodeError:
            raise ExtractionError("invalid_file", "it is broken.") from None

    async def close(self) -> None:
        pass


class Web:
    """Documents by URL; counts."""

    def __init__(self, documents: Mapping[str, Fetched] | None = None) -> None:
        self.documents = dict(documents or {})
        self.fetched: list[str] = []

    @asynccontextmanager
    async def open(self, ask: Ask, limits: DoorLimits, /) -> AsyncGenerator[Answer]:
        raise DoorError(f"{ask.method} is not asked of this web.")
        yield

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        self.fetched.append(url)
        if url not in self.documents:
            raise DoorError("a.example answered with HTTP 404.")
        return self.documents[url]

    async def close(self) -> None:
        pass


class NoFiles:
    """Files of which there are none, or these."""

    def __init__(self, *stored: StoredFile, project: str = "default") -> None:
        self.stored = {one.file.id: one for one in stored}
        self._project = project

    async def files(self, project: str, file_ids: Sequence[str], now: float, /) -> dict[str, StoredFile]:
        if project != self._project:
            return {}
        live = {name: one for name, one in self.stored.items() if (one.file.expires_at or now + 1) > now}
        return {name: live[name] for name in file_ids if name in live}


def attachments(
    clock: Clock,
    files: Rows,
    *,
    blobs: Bytes | None = None,
    reader: Reader | None = None,
    web: Web | None = None,
    limits: AttachmentLimits | None = None,
) -> Attachments:
    """What resolves attachments, over these."""
    return Attachments(
        Supplies(
            files=files,
            blobs=blobs or Bytes(),
            extraction=reader or Reader(),
            door=web or Web(),
            clock=clock,
            limits=limits or AttachmentLimits(),
        )
    )
