"""Bodies, unpacked as they come.

Law: a little that becomes much comes out a bounded piece at a time, so that whoever counts can stop it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, TypeAlias

PIECE: Final = 65_536
"""Bytes, at most, of a piece that was unpacked."""
_EITHER: Final = zlib.MAX_WBITS | 32
"""gzip, or deflate as HTTP means it."""


class Plain:
    """No compression."""

    def open(self, raw: bytes) -> Iterator[bytes]:
        """As it is."""
        yield raw

    def end(self) -> None:
        """Nothing is held."""


class Deflated:
    """Takes the compression off. zlib.error for what is broken, cut, or goes on behind its end."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_EITHER)
        self._begun = False

    def open(self, raw: bytes) -> Iterator[bytes]:
        """What comes of these bytes; several streams, one behind the other, are one."""
        self._begun = self._begun or bool(raw)
        piece = b""
        while raw or (len(piece) == PIECE and not self._stream.eof):
            if self._stream.eof:
                self._stream = zlib.decompressobj(_EITHER)
            piece = self._stream.decompress(raw, PIECE)
            raw = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece

    def end(self) -> None:
        """Nothing more comes."""
        if self._begun and not self._stream.eof:
            raise zlib.error("cut")


Packing: TypeAlias = Plain | Deflated


def packing(encoding: str) -> Packing | None:
    """What unpacks a body with this `Content-Encoding`; None: that was not asked for."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return Plain()
    return Deflated() if name in {"gzip", "x-gzip", "deflate"} else None
