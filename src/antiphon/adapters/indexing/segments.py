"""Chunks as they are kept: up to sixteen neighbours in one row, their common text once, compressed.

Law: what is read is what was written, character by character, whatever the chunks say about where they begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import zstandard

from antiphon.core.chunking import Chunk

MOST: Final = 16
"""Chunks of a segment: a hit decompresses one segment, and a document stores little more than its text once."""

_LEVEL: Final = 3


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """A chunk: where it stands in the text of the segment, and what else it has."""

    at: int
    length: int
    start: int
    end: int
    first_page: int | None
    last_page: int | None
    context: str


class _Passage(msgspec.Struct, frozen=True, array_like=True):
    text: str
    places: tuple[_Place, ...]


_DECODER: Final = msgspec.msgpack.Decoder(_Passage)


def runs(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
    """Where the chunks begin and end that make a segment each: one position behind the other."""
    begin = 0
    for at in range(1, len(chunks) + 1):
        full = at - begin == MOST
        if at == len(chunks) or full or chunks[at].position != chunks[at - 1].position + 1:
            yield begin, at
            begin = at


def packed(chunks: Sequence[Chunk]) -> bytes:
    """The chunks of one segment."""
    joined = _Joined()
    places = tuple(
        _Place(
            joined.add(chunk),
            len(chunk.text),
            chunk.start,
            chunk.end,
            chunk.first_page,
            chunk.last_page,
            chunk.context,
        )
        for chunk in chunks
    )
    body = msgspec.msgpack.encode(_Passage(joined.text, places))
    return zstandard.ZstdCompressor(level=_LEVEL).compress(body)


class Segment:
    """The chunks of a segment, to be read."""

    def __init__(self, body: bytes, position: int) -> None:
        """`position` is that of the first one."""
        self._passage = _DECODER.decode(zstandard.ZstdDecompressor().decompress(body))
        self._position = position

    def chunk(self, number: int) -> Chunk:
        """One of them, counted from 0."""
        place = self._passage.places[number]
        return Chunk(
            position=self._position + number,
            text=self._passage.text[place.at : place.at + place.length],
            start=place.start,
            end=place.end,
            first_page=place.first_page,
            last_page=place.last_page,
            context=place.context,
        )

    def chunks(self) -> list[Chunk]:
        """All of them."""
        return [self.chunk(number) for number in range(len(self._passage.places))]


class _Joined:
    """The text of chunks, where they overlap only once."""

    def __init__(self) -> None:
        self.text = ""
        self._at = 0
        """Where in `text` the last stretch begins that is one piece of the document."""
        self._start = 0
        """Where that stretch begins in the document."""

    def add(self, chunk: Chunk) -> int:
        """Where the chunk's text begins in `text`."""
        at = self._at + chunk.start - self._start
        if self._at <= at <= len(self.text):
            there = self.text[at : at + len(chunk.text)]
            if chunk.text.startswith(there) and (len(there) == len(chunk.text) or at + len(there) == len(self.text)):
                self.text += chunk.text[len(there) :]
                return at
        self._at, self._start = len(self.text), chunk.start
        self.text += chunk.text
        return self._at
