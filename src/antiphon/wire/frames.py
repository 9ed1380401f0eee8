"""Events as bytes: frames of an SSE stream (checklist B.1), or JSON alone for a WebSocket.

A frame is `event: <type>`, `data: <JSON on one line>` and an empty line, LF only. This is the hot path of a stream: a
batch is encoded by one call per run of events of one type (JSON has no raw line feed, so the line feeds between the
documents are where frames begin). That costs less than filling templates, and the bytes are the same however events
are batched.

Two things differ from plain JSON encoding, neither in meaning: the characters that some readers of lines take for line
breaks (U+0085, U+2028, U+2029) are escaped, and a lone surrogate, which UTF-8 cannot carry, becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from antiphon.wire.codec import Unknown, encode
from antiphon.wire.events import Event, PhaseEvent, event_type

DONE: Final = b"data: [DONE]\n\n"
"""Ends every stream."""
PING: Final = b": ping\n\n"
"""A comment that keeps an idle connection open."""

_BREAKS: Final = (
    (b"\x85", b"\xc2\x85", b"\\u0085"),
    (b"\xa8", b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xa9", b"\xe2\x80\xa9", b"\\u2029"),
)
"""The last byte of the character, which is found faster than the whole; the character; its escape."""
_prefixes: Final[dict[type[Any], bytes]] = {}


def _fields(value: object) -> dict[str, Any]:
    if isinstance(value, Unknown):
        return value.fields
    raise TypeError(f"not JSON: {type(value).__name__}")


_LINES: Final = msgspec.json.Encoder(enc_hook=_fields)


def encode_frames(events: Sequence[Event], first: int) -> bytes:
    """Number the events `first`, `first` + 1, ... and give their frames in one piece."""
    number = first
    uniform = True
    kind = type(events[0]) if events else None
    for event in events:
        event.sequence_number = number
        number += 1
        if type(event) is not kind:
            uniform = False
    if uniform:
        return _run(events) if events else b""
    return b"".join([_run(list(run)) for _, run in groupby(events, type)])


def encode_event(event: Event) -> bytes:
    """The event as JSON, with the number that it has."""
    try:
        body = encode(event)
    except UnicodeEncodeError:
        body = encode(_mended(msgspec.to_builtins(event, enc_hook=_fields)))
    return body if body.isascii() else _escaped(body)


def documents(frames: bytes) -> list[str]:
    """The JSON of each event in whole frames: what a WebSocket sends."""
    return [frame.partition("\ndata: ")[2] for frame in frames.decode().split("\n\n")[:-1]]


def data_frames(documents: Sequence[bytes]) -> bytes:
    """Frames without a name, as Chat Completions stream them; each document is JSON."""
    return b"".join([b"data: %b\n\n" % _one_line(document) for document in documents])


def _run(events: Sequence[Event]) -> bytes:
    """The frames of events of one class."""
    kind = type(events[0])
    if kind is PhaseEvent:  # one class, many names
        return b"".join([_prefix(event_type(event)) + encode_event(event) + b"\n\n" for event in events])
    prefix = _prefixes.get(kind)
    if prefix is None:
        prefix = _prefixes[kind] = _prefix(event_type(events[0]))
    if len(events) == 1:
        return prefix + encode_event(events[0]) + b"\n\n"
    try:
        lines = _LINES.encode_lines(events)
    except UnicodeEncodeError:
        lines = b"".join([encode_event(event) + b"\n" for event in events])
    if not lines.isascii():
        lines = _escaped(lines)
    return prefix + lines[:-1].replace(b"\n", b"\n\n" + prefix) + b"\n\n"


def _prefix(name: str) -> bytes:
    return f"event: {name}\ndata: ".encode()


def _escaped(body: bytes) -> bytes:
    for last, character, escape in _BREAKS:
        if last in body:
            body = body.replace(character, escape)
    return body


def _one_line(document: bytes) -> bytes:
    """JSON without raw line breaks, which can only stand between its tokens."""
    if b"\n" in document or b"\r" in document:
        return document.replace(b"\n", b" ").replace(b"\r", b" ")
    return document


def _mended(value: object) -> object:
    """Plain JSON in which every half of a surrogate pair that lacks the other is replaced."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list() | tuple():
            return [_mended(one) for one in cast("Sequence[object]", value)]
        case dict():
            entries = cast("dict[str, object]", value)
            return {str(_mended(key)): _mended(one) for key, one in entries.items()}
        case _:
            return value
