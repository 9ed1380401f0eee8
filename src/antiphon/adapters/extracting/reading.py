"""The process that reads documents: `python -m antiphon.adapters.extracting.reading`, started by `worker.py` alone.

Law: a document is hostile. This process has no secret in its environment and limits on memory and time that the system
enforces; what it says is checked by whoever hears it; it ends with the server, whatever it is doing.

Both ways it speaks in frames: a length of four bytes, big-endian, and as many bytes. It hears one `Setup`; then, for
each document, a `Job`, to which it says an empty frame; the content in frames, and an empty frame. It answers with one
`Answer` and the text in frames of UTF-8. Structs are MessagePack.
"""

from __future__ import annotations

import io
import logging
import math
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, TypeAlias

import msgspec

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

PIECE: Final = 128 * 1024
"""Characters of text in a frame."""
MARKS: Final = 100_000
"""Headings that are told; the text behind them is cut without."""
GRACE: Final = 2.0
"""Seconds after its time that a process still there ends itself: then nobody has ended it."""


Code: TypeAlias = Literal["unsupported_file", "invalid_file", "server_error"]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all documents. `options`: the config of kinds that have one set."""

    parent: int
    folder: str
    seconds: float
    memory_mb: int
    characters: int
    options: dict[str, dict[str, Any]] = {}


class Job(msgspec.Struct, frozen=True):
    """A document that comes now."""

    kind: str
    filename: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: with a `code`, an ExtractionError; else so many frames of text follow. After the `last` one the
    process ends."""

    code: Code | None = None
    message: str = ""
    frames: int = 0
    pages: tuple[int, ...] = ()
    headings: tuple[int, ...] = ()
    last: bool = False


def main() -> None:
    """Read documents until there are no more."""
    source, sink = _streams()
    content = _frame(source)
    if content is None:
        return
    setup = msgspec.msgpack.decode(content, type=Setup)
    _bind(setup)
    extractors: dict[str, Extractor] = {}
    while (head := _frame(source)) is not None:
        job = msgspec.msgpack.decode(head, type=Job)
        _say(sink, [b""])
        try:
            document = _content(source)
            _measure(setup)
            if job.kind not in extractors:
                extractors[job.kind] = made(job.kind, setup.options.get(job.kind, {}), Path(setup.folder))
            extracted = settled(extractors[job.kind], document, job.filename, setup.characters)
            del document
        except ExtractionError as error:
            _say(sink, [msgspec.msgpack.encode(Answer(code=error.code, message=error.message))])
        except MemoryError:
            words = f"Reading the file takes more than {setup.memory_mb} MB of memory."
            _say(sink, [msgspec.msgpack.encode(Answer(code="invalid_file", message=words, last=True))])
            return  # the memory is in pieces
        else:
            _tell(sink, extracted)
            del extracted
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)


def made(kind: str, options: dict[str, Any], folder: Path) -> Extractor:
    """The extractor of a kind. Raises AdapterError, msgspec.ValidationError."""
    chosen = adapter("extractors", kind)
    config = msgspec.convert(options, chosen.config)
    return chosen.make(config, Parts(name=kind, clock=SystemClock(), folder=folder))


def settled(extractor: Extractor, content: bytes, filename: str, characters: int) -> Extracted:
    """What an extractor makes of a document, within the limits; raises ExtractionError."""
    try:
        extracted = extractor.extract(content, filename)
    except RecursionError:
        raise ExtractionError("invalid_file", "The file is nested too deeply.") from None
    if len(extracted.text) > characters:
        raise ExtractionError("invalid_file", f"The text of the file has more than {characters} characters.")
    if not extracted.text.strip():
        raise ExtractionError("invalid_file", "The file has no text.")
    return msgspec.structs.replace(extracted, headings=extracted.headings[:MARKS])


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, out of the reach of libraries that print; what they print is dropped."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    logging.disable()  # what libraries say of a document may quote it
    sys.excepthook = _told
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the server decides
    return source, sink


def _told(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Where it failed, for the log, without the words of the error: they may quote the document."""
    sys.stderr.write("".join(["a document's reader failed:\n", *traceback.format_tb(trace), kind.__name__, "\n"]))


def _bind(setup: Setup) -> None:
    """Limits that only the system can hold; where it has none, the server's clock still ends this process."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    size = setup.memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        import ctypes  # noqa: PLC0415  # linux only

        end_with_parent = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(end_with_parent, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != setup.parent:
        sys.exit(0)  # it ended before it could be told


def _measure(setup: Setup) -> None:
    """Time for a document, and processor time."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + setup.seconds + GRACE)
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    signal.setitimer(signal.ITIMER_REAL, setup.seconds + GRACE)


def _frame(source: BinaryIO) -> bytes | None:
    """The next frame; None at the end."""
    head = source.read(4)
    if len(head) < 4:
        return None
    size = int.from_bytes(head)
    content = source.read(size)
    return content if len(content) == size else None


def _content(source: BinaryIO) -> bytes:
    """The document; a buffer that grows is never held twice."""
    buffer = io.BytesIO()
    while piece := _frame(source):
        buffer.write(piece)
    if piece is None:
        sys.exit(0)  # the server gave up
    return buffer.getvalue()


def _say(sink: BinaryIO, frames: Iterable[bytes]) -> None:
    for frame in frames:
        sink.write(len(frame).to_bytes(4))
        sink.write(frame)
    sink.flush()


def _tell(sink: BinaryIO, extracted: Extracted) -> None:
    """The answer, then the text; what UTF-8 cannot hold becomes `?`, so that places stay."""
    text = extracted.text
    frames = -(-len(text) // PIECE)
    answer = Answer(frames=frames, pages=extracted.pages, headings=extracted.headings)

    def pieces() -> Iterator[bytes]:
        yield msgspec.msgpack.encode(answer)
        for start in range(0, len(text), PIECE):
            yield text[start : start + PIECE].encode("utf-8", "replace")

    _say(sink, pieces())


if __name__ == "__main__":
    main()
