"""Extraction: which extractor reads a document, and the processes in which they run.

Law: what a document is, is said by its name, then by its media type, then by its first bytes; but bytes that cannot be
what the name says win. Small files of plain text are read in a thread of the server, since nothing in them can hurt;
all else in processes of its own (`worker.py`), started at the first document, ended when they idle.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Final

import msgspec

from antiphon.adapters.extracting.encoding import textual
from antiphon.adapters.extracting.magic import EPUB, OLE, PDF, ZIP, container, page, refused
from antiphon.adapters.extracting.reading import Job, Setup, made, settled
from antiphon.adapters.extracting.worker import Worker, started
from antiphon.adapters.registry import AdapterError, kinds
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

PLAIN: Final = 256 * 1024
"""Bytes up to which plain text is read in the server."""
IN_PLACE: Final = frozenset({"text", "markdown", "code"})
"""Kinds of plain text."""
_OPAQUE: Final = ("image/", "audio/", "video/", "font/")
_ARCHIVES: Final = frozenset(
    {".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".exe", ".dll", ".so"}
)
_HELD: Final = {PDF: "pdf", EPUB: "epub", ZIP: "office"}
_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table of suffixes, whatever the machine has."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What documents may take. `extractors`: dotted names of modules that are asked before our own; `options`: the
    config of kinds, by name."""

    workers: Annotated[int, msgspec.Meta(ge=1)] = 2
    seconds: float = 60.0
    memory_mb: int = 1024
    characters: int = 50_000_000
    documents: int = 100
    """Documents that a process reads before another takes its place."""
    idle: float = 60.0
    """Seconds without a document after which a process is ended."""
    extractors: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = {}


class Kinds:
    """Who reads what. Raises AdapterError for an extractor that there is not, or whose options are wrong."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._made: dict[str, Extractor] = {}
        self._suffixes: dict[str, str] = {}
        self._media: dict[str, str] = {}
        self._foreign = frozenset(limits.extractors)
        for kind in (*limits.extractors, *kinds("extractors")):
            try:
                extractor = made(kind, limits.options.get(kind, {}), folder)
            except msgspec.ValidationError as error:
                raise AdapterError(f"the options of the extractor {kind} are wrong: {error}") from None
            self._made[kind] = extractor
            for suffix in extractor.suffixes:
                self._suffixes.setdefault(suffix, kind)
            for media in extractor.media:
                self._media.setdefault(media, kind)

    def extractor(self, kind: str) -> Extractor:
        """An extractor."""
        return self._made[kind]

    def of(self, head: bytes, filename: str, media: str) -> str:
        """The kind of a document; raises ExtractionError."""
        suffix = PurePath(filename.lower()).suffix
        named = self._suffixes.get(suffix) or self._by_media(media)
        if named in self._foreign:
            return named
        if not head:
            raise ExtractionError("invalid_file", "The file is empty.")
        if words := refused(head):
            raise ExtractionError("unsupported_file", f"The file is {words}: no text can be read from it.")
        held = container(head)
        if held == OLE:
            raise _old(named)
        if held == ZIP and named == "epub":
            return named
        return _HELD.get(held or "") or named or self._unnamed(head, filename, media)

    def _by_media(self, media: str) -> str | None:
        plain = media.partition(";")[0].strip().lower()
        return self._media.get(plain) or self._media.get(plain.partition("/")[0] + "/")

    def _unnamed(self, head: bytes, filename: str, media: str) -> str:
        """Neither the name nor the media type says it."""
        suffix = PurePath(filename.lower()).suffix
        guess = _TYPES.types_map[True].get(suffix, "")
        if guess.startswith(_OPAQUE) or suffix in _ARCHIVES or (not suffix and media.startswith(_OPAQUE)):
            raise ExtractionError(
                "unsupported_file", f"No text can be read from files of this type ({suffix or media})."
            )
        if page(head):
            return "html"
        if textual(head):
            return "text"
        raise ExtractionError(
            "unsupported_file", f"Files of this type cannot be read ({suffix or media or 'unknown'})."
        )


def _old(named: str | None) -> ExtractionError:
    if named == "office":
        words = "The document is encrypted, or of a format from before 2007: save it without a password in today's."
        return ExtractionError("invalid_file", words)
    words = "Documents of Word, PowerPoint and Excel from before 2007 cannot be read: save it as docx, pptx or xlsx."
    return ExtractionError("unsupported_file", words)


class Workers:
    """Implements `Extraction`. One for a server; belongs to one event loop."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._kinds = Kinds(limits, folder)
        self._setup = Setup(
            parent=os.getpid(),
            folder=str(folder),
            seconds=limits.seconds,
            memory_mb=limits.memory_mb,
            characters=limits.characters,
            options=limits.options,
        )
        self._free = asyncio.Semaphore(limits.workers)
        self._idle: list[tuple[Worker, asyncio.TimerHandle]] = []
        self._busy: set[Worker] = set()
        self._starting: set[asyncio.Task[Worker]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def extract(self, pieces: AsyncIterable[bytes], filename: str, media: str, /) -> Extracted:
        """The text of a document; raises ExtractionError, and what `pieces` raises."""
        source = aiter(pieces)
        head = await _head(source)
        begin = b"".join(head)
        kind = self._kinds.of(begin, filename, media)
        if kind in IN_PLACE and len(begin) <= PLAIN:
            extractor = self._kinds.extractor(kind)
            return await asyncio.to_thread(settled, extractor, begin, filename, self._limits.characters)
        del begin
        async with self._free:
            return await self._read(Job(kind, filename), _whole(head, source))

    async def close(self) -> None:
        """Kill the processes; documents that are being read end with an error."""
        self._closed = True
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in self._busy:
            worker.kill()
        while self._idle:
            self._end(self._take())
        while self._ending:
            await asyncio.gather(*self._ending)

    async def _read(self, job: Job, pieces: AsyncIterable[bytes]) -> Extracted:
        """By a process that idles, if it still hears, else by a new one."""
        while not self._closed:
            fresh = not self._idle
            worker = await self._start() if fresh else self._take()
            self._busy.add(worker)
            try:
                if not self._closed and await worker.hears(job):
                    return await worker.read(pieces)
            finally:
                self._busy.discard(worker)
                self._put(worker)
            if fresh and not self._closed:
                raise ExtractionError("server_error", "The file could not be read: its reader did not start.")
        raise ExtractionError("server_error", "The server is stopping.")

    async def _start(self) -> Worker:
        task = asyncio.get_running_loop().create_task(started(self._setup))
        self._starting.add(task)
        try:
            return await task
        finally:
            self._starting.discard(task)

    def _put(self, worker: Worker) -> None:
        if self._closed or not worker.usable or worker.documents >= self._limits.documents:
            self._end(worker)
            return
        timer = asyncio.get_running_loop().call_later(self._limits.idle, self._rest, worker)
        self._idle.append((worker, timer))

    def _take(self) -> Worker:
        """The one used last, so that the others come to rest."""
        worker, timer = self._idle.pop()
        timer.cancel()
        return worker

    def _rest(self, worker: Worker) -> None:
        self._idle = [pair for pair in self._idle if pair[0] is not worker]
        self._end(worker)

    def _end(self, worker: Worker) -> None:
        worker.kill()
        task = asyncio.get_running_loop().create_task(worker.gone())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _head(source: AsyncIterator[bytes]) -> list[bytes]:
    """The beginning of a document: all of it, or more than PLAIN bytes."""
    head: list[bytes] = []
    size = 0
    async for piece in source:
        head.append(piece)
        size += len(piece)
        if size > PLAIN:
            break
    return head


async def _whole(head: Sequence[bytes], source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in head:
        yield piece
    async for piece in source:
        yield piece
