"""Documents in pieces of bounded size, which end where a reader would stop.

Pure and deterministic: the same document and sizes give the same chunks, so that an interrupted ingestion goes on
behind those that it has. Together the chunks hold every character that is not white space, in order; no chunk lies
within another. The cost is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec


class Extracted(msgspec.Struct, frozen=True):
    """The text of a document. `pages` holds where each page begins in it (characters; the first is 0), empty for what
    has no pages; `headings` where headings begin (characters, ascending)."""

    text: str
    pages: tuple[int, ...] = ()
    headings: tuple[int, ...] = ()


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document: its place (from 0), its text, where that begins and ends in the document (characters) and
    on which pages (from 1; None: the document has none). `context` is a line that is searched with it, not shown."""

    position: int
    text: str
    start: int
    end: int
    first_page: int | None = None
    last_page: int | None = None
    context: str = ""


class Marks(msgspec.Struct, frozen=True):
    """Where a text can be cut without cutting tokens: `ends` in characters, ascending, the last one the text's length;
    `totals`: the tokens up to there. Two marks are a few tokens apart."""

    ends: Sequence[int]
    totals: Sequence[int]


class Ruler(Protocol):
    """Measures texts in tokens. Contract: totals of marks may be off by a little, `count` never is."""

    def count(self, text: str, /) -> int:
        """The tokens of the text."""
        ...

    def marks(self, text: str, /) -> Marks:
        """The marks of the text, none for an empty one."""
        ...


def chunked(document: Extracted, size: int, overlap: int, ruler: Ruler) -> list[Chunk]:
    """Chunks of at most `size` tokens (but at least one character); each begins at most `overlap` tokens, and never
    more than half of `size`, before the end of the one before. A text of white space has none. Takes some 0.1 s for
    1 MB: call it from a thread."""
    size = max(size, 1)
    return list(_chunks(document, _Cutter(document, size, min(max(overlap, 0), size // 2), ruler)))


def searched(chunk: Chunk) -> str:
    """What is searched for a chunk: its context and its text."""
    return f"{chunk.context}\n\n{chunk.text}" if chunk.context else chunk.text


def _chunks(document: Extracted, cutter: _Cutter) -> Iterator[Chunk]:
    text, pages = document.text, document.pages
    for position, (start, end) in enumerate(cutter.spans()):
        yield Chunk(
            position=position,
            text=text[start:end],
            start=start,
            end=end,
            first_page=max(bisect_right(pages, start), 1) if pages else None,
            last_page=max(bisect_right(pages, end - 1), 1) if pages else None,
        )


_CLOSING: Final = r"""["'”’»)\]]*"""
_BEFORE: Final = (
    re.compile(r"\n[^\S\n]*\n"),
    re.compile(rf"[.!?…]{_CLOSING}(?=\s+[^\sa-z])|[。！？｡]+[」』）”’]*"),
    re.compile(r"\n"),
    re.compile(r"\S(?=\s)"),
)
"""Where a chunk ends well, the best first: behind a paragraph, a sentence, a line, a word."""
_AFTER: Final = (*_BEFORE[:-1], re.compile(r"\s(?=\S)"))
"""The same as places where one begins."""
_SEEN: Final = 8
"""Characters behind a window that a pattern may look at."""
_INK: Final = re.compile(r"\S")
_LONGEST_CLUSTER: Final = 64
_JOINER: Final = "\u200d"
_MODIFIERS: Final = (("\U0001f3fb", "\U0001f3ff"), ("\U000e0020", "\U000e007f"))
"""Skin tones, and the letters of flags of regions."""


class _Cutter:
    """Finds the spans of one document's chunks."""

    def __init__(self, document: Extracted, size: int, overlap: int, ruler: Ruler) -> None:
        self._text = document.text
        self._headings = document.headings
        self._size = size
        self._overlap = overlap
        self._ruler = ruler
        self._marks = ruler.marks(document.text)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Start and end of each chunk, in characters, both ascending; without white space around."""
        start = rest = self._ink(0)
        while rest < len(self._text):
            end = self._end(start, rest)
            if end <= rest:  # nothing new fits behind the overlap
                start = rest
                continue
            yield start, end
            rest = self._ink(end)
            if rest < len(self._text):
                start = self._ink(self._next(start, end))

    def _ink(self, at: int) -> int:
        """Where the next character stands that is not white space."""
        found = _INK.search(self._text, at)
        return found.start() if found else len(self._text)

    def _end(self, start: int, rest: int) -> int:
        """Where the chunk ends that begins at `start`; if possible behind `rest`, where what no chunk has begins."""
        limit = self._reach(start)
        while True:
            cut = self._cut(start, limit, rest)
            piece = self._text[start:cut].rstrip()
            end = start + len(piece)
            count = self._ruler.count(piece)
            if count <= self._size or limit <= start + 1:
                return max(end, start + 1)
            span = end - start
            limit = start + max(1, min(span - 1, span * self._size // count))

    def _reach(self, start: int) -> int:
        """How far `size` tokens go by the marks: at least one mark."""
        ends, totals = self._marks.ends, self._marks.totals
        first = bisect_right(ends, start)
        before = totals[first - 1] if first else 0
        return ends[max(bisect_right(totals, before + self._size) - 1, first)]

    def _cut(self, start: int, limit: int, rest: int) -> int:
        """The best place to end in the last third before `limit`."""
        if limit >= len(self._text):
            return len(self._text)
        floor = max(start + (limit - start) * 2 // 3, rest if rest < limit else 0)
        heading = bisect_right(self._headings, limit) - 1
        if heading >= 0 and self._headings[heading] > floor:
            return self._headings[heading]
        for pattern in _BEFORE:
            ends = [found.end() for found in pattern.finditer(self._text, max(start, floor - 1), limit + _SEEN)]
            ends = ends[: bisect_right(ends, limit)]
            if ends:
                return self._whole(ends[-1], floor)
        return self._whole(limit, start)

    def _next(self, begun: int, end: int) -> int:
        """Where the next chunk begins: some `overlap` tokens before `end`, or up to a third of these later, where it
        begins well."""
        back = self._back(end)
        if not begun < back < end:
            return end
        limit = back + (end - back) // 3
        heading = bisect_left(self._headings, back)
        if heading < len(self._headings) and self._headings[heading] <= limit:
            return self._headings[heading]
        for pattern in _AFTER:
            if found := pattern.search(self._text, max(back - 1, begun), limit + 1):
                return max(found.end(), back)
        if found := _AFTER[-1].search(self._text, limit, end):
            return found.end()
        if self._text[end].isspace():  # a word that is longer than the overlap
            return end
        at = back
        while at < end and at - back < _LONGEST_CLUSTER and _joined(self._text, at):
            at += 1
        return at

    def _back(self, end: int) -> int:
        """The mark from which on it is at most `overlap` tokens to `end`."""
        ends, totals = self._marks.ends, self._marks.totals
        return ends[bisect_left(totals, totals[bisect_left(ends, end)] - self._overlap)]

    def _whole(self, at: int, floor: int) -> int:
        """`at`, or where the character begins that it would cut in two."""
        for before in range(at, max(floor, at - _LONGEST_CLUSTER), -1):
            if not _joined(self._text, before):
                return before
        return at


def _joined(text: str, at: int) -> bool:
    """Whether what stands before and behind is one character to a reader."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if _JOINER in (before, after) or any(first <= after <= last for first, last in _MODIFIERS):
        return True
    if "\ud800" <= before <= "\udbff":
        return "\udc00" <= after <= "\udfff"
    if "\U0001f1e6" <= after <= "\U0001f1ff":
        return _flags(text, at) % 2 == 1
    return unicodedata.category(after) in {"Mn", "Mc", "Me"}


def _flags(text: str, at: int) -> int:
    """How many letters of flags stand before; two are one flag."""
    count = 0
    while count < min(at, _LONGEST_CLUSTER) and "\U0001f1e6" <= text[at - 1 - count] <= "\U0001f1ff":
        count += 1
    return count
