"""The kill matrix: real processes, struck at eleven points, over and over (docs/reliability.md)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.kill.client import Client
from tests.kill.episode import Episode
from tests.kill.house import House, Nursery, nursery
from tests.kill.points import POINTS, Fault, Point
from tests.kill.table import NAME
from tests.kill.verdict import Judge, Verdict
from tests.kill.world import world
from tests.long import amount

SEEDS = amount(5, 50)
AT_ONCE = 5


async def play(nursery: Nursery, folder: Path, point: Point, fault: Fault, seed: int) -> Verdict:
    """One episode."""
    rng = Random(f"{point.name}/{fault.name}/{seed}")
    timeout = aiohttp.ClientTimeout(total=60)
    async with world() as outside, aiohttp.ClientSession(timeout=timeout) as session:
        house = House(folder, nursery, outside.url)
        episode = Episode(house, outside, Client(session), rng)
        try:
            await episode.run(point, fault)
            return await Judge(episode).judge()
        finally:
            outside.free_all()
            await house.close()
            await episode.close()


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name.replace(" ", "-"))
async def test_nothing_that_was_acknowledged_is_lost(
    tmp_path: Path, point: Point, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []
    counts: Counter[str] = Counter(episodes=SEEDS)

    async def one(born: Nursery, seed: int) -> None:
        async with gate:
            verdict = await play(born, tmp_path / str(seed), point, fault, seed)
        counts.update(verdict.counts)
        counts.update(kind.value for kind, _ in verdict.breaches)
        wrong.extend(f"seed {seed}: {kind.value}: {words}" for kind, words in verdict.breaches)

    async with nursery() as born:
        await asyncio.gather(*(one(born, seed) for seed in range(SEEDS)))
    record_property(NAME, {"point": point.name, "fault": fault.value, **counts})
    assert not wrong, "\n".join(wrong)
