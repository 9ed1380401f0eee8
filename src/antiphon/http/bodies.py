"""The body of a request as it arrives: in pieces, plain or compressed. What it unpacks to is counted while it is
unpacked: a small body that stands for a large one costs no more than the bound allows.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import zstandard

from antiphon.wire.errors import InvalidRequestError, TooLargeError

CODINGS: Final = ("zstd", "gzip", "deflate")
"""The content encodings that are read, besides `identity`."""

_ALIASES: Final = {"x-gzip": "gzip"}
_STEP: Final = 1024
"""Bytes that are unpacked at once: zstd makes at most 32 MB of them, the others 1 MB."""
_BREATH: Final = 4 * 1024 * 1024
"""Unpacked bytes after which others get their turn."""
_WINDOW: Final = 8 * 1024 * 1024
"""What a zstd frame may ask a decoder to remember: the most that HTTP allows (RFC 9659)."""


class _Stream(Protocol):
    """A decoder of one compressed body."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, piece: bytes, /) -> bytes: ...


def coding(declared: str) -> str | None:
    """The coding that a Content-Encoding names; "" for a plain body, None for one that is not read."""
    name = declared.strip().lower()
    name = _ALIASES.get(name, name)
    if name in ("", "identity"):
        return ""
    return name if name in CODINGS else None


async def gathered(pieces: AsyncIterator[bytes], most: int) -> bytes:
    """The pieces as one; TooLargeError."""
    content = bytearray()
    async for piece in pieces:
        content += piece
        if len(content) > most:
            raise too_large(most)
    return bytes(content)


async def unpacked(pieces: AsyncIterator[bytes], name: str, most: int) -> bytes:
    """What the pieces stand for in this coding: at most `most` bytes of them, and of what they unpack to. Raises
    TooLargeError; InvalidRequestError for a body that is not of this coding, ends early or goes on behind its end."""
    content = bytearray()
    stream: _Stream | None = None
    read = breathed = 0
    async for piece in pieces:
        read += len(piece)
        if read > most:
            raise too_large(most)
        for at in range(0, len(piece), _STEP):
            step = piece[at : at + _STEP]
            stream = stream or _OPEN[name](step)
            content += _decoded(stream, name, step)
            if len(content) > most:
                raise too_large(most)
            if len(content) - breathed > _BREATH:
                breathed = len(content)
                await asyncio.sleep(0)
    if stream is not None and not stream.eof:
        raise _malformed(name, "it ends early")
    return bytes(content)


def _decoded(stream: _Stream, name: str, step: bytes) -> bytes:
    if stream.eof:
        raise _malformed(name, "it goes on behind its end")
    try:
        found = stream.decompress(step)
    except (zlib.error, zstandard.ZstdError) as error:
        raise _malformed(name, str(error)) from None
    if stream.eof and stream.unused_data:
        raise _malformed(name, "it goes on behind its end")
    return found


def _zstd(_start: bytes) -> _Stream:
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


def _gzip(_start: bytes) -> _Stream:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _deflate(start: bytes) -> _Stream:
    """With the wrapping of zlib, as RFC 9110 has it, or without, as some clients send it."""
    return zlib.decompressobj(zlib.MAX_WBITS if start[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS)


_OPEN: Final[dict[str, Callable[[bytes], _Stream]]] = {"zstd": _zstd, "gzip": _gzip, "deflate": _deflate}


def _malformed(name: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The body of the request is declared as '{name}' and cannot be unpacked: {why}.",
        code="invalid_content_encoding",
    )


def too_large(most: int) -> TooLargeError:
    """The body is larger than `most` bytes."""
    return TooLargeError(f"The body of the request is too large: at most {most} bytes are read.")
