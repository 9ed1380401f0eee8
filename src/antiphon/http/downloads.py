"""The bytes of a file as an answer: their type and length, always as a download, from any place on (RFC 9110, 14)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, TypeAlias
from urllib.parse import quote

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from antiphon.http.errors import named
from antiphon.http.presence import Presence
from antiphon.http.reply import Body, Header, Reply
from antiphon.ports.files import StoredFile
from antiphon.wire.errors import AntiphonError

Read: TypeAlias = Callable[[int], AsyncGenerator[bytes]]
"""The bytes from a place on."""

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_NOT_ASCII: Final = re.compile(r"[^A-Za-z0-9 ._-]")
_TYPE: Final = re.compile(r"[\w!#$&^+.-]+/[\w!#$&^+.-]+(?:[ \t]*;[ -~]*)?", re.ASCII)


class RangeError(AntiphonError):
    """The file has no bytes there."""

    http_status, type, default_code = 416, "invalid_request_error", "range_not_satisfiable"


def download(scope: Scope, stored: StoredFile, read: Read) -> Reply:
    """The whole file, or the one range of it that is asked for."""
    size = stored.file.bytes
    span = _span(named(scope, b"range"), size)
    headers = (
        (b"content-type", stored.media.encode() if _TYPE.fullmatch(stored.media) else b"application/octet-stream"),
        (b"content-disposition", _disposition(stored.file.filename)),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"sandbox"),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
    )
    if span is None:
        return _sized(scope, Download(read, 0, size, 200, headers))
    start, end = span
    if start >= end:
        error = RangeError(f"The file has {size} bytes: there are none in this range.")
        return Body(
            error.body(),
            error.http_status,
            ((b"content-type", b"application/json"), (b"content-range", b"bytes */%d" % size)),
        )
    place = (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size))
    return _sized(scope, Download(read, start, end - start, 206, (*headers, place)))


def _sized(scope: Scope, answer: Download) -> Reply:
    """A HEAD reads no bytes."""
    return Head(answer) if scope["method"] == "HEAD" else answer


class Head(Struct, frozen=True):
    """What GET would answer, without the bytes."""

    answer: Download

    async def send(self, receive: Receive, send: Send, /) -> None:
        """Send it."""
        del receive
        await send(self.answer.start())
        await send({"type": "http.response.body", "body": b""})


class Download(Struct, frozen=True):
    """`size` bytes from `start` on."""

    read: Read
    begin: int
    size: int
    status: int
    headers: tuple[Header, ...]

    def start(self) -> dict[str, object]:
        """The message that begins the answer."""
        length = (b"content-length", b"%d" % self.size)
        return {"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]}

    async def send(self, receive: Receive, send: Send, /) -> None:
        """Send it; GoneError when the client leaves. What cannot be read at all is told instead; what ends early
        breaks off, so that nobody takes it for the whole."""
        async with aclosing(self.read(self.begin)) as pieces, Presence(receive):
            piece = await anext(pieces, b"") if self.size else b""
            await send(self.start())
            rest = self.size
            while piece and rest:
                part = piece[:rest]
                rest -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                piece = await anext(pieces, b"") if rest else b""
            if not rest:
                await send({"type": "http.response.body", "body": b""})


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """Start and end of the range; None for the whole, also when several are wanted or it is none that is known."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None:
        return None
    if found[3] is not None:
        return max(size - int(found[3]), 0), size
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < int(found[1]):
        return None
    return int(found[1]), end


def _disposition(filename: str) -> bytes:
    """`attachment`, with the name in plain letters and as it is (RFC 6266)."""
    plain = _NOT_ASCII.sub("_", filename)
    exact = quote(filename.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}".encode()
