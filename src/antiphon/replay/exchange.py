"""One recorded exchange with the outside, as a file that people read: what was asked at which port, what was answered.

    {"cassette": 1, "port": "model.stream", "endpoint": "openai",
     "request": {...}, "answer": {"chunks": [[0, ...], [12, ...]]}}

Law: a file holds a whole exchange or is not there. An answer is chunks (each with the milliseconds since the one
before), or one value; either may end in a failure.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from antiphon.wire.errors import AntiphonError

VERSION: Final = 1
"""Of the format. What a later one wrote is not guessed at."""


_T = TypeVar("_T", bound="Head")


class RecordingError(AntiphonError):
    """A recording cannot be read or written; the message names its file."""

    default_code = "bad_recording"
    fatal = True


class Chunk(Struct, frozen=True, array_like=True):
    """What came at once; `after` is in milliseconds."""

    after: float
    content: Raw


class Failure(Struct, frozen=True, omit_defaults=True):
    """How an exchange failed: the name of the error's class and what it was made of."""

    error: str
    message: str
    fields: dict[str, Any] = {}


class Answer(Struct, frozen=True, omit_defaults=True):
    """`chunks` of what came in pieces, `value` of what came whole; `failure` behind either, or alone."""

    chunks: tuple[Chunk, ...] | None = None
    value: Raw | None = None
    failure: Failure | None = None


class Exchange(Struct, frozen=True):
    """A request in canonical form and its answer; `endpoint` is the name of a model's endpoint."""

    port: str
    request: dict[str, Any]
    answer: Answer
    endpoint: str = ""


class Head(Struct, frozen=True):
    """An exchange without its answer: decoding skips the rest."""

    cassette: int
    port: str = ""
    request: dict[str, Any] = {}
    endpoint: str = ""


class _Answer(Struct, frozen=True):
    """As `Answer`; what is taken as it is written cannot be optional."""

    chunks: tuple[Chunk, ...] | None = None
    value: Raw = Raw(b"")
    failure: Failure | None = None


class _Format(Struct, frozen=True):
    cassette: Annotated[int, Meta(ge=1)]


_FORMAT: Final = msgspec.json.Decoder(_Format)


class _Document(Head, frozen=True):
    answer: _Answer = _Answer()


def written(exchange: Exchange) -> bytes:
    """The file: the request laid out, each chunk on a line of its own."""
    head = {"cassette": VERSION, "port": exchange.port}
    if exchange.endpoint:
        head["endpoint"] = exchange.endpoint
    laid = msgspec.json.format(msgspec.json.encode({**head, "request": exchange.request}), indent=2)
    return laid[:-2] + b',\n  "answer": ' + _answer(exchange.answer) + b"\n}\n"


def read(content: bytes, name: str) -> Exchange:
    """The exchange in a file. Raises RecordingError, which names the file."""
    document = _decoded(content, name, _Document)
    held = document.answer
    value = held.value if bytes(held.value) else None
    return Exchange(document.port, document.request, Answer(held.chunks, value, held.failure), document.endpoint)


def head(content: bytes, name: str) -> Head:
    """What was asked. Raises as `read`; what is wrong with the answer is not seen."""
    return _decoded(content, name, Head)


def _decoded(content: bytes, name: str, wanted: type[_T]) -> _T:
    try:
        version = _FORMAT.decode(content).cassette  # first: what a later one holds may be of other types
        if version <= VERSION:
            return msgspec.json.decode(content, type=wanted)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RecordingError(f"The recording {name} cannot be read: {error}.") from error
    words = f"The recording {name} has format {version}; this version of Antiphon reads up to {VERSION}."
    raise RecordingError(words)


def _answer(answer: Answer) -> bytes:
    parts: list[bytes] = []
    if answer.chunks is not None:
        lines = b",\n".join(b"      " + msgspec.json.encode(chunk) for chunk in answer.chunks)
        parts.append(b'    "chunks": [\n' + lines + b"\n    ]" if lines else b'    "chunks": []')
    if answer.value is not None:
        parts.append(b'    "value": ' + bytes(answer.value))
    if answer.failure is not None:
        parts.append(b'    "failure": ' + msgspec.json.encode(answer.failure))
    return b"{\n" + b",\n".join(parts) + b"\n  }"
