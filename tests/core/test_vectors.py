"""Vectors out of answers to requests for embeddings."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.embeddings import packed
from antiphon.core.vectors import VectorsError, vectors
from antiphon.wire.errors import ModelError

floats = st.floats(-(2.0**90), 2.0**90, width=32).map(lambda number: number or 1.0)


def answer(*embeddings: Any, places: list[int] | None = None) -> bytes:
    data = [{"embedding": each} for each in embeddings]
    for entry, place in zip(data, places or [], strict=False):
        entry["index"] = place
    return json.dumps({"data": data}).encode()


@given(st.lists(st.lists(floats, min_size=3, max_size=3), min_size=1), st.booleans(), st.randoms())
def test_vectors_come_in_the_order_of_the_inputs(rows: list[list[float]], base64: bool, random: Any) -> None:
    places = list(range(len(rows)))
    random.shuffle(places)
    told = [packed(rows[place]) if base64 else rows[place] for place in places]
    found = vectors(answer(*told, places=places), len(rows))
    assert (found.dimension, len(found)) == (3, len(rows))
    assert found.packed == b"".join(struct.pack("<3f", *row) for row in rows)


def test_without_places_the_order_is_that_of_the_answer() -> None:
    assert vectors(answer([1.0], [2.0]), 2).packed == struct.pack("<2f", 1.0, 2.0)


@pytest.mark.parametrize(
    "document", [b"", b"null", b"{}", b'{"data": 1}', b"\xff", b"[" * 100_000, answer("!"), answer(7)]
)
def test_what_are_no_embeddings_is_an_error_of_the_model(document: bytes) -> None:
    with pytest.raises(ModelError):
        vectors(document, 1)


@pytest.mark.parametrize(
    "rows",
    [[], [[]], [[1.0], [1.0]], [[0.0]], [[-0.0, 0.0]], ["AADAfw=="], ["AACAfw=="], [[1e300]], ["AAAA"]],
)
def test_vectors_that_cannot_be_compared_are_refused(rows: list[Any]) -> None:
    with pytest.raises(VectorsError):
        vectors(answer(*rows), 1)


def test_vectors_of_different_dimensions_are_refused() -> None:
    with pytest.raises(VectorsError, match="different"):
        vectors(answer([1.0], [1.0, 2.0]), 2)
