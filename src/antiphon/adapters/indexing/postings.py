"""Postings: which chunks have a term, and how often. Sixteen bits for each, so that they are added by appending and
read as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np

from antiphon.adapters.indexing.arrays import Booleans, Floats, Integers

BITS: Final = 11
PART: Final = 1 << BITS
"""Slots of a part."""
_OFTEN: Final = (1 << 16 - BITS) - 1
"""As often as a chunk can have a term; more makes no difference to a ranking."""
_SHIFT: Final = 16 - BITS

Posting: TypeAlias = tuple[int, str, bytes]
"""Part, term and body."""


class Words(msgspec.Struct, frozen=True):
    """The terms of several chunks: for each pair of chunk and term the chunk's number, the term's place in `terms` and
    how often it is there; ordered by term, then by chunk."""

    terms: list[str]
    chunk: Integers
    term: Integers
    often: Integers

    def postings(self, first: int) -> list[Posting]:
        """The rows to append when the first chunk has this slot."""
        if not self.terms:
            return []
        slots = self.chunk + first
        parts = slots >> BITS
        order = np.argsort(parts, kind="stable")
        part, term = parts[order], self.term[order]
        values = ((slots[order] & PART - 1) << _SHIFT | self.often[order]).astype("<u2")
        begins = np.flatnonzero(np.diff(term, prepend=-1) | np.diff(part, prepend=-1))
        body, ends = values.tobytes(), [*begins[1:].tolist(), len(values)]
        return [
            (in_part, self.terms[at], body[2 * begin : 2 * end])
            for in_part, at, begin, end in zip(
                part[begins].tolist(), term[begins].tolist(), begins.tolist(), ends, strict=True
            )
        ]


def words(chunks: Sequence[Counter[str]]) -> Words:
    """Gather the counted terms of chunks."""
    places: dict[str, int] = {}
    for chunk in chunks:
        for term in chunk:
            places.setdefault(term, len(places))
    names = sorted(places)
    ranks = np.empty(len(names), np.int32)
    ranks[[places[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    pairs = sum(map(len, chunks))
    found = np.fromiter((places[term] for chunk in chunks for term in chunk), np.int32, pairs)
    often = np.fromiter((each for chunk in chunks for each in chunk.values()), np.int32, pairs)
    number = np.repeat(np.arange(len(chunks), dtype=np.int32), [len(chunk) for chunk in chunks])
    term = ranks[found] if pairs else found
    order = np.lexsort((number, term))
    return Words(names, number[order], term[order], np.minimum(often, _OFTEN)[order])


def without(body: bytes, gone: Booleans) -> bytes:
    """The body without the places of the part that are `gone`."""
    values = np.frombuffer(body, "<u2")
    return values[~gone[values >> _SHIFT]].tobytes()


def slots(pairs: Sequence[tuple[int, bytes]]) -> tuple[Integers, Floats]:
    """The slots in the bodies of several parts, and how often each has the term."""
    values = np.frombuffer(b"".join(body for _, body in pairs), "<u2").astype(np.int32)
    first = np.array([part << BITS for part, _ in pairs], np.int32)
    begins = np.repeat(first, [len(body) // 2 for _, body in pairs])
    return begins + (values >> _SHIFT), (values & _OFTEN).astype(np.float32)
