"""An index in plain dicts, for tests and for servers that need not remember. Nothing survives `close`.

Law: the formulas of the contract as they are written, with no shortcut; other indexes are compared with it.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from heapq import nlargest
from math import isfinite, sqrt
from operator import mul

import msgspec

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.chunking import searched
from antiphon.core.filters import fits
from antiphon.core.terms import K1, B, asked, counted, rarity
from antiphon.ports.index import Chunk, DimensionError, Document, Lookup, Match, Value, Vectors
from antiphon.wire.errors import StoreError


class _Entry(msgspec.Struct, frozen=True):
    """A chunk as it is searched: `vector` is of length 1, `words` are counted."""

    chunk: Chunk
    vector: tuple[float, ...] | None
    words: Counter[str]


class _Held(msgspec.Struct):
    """A document."""

    document: Document
    attributes: dict[str, Value] | None = None
    """None until it is published."""
    chunks: dict[int, _Entry] = {}


class MemoryIndex:
    """The port `Index` without files."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str, str], _Held] | None = None

    async def open(self) -> None:
        """Begin empty."""
        self._documents = {}

    async def close(self) -> None:
        """Forget everything."""
        self._documents = None

    async def check(self) -> None:
        """Raise StoreError unless the index is open."""
        self._open()

    async def add(self, document: Document, chunks: Sequence[Chunk], vectors: Vectors | None, /) -> None:
        """Add chunks; a position that is there stays as it is."""
        given = _unpacked(vectors) if vectors is not None else [None] * len(chunks)
        if vectors is not None:
            self._measure(document.project, document.store_id, vectors)
        if any(not _whole(searched(chunk)) for chunk in chunks):
            raise StoreError("The text holds half a character, which cannot be stored.")
        held = self._open().setdefault(_key(document), _Held(document))
        for chunk, vector in zip(chunks, given, strict=True):
            held.chunks.setdefault(chunk.position, _Entry(chunk, vector, counted(searched(chunk))))

    async def count(self, document: Document, /) -> int:
        """How many chunks the document has."""
        held = self._open().get(_key(document))
        return len(held.chunks) if held is not None else 0

    async def publish(self, document: Document, attributes: dict[str, Value], /) -> int:
        """Let the document be found."""
        held = self._open().setdefault(_key(document), _Held(document))
        held.attributes = dict(attributes)
        return sum(len(each.chunk.text.encode()) + 4 * len(each.vector or ()) for each in held.chunks.values())

    async def label(self, document: Document, attributes: dict[str, Value], /) -> None:
        """Replace the attributes of a published document."""
        held = self._open().get(_key(document))
        if held is not None and held.attributes is not None:
            held.attributes = dict(attributes)

    async def remove(self, documents: Sequence[Document], /) -> None:
        """Delete the documents."""
        for document in documents:
            self._open().pop(_key(document), None)

    async def drop(self, project: str, store_id: str, /) -> None:
        """Delete all documents of the store."""
        kept = self._open()
        self._documents = {key: held for key, held in kept.items() if key[:2] != (project, store_id)}

    async def search(self, project: str, store_id: str, lookup: Lookup, /) -> Sequence[Match]:
        """The best matches."""
        if lookup.vector is not None:
            self._measure(project, store_id, lookup.vector)
        found = [
            (held.document, held.attributes, entry)
            for held in self._in(project, store_id)
            if held.attributes is not None
            for entry in held.chunks.values()
        ]
        return await asyncio.to_thread(_searched, found, lookup)

    async def content(self, document: Document, /) -> Sequence[Chunk]:
        """The chunks of the document by position."""
        held = self._open().get(_key(document))
        return [held.chunks[position].chunk for position in sorted(held.chunks)] if held is not None else []

    async def stored(self) -> AsyncGenerator[Sequence[Document]]:
        """All documents of all projects."""
        documents = [held.document for held in self._open().values()]
        if documents:
            yield documents

    # what the methods share

    def _open(self) -> dict[tuple[str, str, str], _Held]:
        if self._documents is None:
            raise StoreError("The index is closed.")
        return self._documents

    def _in(self, project: str, store_id: str) -> list[_Held]:
        return [held for key, held in self._open().items() if key[:2] == (project, store_id)]

    def _measure(self, project: str, store_id: str, given: Vectors) -> None:
        """Raise DimensionError unless the store's vectors are as long as these."""
        for held in self._in(project, store_id):
            for entry in held.chunks.values():
                if entry.vector is not None and len(entry.vector) != given.dimension:
                    raise DimensionError(given.dimension, len(entry.vector))


def _whole(text: str) -> bool:
    """Whether UTF-8 can carry it: a lone surrogate, which JSON can name, it cannot."""
    return text.encode("utf-8", "replace") == text.encode("utf-8", "surrogatepass")


def _key(document: Document) -> tuple[str, str, str]:
    return document.project, document.store_id, document.id


def _unpacked(vectors: Vectors) -> list[tuple[float, ...]]:
    numbers = array("f", vectors.packed)
    size = vectors.dimension
    return [_unit(numbers[at : at + size]) for at in range(0, len(numbers), size)]


def _unit(numbers: Sequence[float]) -> tuple[float, ...]:
    length = sqrt(sum(map(mul, numbers, numbers)))
    if not isfinite(length):
        raise StoreError("A vector holds what is no number.")
    return tuple(number / length for number in numbers) if length else tuple(numbers)


def _searched(found: list[tuple[Document, dict[str, Value], _Entry]], lookup: Lookup) -> list[Match]:
    vector = _unpacked(lookup.vector)[0] if lookup.vector is not None and lookup.mode != "keyword" else None
    words = asked(lookup.text) if lookup.mode != "vector" else ()
    relevances = _relevances([entry for _, _, entry in found], words)
    matches = [
        Match(
            document=document.id,
            file_id=document.file_id,
            attributes=attributes,
            chunk=entry.chunk,
            similarity=_cosine(vector, entry.vector),
            relevance=relevance or None,
        )
        for (document, attributes, entry), relevance in zip(found, relevances, strict=True)
        if fits(lookup.filter, attributes)
    ]
    near = nlargest(lookup.limit, (each for each in matches if each.similarity is not None), key=_similarity)
    said = nlargest(lookup.limit, (each for each in matches if each.relevance is not None), key=_relevance)
    return list({(each.document, each.chunk.position): each for each in (*near, *said)}.values())


def _similarity(match: Match) -> float:
    return match.similarity or 0.0


def _relevance(match: Match) -> float:
    return match.relevance or 0.0


def _cosine(one: Sequence[float] | None, other: Sequence[float] | None) -> float | None:
    if one is None or other is None:
        return None
    return min(1.0, max(-1.0, sum(map(mul, one, other))))


def _relevances(entries: list[_Entry], words: Sequence[str]) -> list[float]:
    """BM25 of each chunk, as a share of the most there can be."""
    sizes = [entry.words.total() for entry in entries]
    mean = sum(sizes) / len(sizes) if sizes and sum(sizes) else 1.0
    weights = {word: rarity(len(entries), sum(word in entry.words for entry in entries)) for word in words}
    most = sum(weights.values()) or 1.0
    return [
        sum(
            weight * entry.words[word] / (entry.words[word] + K1 * (1 - B + B * size / mean))
            for word, weight in weights.items()
            if word in entry.words
        )
        / most
        for entry, size in zip(entries, sizes, strict=True)
    ]


def make(config: Plain, parts: Parts) -> MemoryIndex:
    """An empty index."""
    del config, parts
    return MemoryIndex()
