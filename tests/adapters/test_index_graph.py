"""The graph of a large store: made beside the searches, right whatever happens to its file."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.indexes.embedded import EmbeddedIndex, IndexFile
from antiphon.core.filters import Comparison, Filter
from antiphon.ports.index import Lookup, Vectors
from tests.contracts.searching import STORE, chunks, document, hits, lookup
from tests.contracts.turns import DEFAULT
from tests.patience import eventually

SIZE = 24
PER = 50
MANY = 400
"""Vectors above which the stores of these tests have a graph."""
Points = NDArray[np.float32]


@asynccontextmanager
async def opened(folder: Path, **config: Any) -> AsyncGenerator[EmbeddedIndex]:
    index = EmbeddedIndex(SeededClock(), folder, IndexFile(**{"graph_above": MANY, **config}))
    await index.open()
    try:
        yield index
    finally:
        await index.close()


def points(number: int, seed: int = 1) -> Points:
    """Vectors in clusters."""
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((30, SIZE))
    found = centres[dice.integers(0, 30, number)] + 0.5 * dice.standard_normal((number, SIZE))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


async def filled(index: EmbeddedIndex, given: Points, prefix: str = "") -> None:
    """Documents of fifty chunks; `tens` is 0 for the first ten of them, then 1, and so on."""
    for at in range(0, len(given), PER):
        one = document(f"{prefix}{at // PER}")
        some = given[at : at + PER]
        await index.add(one, chunks(*[f"point {n}" for n in range(len(some))]), Vectors(SIZE, some.tobytes()))
        await index.publish(one, {"number": at // PER, "tens": at // PER // 10})


def graphs(folder: Path) -> list[Path]:
    return sorted(folder.glob("index-*.graph"))


async def searched(index: EmbeddedIndex, vector: Points, limit: int = 10, filter: Filter | None = None) -> list[str]:
    wanted = Lookup(text="", vector=Vectors(SIZE, vector.tobytes()), mode="vector", limit=limit, filter=filter)
    return await hits(index, wanted)


def nearest(given: Points, vector: Points, limit: int = 10, among: slice | None = None) -> list[str]:
    """What an exact search finds."""
    similar = given @ vector
    if among is not None:
        similar = np.where(np.isin(np.arange(len(given)), np.arange(len(given))[among]), similar, -2)
    return [f"{row // PER}/{row % PER}" for row in np.argsort(-similar)[:limit].tolist()]


async def recall(
    index: EmbeddedIndex, given: Points, filter: Filter | None = None, among: slice | None = None
) -> float:
    asked = points(60, seed=9)
    found = [
        set(await searched(index, vector, 10, filter)) & set(nearest(given, vector, 10, among)) for vector in asked
    ]
    return sum(map(len, found)) / (10 * len(asked))


async def graph_of(index: EmbeddedIndex, folder: Path, *, than: list[Path] | None = None) -> Path:
    """Wait for a new graph, searching meanwhile."""

    async def there() -> bool:
        await searched(index, points(1)[0])
        await asyncio.sleep(0.02)
        return bool(graphs(folder)) and graphs(folder) != than and len(graphs(folder)) == 1 and index.graphs == 1

    await eventually(there, deadline=30)
    return graphs(folder)[0]


async def test_a_large_store_gets_a_graph_and_a_small_one_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        given = points(MANY)
        await filled(index, given)
        assert await recall(index, given) == 1
        assert graphs(tmp_path) == []
        more = np.concatenate([given, points(1600, seed=2)])
        await filled(index, more)
        await graph_of(index, tmp_path)
        assert await recall(index, more) >= 0.98


async def test_what_is_new_is_found_before_it_is_in_the_graph_and_what_is_gone_is_not(tmp_path: Path) -> None:
    given = points(1000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        first = await graph_of(index, tmp_path)
        await filled(index, points(40, seed=5), "new")
        for number, vector in enumerate(points(40, seed=5)):
            assert (await searched(index, vector, 1)) == [f"new0/{number}"]
        assert graphs(tmp_path) == [first]
        await index.remove([document("0"), document("new0")])
        for vector in given[:PER]:
            assert not {name.split("/")[0] for name in await searched(index, vector, 20)} & {"0", "new0"}
        assert len(await searched(index, given[0], 2000)) == 950


async def test_a_store_that_grows_gets_a_larger_graph_and_the_old_file_goes(tmp_path: Path) -> None:
    given = points(1000)
    async with opened(tmp_path) as index:
        await filled(index, given[:600])
        first = await graph_of(index, tmp_path)
        await filled(index, given)
        second = await graph_of(index, tmp_path, than=[first])
        assert second.stat().st_size > first.stat().st_size if first.exists() else True
        assert await recall(index, given) >= 0.98


@pytest.mark.parametrize("share", [1, 5, 20])
async def test_filters_lose_nothing_in_a_graph(tmp_path: Path, share: int) -> None:
    given = points(2000)
    wanted = Comparison(type="lt", key="number", value=share)
    async with opened(tmp_path) as index:
        await filled(index, given)
        await graph_of(index, tmp_path)
        assert await recall(index, given, wanted, slice(0, share * PER)) >= 0.98
        found = await index.search(DEFAULT, STORE, _hybrid(given[7], wanted))
        assert len(found) >= 10
        assert all(match.similarity is not None and match.relevance is not None for match in found)
        assert {int(match.document.removeprefix("doc_")) for match in found} <= set(range(share))


def _hybrid(vector: Points, filter: Filter) -> Lookup:
    return Lookup(text="point 7", vector=Vectors(SIZE, vector.tobytes()), mode="hybrid", limit=10, filter=filter)


async def test_a_filter_that_the_neighbours_do_not_pass_is_exact(tmp_path: Path) -> None:
    given = points(1000)
    near = np.concatenate([given[:500], np.tile(-given[7], (500, 1))])  # the second half is as far as can be
    async with opened(tmp_path) as index:
        await filled(index, near)
        await graph_of(index, tmp_path)
        wanted = Comparison(type="gte", key="number", value=10)
        assert len(await searched(index, given[7], 10, wanted)) == 10


async def test_the_graph_is_used_again_after_a_restart(tmp_path: Path) -> None:
    given = points(1000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        made = await graph_of(index, tmp_path)
    async with opened(tmp_path) as index:
        assert await recall(index, given) >= 0.98
        assert (graphs(tmp_path), index.graphs) == ([made], 1)


@pytest.mark.parametrize("harm", ["truncated", "changed", "empty", "gone", "another"])
async def test_a_harmed_file_is_made_anew(tmp_path: Path, harm: str) -> None:
    given = points(1000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        made = await graph_of(index, tmp_path)
    body = made.read_bytes()
    made.unlink()
    if harm == "another":
        async with opened(tmp_path / "other") as index:
            await filled(index, points(600, seed=3))
            body = (await graph_of(index, tmp_path / "other")).read_bytes()
    changed = body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :]
    bodies = {"truncated": body[:-100], "changed": changed, "empty": b"", "another": body}
    if harm in bodies:
        made.write_bytes(bodies[harm])
    async with opened(tmp_path) as index:
        assert await recall(index, given) == 1
        await graph_of(index, tmp_path, than=[made])
        assert await recall(index, given) >= 0.98


async def test_two_processes_share_one_graph(tmp_path: Path) -> None:
    given = points(1000)
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await filled(one, given)
        made = await graph_of(one, tmp_path)
        assert await graph_of(two, tmp_path) == made
        assert await recall(two, given) >= 0.98


async def test_a_graph_of_mostly_removed_chunks_is_made_anew(tmp_path: Path) -> None:
    given = points(2000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        first = await graph_of(index, tmp_path)
        size = first.stat().st_size
        await index.remove([document(str(at)) for at in range(10, 40)])
        second = await graph_of(index, tmp_path, than=[first])
        assert second.stat().st_size < size
        assert await recall(index, given[:500]) >= 0.98


async def test_a_graph_that_cannot_be_written_leaves_the_searches_exact(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = points(1000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            await searched(index, given[0])

            async def said() -> bool:
                return "cannot be written" in caplog.text

            await eventually(said)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert graphs(tmp_path) == []
        assert await recall(index, given) == 1


async def test_closing_does_not_wait_for_a_graph(tmp_path: Path) -> None:
    given = points(20_000)
    async with opened(tmp_path) as index:
        await filled(index, given)
        await searched(index, given[0])
        async with asyncio.timeout(5):
            await index.close()
    assert graphs(tmp_path) == []


async def test_the_graph_of_a_dropped_store_is_swept(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        await filled(index, points(1000))
        made = await graph_of(index, tmp_path)
        await index.drop(DEFAULT, STORE)
        assert await hits(index, lookup(vector=[1.0] * SIZE)) == []
        os.utime(made, (1, 1))
        assert [some async for some in index.stored()] == []
        assert graphs(tmp_path) == []
