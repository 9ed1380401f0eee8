"""Blobs as files of a folder: `files/PROJECT/NAME` in the data folder.

Law: a file has its name only when it is whole and on the disk. Until then it is one of `files/.partial`, locked by the
process that writes it: what nobody has locked there was left by a process that died, and is deleted at the next start.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from antiphon.adapters.naming import place, safe, unfolded
from antiphon.adapters.parts import Parts
from antiphon.ports.blobs import Blob, NoBlobError
from antiphon.wire.errors import StoreError

A = TypeVar("A")
T = TypeVar("T")
LOGGER: Final = logging.getLogger(__name__)

FOLDER: Final = "files"
PARTIAL: Final = ".partial"
PIECE: Final = 1024 * 1024
"""Bytes that are read or written at once."""
_BATCH: Final = 1000


class Config(msgspec.Struct, frozen=True):
    """The keys of `[blobs]` with `kind = "folder"`. `dir`: another folder than `files` in the data folder."""

    dir: str | None = None


def make(config: Config, parts: Parts) -> FolderBlobs:
    """The folder."""
    return FolderBlobs(Path(config.dir).expanduser() if config.dir else parts.folder / FOLDER)


class FolderBlobs:
    """Blobs in this folder, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partial = folder / PARTIAL

    async def open(self) -> None:
        """Make the folder, and delete what processes that died have left."""
        with _told("The folder for files cannot be used"):
            if left := await settled(self._prepare):
                LOGGER.info("%d unfinished files of a process that died were deleted", left)

    async def close(self) -> None:
        """Nothing is held."""

    async def check(self) -> None:
        """Raise StoreError unless files can be made here."""
        with _told("The folder for files cannot be used"):
            await settled(self._tried)

    async def put(self, project: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        """Store the pieces as one."""
        target = self._path(project, name)
        async with aclosing(batches(pieces)) as listed, self._writing() as partial:
            held: list[bytes] = []
            async for batch in listed:
                if held:
                    await _done(partial.write, held)
                held = batch  # the last one goes with the commit: a small file is one turn of another thread
            return await _done(lambda rest: partial.commit(target, rest), held)

    async def join(self, project: str, name: str, parts: Sequence[str], /) -> int:
        """Copy the parts behind each other."""
        target = self._path(project, name)
        async with self._writing() as partial:
            for part in parts:
                await _done(partial.copy, self._path(project, part))
            return await _done(lambda path: partial.commit(path, ()), target)

    async def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        """The bytes from `start` on."""
        path = self._path(project, name)
        try:
            file, piece = await settled(lambda: _opened(path, start))
        except FileNotFoundError:
            raise NoBlobError(name) from None
        except OSError as error:
            raise _failure("The file cannot be read", error) from None
        try:
            while piece:
                yield piece
                if len(piece) < PIECE:
                    break
                with _told("The file cannot be read"):
                    piece = await settled(lambda: file.read(PIECE))
        finally:
            file.close()

    async def delete(self, project: str, name: str, /) -> bool:
        """Delete the file."""
        if not safe(name):
            return False
        path = self._path(project, name)
        with _told("The file was not deleted"):
            return await settled(lambda: _removed(path))

    async def stored(self, before: float, /) -> AsyncGenerator[Sequence[Blob]]:
        """What was stored before that time."""
        listed = self._listed(before)
        with _told("The folder for files cannot be read"):
            while batch := await settled(lambda: _taken(listed)):
                yield batch

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[_Partial]:
        """A file that leaves nothing when it is not committed."""
        partial = _Partial(self._partial)
        try:
            yield partial
        except BaseException:
            await settled(partial.abandon)
            raise

    def _path(self, project: str, name: str) -> Path:
        folder, own = place(project, name)
        return self._folder / folder / own

    def _prepare(self) -> int:
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        return sum(_abandoned(path) for path in self._partial.iterdir())

    def _tried(self) -> None:
        partial = _Partial(self._partial)
        try:
            partial.write((b"",))
        finally:
            partial.abandon()

    def _listed(self, before: float) -> Iterator[Blob]:
        for folder in self._folder.iterdir():
            project = unfolded(folder.name)
            if project is None or not folder.is_dir():
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if safe(entry.name) and entry.stat(follow_symlinks=False).st_mtime < before:
                            yield Blob(project, entry.name)


class _Partial:
    """A file that is being written. Calls of it never overlap; any thread may make them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._opened: BinaryIO | None = None
        self._size = 0

    def write(self, batch: Sequence[bytes]) -> None:
        """Append."""
        for content in batch if len(batch) < 2 else (b"".join(batch),):
            self._append(content)

    def copy(self, source: Path) -> None:
        """Append what that file holds; NoBlobError."""
        try:
            file = source.open("rb", buffering=0)
        except FileNotFoundError:
            raise NoBlobError(source.name) from None
        with file:
            while piece := file.read(PIECE):
                self._append(piece)

    def commit(self, target: Path, rest: Sequence[bytes]) -> int:
        """Append the rest, then give the file its name, durably; its size."""
        self.write(rest)
        path, file = self._file()
        os.fsync(file.fileno())
        if sys.platform == "win32":
            file.close()  # nothing there is renamed while it is open
        made = not target.parent.is_dir()
        target.parent.mkdir(mode=0o700, exist_ok=True)
        path.replace(target)
        self._path = target
        _synced(target.parent)
        if made:
            _synced(target.parent.parent)
        file.close()
        return self._size

    def abandon(self) -> None:
        """Leave nothing, even of what was just committed."""
        if self._opened is not None:
            self._opened.close()
        if self._path is not None:
            with suppress(OSError):  # then it goes at the next start, or as nobody's
                self._path.unlink()

    def _append(self, content: bytes) -> None:
        _, file = self._file()
        rest = memoryview(content)
        while rest:  # one call may take only a part
            rest = rest[file.write(rest) :]
        self._size += len(content)

    def _file(self) -> tuple[Path, BinaryIO]:
        """The file, made when it is first needed, and locked."""
        while self._path is None or self._opened is None:
            self._path = self._folder / secrets.token_hex(16)
            number = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            file = os.fdopen(number, "wb", buffering=0)
            if _locked(file) and os.fstat(number).st_nlink:
                self._opened = file
            else:  # another process that has just started took it for one that was left
                file.close()
        return self._path, self._opened


async def batches(pieces: AsyncIterable[bytes], most: int = PIECE) -> AsyncGenerator[list[bytes]]:
    """The pieces in lists of at least `most` bytes, the last one shorter; nothing when there are none."""
    held: list[bytes] = []
    size = 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= most:
            yield held
            held, size = [], 0
    if held:
        yield held


async def settled(work: Callable[[], T]) -> T:
    """Work of another thread. Who is cancelled meanwhile leaves when it has ended: nothing goes on unseen."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


async def _done(work: Callable[[A], T], argument: A) -> T:
    with _told("The file was not stored"):
        return await settled(lambda: work(argument))


@contextmanager
def _told(words: str) -> Generator[None]:
    """What the system refuses is a StoreError. No paths: clients read the message."""
    try:
        yield
    except OSError as error:
        raise _failure(words, error) from None


def _failure(words: str, error: OSError) -> StoreError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StoreError(f"{words}: {'there is no room left' if full else os.strerror(error.errno or errno.EIO)}.")


def _opened(path: Path, start: int) -> tuple[BinaryIO, bytes]:
    """The file, and the first piece of it from there on."""
    file = path.open("rb", buffering=0)
    try:
        if start:
            file.seek(start)
        return file, file.read(PIECE)
    except BaseException:
        file.close()
        raise


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _taken(listed: Iterator[Blob]) -> list[Blob]:
    return [blob for _, blob in zip(range(_BATCH), listed, strict=False)]


def _abandoned(path: Path) -> bool:
    """Delete the partial file of a process that died; False when it is being written."""
    try:
        with path.open("rb") as file:
            if not _locked(file):
                return False
            path.unlink()
    except PermissionError:  # Windows: somebody writes it
        return False
    except FileNotFoundError:  # another process was faster
        return False
    return True


def _locked(file: BinaryIO) -> bool:
    """Take the file for this process; False when another one has it. A process that dies lets go."""
    if sys.platform == "win32":  # open files cannot be deleted there: no lock is needed
        return True
    import fcntl  # noqa: PLC0415  # not on every platform

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _synced(folder: Path) -> None:
    """Make the names in the folder durable, where a folder can be synchronised."""
    if sys.platform == "win32":
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
