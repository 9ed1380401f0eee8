"""Documents and lookups for the tests of the port `Index`."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from antiphon.core.chunking import Chunk
from antiphon.core.filters import Filter
from antiphon.ports.index import Document, Index, Lookup, Match, Mode, Value, Vectors
from tests.contracts.turns import DEFAULT

STORE = "vs_a"


def document(name: str, store_id: str = STORE, project: str = DEFAULT) -> Document:
    return Document(project=project, store_id=store_id, id=f"doc_{name}", file_id=f"file-{name}")


def chunks(*texts: str, first: int = 0) -> list[Chunk]:
    """Chunks that follow each other without overlap."""
    made: list[Chunk] = []
    at = 0
    for position, text in enumerate(texts, first):
        made.append(Chunk(position=position, text=text, start=at, end=at + len(text)))
        at += len(text)
    return made


def vectors(*given: Sequence[float]) -> Vectors:
    numbers = [number for vector in given for number in vector]
    return Vectors(len(given[0]), struct.pack(f"<{len(numbers)}f", *numbers))


def lookup(
    text: str = "",
    vector: Sequence[float] | None = None,
    *,
    mode: Mode | None = None,
    limit: int = 10,
    filter: Filter | None = None,
) -> Lookup:
    """By what is given: keywords, a vector, or both."""
    found = mode or ("keyword" if vector is None else "hybrid" if text else "vector")
    given = vectors(vector) if vector is not None else None
    return Lookup(text=text, vector=given, mode=found, limit=limit, filter=filter)


async def fill(
    index: Index, wanted: Document, texts: Sequence[str], attributes: dict[str, Value] | None = None
) -> None:
    """Add a document without vectors, and publish it."""
    await index.add(wanted, chunks(*texts), None)
    await index.publish(wanted, attributes or {})


async def place(
    index: Index, wanted: Document, points: Sequence[Sequence[float]], attributes: dict[str, Value] | None = None
) -> None:
    """Add a document with vectors, and publish it."""
    await index.add(wanted, chunks(*[f"point {at}" for at in range(len(points))]), vectors(*points))
    await index.publish(wanted, attributes or {})


async def hits(index: Index, wanted: Lookup, store_id: str = STORE, project: str = DEFAULT) -> list[str]:
    """Which chunks are found, as `name/position`, best first by the scores that there are."""
    found = await index.search(project, store_id, wanted)
    ordered = sorted(found, key=_best, reverse=True)
    return [f"{match.document.removeprefix('doc_')}/{match.chunk.position}" for match in ordered]


def _best(match: Match) -> tuple[float, float]:
    return match.similarity or 0.0, match.relevance or 0.0
