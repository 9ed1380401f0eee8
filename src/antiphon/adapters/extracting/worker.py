"""One process that reads documents, as the server sees it. The other end is `reading.py`, which says what goes over the
pipes.

Law: whatever the process does or sends, one document ends with a text or an ExtractionError, and in time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterable
from typing import Final

import msgspec

from antiphon.adapters.extracting.reading import PIECE, Answer, Job, Setup
from antiphon.ports.extractor import Extracted, ExtractionError

CHUNK: Final = 256 * 1024
"""Bytes of a document in a frame."""
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of the largest answer, without the text."""
START: Final = 60.0
"""Seconds in which a process must be there, on a machine however busy."""
GONE: Final = 5.0
"""Seconds that a killed process is waited for."""
_KEPT: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
"""Variables without which a process may not start; no secret is among them."""
_TIMED: Final = ("SIGALRM", "SIGXCPU")
_CRASHES: Final = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")

_log = logging.getLogger(__name__)
_encode = msgspec.msgpack.encode


class Worker:
    """A process; reads one document at a time. When it is not `usable` afterwards, it must be ended."""

    def __init__(self, process: asyncio.subprocess.Process, setup: Setup) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._writer = process.stdin
        self._reader = process.stdout
        self._setup = setup
        self.documents = 0
        """Documents that it was given."""
        self.usable = True
        """Whether it can be given another one."""

    async def hears(self, job: Job) -> bool:
        """Whether it is there and waits for the content of this document; it may have died while it idled."""
        self.usable = False
        try:
            await self._write(_encode(job))
            async with asyncio.timeout(START):
                return await self._frame(0) == b""
        except (TimeoutError, asyncio.IncompleteReadError, OSError, _NonsenseError):
            return False

    async def read(self, pieces: AsyncIterable[bytes]) -> Extracted:
        """Read the document; raises ExtractionError, and what `pieces` raises. Its time begins when all is there."""
        self.documents += 1
        await self._send(pieces)
        try:
            async with asyncio.timeout(self._setup.seconds):
                extracted = await self._receive()
        except TimeoutError:
            raise self._late() from None
        except (asyncio.IncompleteReadError, OSError):
            raise await self._dead() from None
        except (msgspec.MsgspecError, UnicodeDecodeError, _NonsenseError):
            raise ExtractionError("server_error", "The file could not be read: its reader gave nonsense.") from None
        if isinstance(extracted, Answer):
            self.usable = not extracted.last
            raise ExtractionError(extracted.code or "server_error", extracted.message)
        self.usable = True
        return extracted

    def introduce(self) -> None:
        """Tell it what holds for all documents."""
        setup = _encode(self._setup)
        self._writer.write(len(setup).to_bytes(4) + setup)

    async def _send(self, pieces: AsyncIterable[bytes]) -> None:
        """The document. A process that hears no more of it has an answer, or is dead: `_receive` will see."""
        async for piece in pieces:
            for start in range(0, len(piece), CHUNK):
                if not await self._write(piece[start : start + CHUNK]):
                    return
        await self._write(b"")

    async def _write(self, content: bytes) -> bool:
        """Whether it still hears."""
        try:
            self._writer.write(len(content).to_bytes(4) + content)
            async with asyncio.timeout(self._setup.seconds):
                await self._writer.drain()
        except TimeoutError:
            raise self._late() from None
        except OSError:
            return False
        return True

    async def _receive(self) -> Extracted | Answer:
        """The text, or the answer that says why there is none."""
        answer = msgspec.msgpack.decode(await self._frame(LARGEST), type=Answer)
        if answer.code is not None:
            return answer
        texts: list[str] = []
        left = self._setup.characters
        for _ in range(answer.frames):
            text = (await self._frame(PIECE * 4)).decode()
            left -= len(text)
            if left < 0:
                raise _NonsenseError
            texts.append(text)
        return Extracted("".join(texts), answer.pages, answer.headings)

    async def _frame(self, largest: int) -> bytes:
        size = int.from_bytes(await self._reader.readexactly(4))
        if size > largest:
            raise _NonsenseError
        return await self._reader.readexactly(size)

    def _late(self) -> ExtractionError:
        return ExtractionError("invalid_file", f"Reading the file takes longer than {self._setup.seconds:g} seconds.")

    async def _dead(self) -> ExtractionError:
        """Why it died. A library that crashes was given a broken document; who kills is not the document."""
        try:
            async with asyncio.timeout(GONE):  # killing it now could hide from asyncio how it ended
                code = await self._process.wait()
        except TimeoutError:
            self.kill()
            code = await self._process.wait()
        name = _name(code)
        _log.warning("the process that read a document ended: %s", name)
        if name in _TIMED:
            return self._late()
        if name in _CRASHES:
            return ExtractionError("invalid_file", f"The file is broken: its reader crashed on it ({name}).")
        return ExtractionError("server_error", "The file could not be read: its reader was stopped.")

    def kill(self) -> None:
        """End it at once."""
        self.usable = False
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                return  # it ended meanwhile

    async def gone(self) -> None:
        """Wait until a killed process is no more."""
        async with asyncio.timeout(GONE):
            await self._process.wait()


class _NonsenseError(Exception):
    """A process that does not keep to the protocol."""


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit {code}"
    except ValueError:
        return f"signal {-code}"


async def started(setup: Setup) -> Worker:
    """Start a process. Raises ExtractionError when the system does not let us."""
    here = os.getcwd()  # noqa: PTH109 - a string
    paths = [path or here for path in sys.path]
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ |= {
        "PYTHONPATH": os.pathsep.join(paths),  # what the server can import, it can
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-W", "ignore", "-m", "antiphon.adapters.extracting.reading"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environ,
            limit=CHUNK,
        )
    except OSError as error:
        raise ExtractionError(
            "server_error", f"No process could be started to read the file: {error.strerror}"
        ) from None
    worker = Worker(process, setup)
    worker.introduce()
    return worker
