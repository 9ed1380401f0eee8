"""The folder of a cassette: whole files are put in under names that are free; only plain files of it are read.

Law: what is read is in the folder: symbolic links, pipes and the like are not there. A file is written beside and
moved in when it is whole, so a process that dies or a disk that is full leaves nothing but a `.part`, which is swept
when it is old.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from antiphon.replay.exchange import RecordingError

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a file."""
PART: Final = ".part"
OLD: Final = 3600.0
"""Seconds after which a `.part` is nobody's any more."""
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Folder:
    """Its files by name. Every failure is a RecordingError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = uuid4().hex
        self._swept = False

    def names(self) -> list[str]:
        """The plain files, in order; none where there is no folder. No content is read."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordingError(f"The cassette {self.path.name} cannot be read: {error.strerror}.") from error

    def read(self, name: str) -> bytes | None:
        """The content of a file; None: there is none."""
        try:
            file = os.open(self.path / name, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, f"{error.strerror}") from error
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise _unreadable(name, "it is no plain file")
            if found.st_size > LARGEST:
                raise _unreadable(name, f"it has {found.st_size} bytes, more than {LARGEST}")
            try:
                return opened.read(LARGEST + 1)
            except OSError as error:
                raise _unreadable(name, f"{error.strerror}") from error

    def size(self, name: str) -> int:
        """Bytes of a file; 0: there is none."""
        try:
            return os.lstat(self.path / name).st_size
        except OSError:
            return 0

    def older(self, name: str, moment: float) -> bool:
        """Whether a file is there and was written before this moment (seconds since the epoch)."""
        try:
            return os.lstat(self.path / name).st_mtime < moment
        except OSError:
            return False

    def add(self, stem: str, number: int, content: bytes, instead: Sequence[str] = ()) -> str:
        """Put a file in under the first free number from this one on; its name. The files `instead` of which it stands
        go when it is written, just before."""
        beside = self._beside(content)
        try:
            for name in instead:
                (self.path / name).unlink(missing_ok=True)
            while True:
                name = f"{stem}-{number:03}.json"
                try:
                    os.link(beside, self.path / name)  # unlike a rename, it does not write over what is there
                except FileExistsError:
                    number += 1
                else:
                    return name
        except OSError as error:
            raise _unwritten(error) from error
        finally:
            beside.unlink(missing_ok=True)

    def replace(self, name: str, content: bytes) -> None:
        """Put a file in the place of the one of this name."""
        beside = self._beside(content)
        try:
            beside.replace(self.path / name)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise _unwritten(error) from error

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise RecordingError(f"The recording {name} cannot be removed: {error.strerror}.") from error

    def _beside(self, content: bytes) -> Path:
        """The content in a file that is not looked at yet."""
        if len(content) > LARGEST:
            raise RecordingError(f"An exchange has {len(content)} bytes, more than {LARGEST}; it is not recorded.")
        beside = self.path / f".{self._mine}{PART}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with beside.open("xb") as opened:
                opened.write(content)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise _unwritten(error) from error
        return beside

    def _sweep(self) -> None:
        """Remove what processes left that died while they wrote, once."""
        if self._swept:
            return
        self._swept = True
        before = time.time() - OLD
        for name in self.names():
            if name.startswith(".") and name.endswith(PART) and self.older(name, before):
                (self.path / name).unlink(missing_ok=True)


def _unreadable(name: str, why: str) -> RecordingError:
    return RecordingError(f"The recording {name} cannot be read: {why}.")


def _unwritten(error: OSError) -> RecordingError:
    return RecordingError(f"An exchange cannot be recorded: {error.strerror}.")
