"""The relevance of a store's chunks for the words of a question (`core.terms` says what it means)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from antiphon.adapters.indexing.arrays import Floats, Integers
from antiphon.adapters.indexing.postings import BITS, slots
from antiphon.core.terms import K1, B, rarity

Posting: TypeAlias = tuple[int, str, bytes]

_READ = """
    SELECT part, term, body
    FROM json_each(?) AS parts CROSS JOIN json_each(?) AS terms CROSS JOIN posting
    WHERE project_id = ? AND store_id = ? AND part = parts.value AND term = terms.value
"""


class Scale(msgspec.Struct, frozen=True):
    """What relevance is judged by: the row of each slot (-1: not to be found), how much the length of each row weighs,
    how many rows can be found, and all parts that one is in."""

    rows: Integers
    lengths: Floats
    chunks: int
    parts: list[int]


def scale(rows: Integers, sizes: Integers, found: Integers) -> Scale:
    """`sizes` are the words of each row; `found` are the slots that can be found."""
    there = sizes[rows[found]]
    mean = float(there.mean()) if len(there) and there.any() else 1.0
    lengths = (K1 * (1 - B + B / mean * sizes)).astype(np.float32)
    return Scale(rows, lengths, len(found), np.unique(found >> BITS).tolist())


def relevances(db: sqlite3.Connection, store: tuple[int, int], words: Sequence[str], judged: Scale) -> Floats:
    """The relevance of every row, 0 where it has none of the words."""
    found = np.zeros(len(judged.lengths), np.float32)
    asked = (msgspec.json.encode(judged.parts).decode(), msgspec.json.encode(words).decode())
    total = 0.0
    there = _by_term(db.execute(_READ, (*asked, *store)))
    for word in words:
        rows, often = _rows(there.get(word, []), judged.rows)
        weight = rarity(judged.chunks, len(rows))
        found[rows] += weight * often / (often + judged.lengths[rows])
        total += weight
    found /= np.float32(total or 1)
    return found


def _by_term(found: Iterable[Posting]) -> dict[str, list[tuple[int, bytes]]]:
    terms: dict[str, list[tuple[int, bytes]]] = {}
    for part, term, body in found:
        terms.setdefault(term, []).append((part, body))
    return terms


def _rows(bodies: Sequence[tuple[int, bytes]], known: Integers) -> tuple[Integers, Floats]:
    """The rows that have a term, and how often; without what cannot be found."""
    places, often = slots(bodies)
    inside = places < len(known)
    if not inside.all():  # of documents that are not published
        places, often = places[inside], often[inside]
    rows = known[places]
    found = rows >= 0
    return (rows, often) if found.all() else (rows[found], often[found])
