"""The kill matrix of ingestion: real processes, SIGKILL at six points (docs/reliability.md)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.kill.house import House, Nursery, nursery
from tests.kill.ingesting import LINES, Ingesting, Point, settings
from tests.kill.table import INGESTION
from tests.kill.vectors import vectors
from tests.long import amount
from tests.patience import eventually

SEEDS = amount(3, 20)
AT_ONCE = 4


@asynccontextmanager
async def episode(nursery: Nursery, folder: Path, rng: Random) -> AsyncGenerator[Ingesting]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with vectors() as embedder, aiohttp.ClientSession(timeout=timeout) as session:
        house = House(folder, nursery, embedder.url, more=settings(embedder))
        try:
            yield Ingesting(house, embedder, session, rng)
        finally:
            embedder.free()
            await house.close()


async def breaches(play: Ingesting) -> list[str]:
    """What is wrong after the recovery."""
    members = await play.members()
    keys = {file.file: file.key for file in play.attached}
    lost = [file.key for file in play.attached if file.file not in members and file.acknowledged]
    wrong = [f"lost: {key} is not in its store" for key in lost]
    wrong += [
        f"not completed: {keys[file_id]}: {one['status']} {one['last_error']}"
        for file_id, (_, one) in members.items()
        if one["status"] != "completed"
    ]
    there = {file.key for file in play.attached if file.file in members and file.key.startswith("file")}
    if there and any(file.key not in there for file in play.attached if file.key.startswith("file")):
        wrong.append(f"half a batch: {there}")
    if repeated := sorted(play.kept.texts & set(play.again)):
        wrong.append(f"embedded again: {len(repeated)} finished chunks")
    if wrong:  # what is not there cannot be compared
        return wrong + complaints(play)
    return await differences(play, sorted(members)) + await leftovers(play) + complaints(play)


async def differences(play: Ingesting, files: list[str]) -> list[str]:
    """What clients read and find, compared with an ingestion that nothing disturbed."""
    wrong: list[str] = []
    expected = await play.undisturbed(files)
    for file in play.attached:
        if file.file in files:
            content = await play.content(file.store, file.file)
            if content != expected[file.file]:
                wrong.append(f"chunks: {file.key} has {len(content)} of {len(expected[file.file])}, or others")
            if file.file not in await play.found(file):
                wrong.append(f"not found: {file.key}")
    return wrong


async def leftovers(play: Ingesting) -> list[str]:
    """What the index holds that it should not: places twice or left out, documents of nobody."""
    rows = play.house.rows("SELECT document FROM vector_store_file")
    known = {document for (document,) in rows}

    async def swept() -> bool:
        return set((await play.snapshot()).chunks) == known

    try:
        await eventually(swept)
    except TimeoutError:
        return ["left over: the index holds documents of nobody"]
    kept = await play.snapshot()
    return [
        f"places of {name}: {[chunk.position for chunk in chunks]}"
        for name, chunks in kept.chunks.items()
        if [chunk.position for chunk in chunks] != list(range(len(chunks)))
    ]


def complaints(play: Ingesting) -> list[str]:
    """Faults of ours in the logs."""
    return [words for server in play.house.servers for words in server.complaints()]


@pytest.mark.parametrize("point", Point, ids=lambda point: point.value.replace(" ", "-"))
async def test_no_file_is_lost_and_no_chunk_is_there_twice(
    tmp_path: Path, point: Point, record_property: Callable[[str, object], None]
) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []
    counts: Counter[str] = Counter(episodes=SEEDS)

    async def one(born: Nursery, seed: int) -> None:
        rng = Random(f"{point.name}/{seed}")
        async with gate, episode(born, tmp_path / str(seed), rng) as play:
            await play.run(point)
            found = await breaches(play)
        counts.update(
            files=sum(file.acknowledged for file in play.attached),
            whole=play.whole,
            kept=len(play.kept.texts),
            again=len(play.kept.texts & set(play.again)),
            breaches=len(found),
        )
        wrong.extend(f"seed {seed}: {words}" for words in found)

    async with nursery() as born:
        await asyncio.gather(*(one(born, seed) for seed in range(SEEDS)))
    record_property(INGESTION, {"point": point.value, **counts})
    assert not wrong, "\n".join(wrong)


async def test_two_processes_share_the_files_of_one_store(tmp_path: Path) -> None:
    async with nursery() as born, episode(born, tmp_path, Random(1)) as play:
        await play.begin()
        await play.house.start()
        files = [await play.upload(f"file{number}", 60) for number in range(8)]
        for file in files:
            file.store = files[0].store
        await asyncio.gather(*(play.attach(file) for file in files))
        await eventually(play.over, deadline=20)
        assert set(play.vectors.asked.values()) == {1}
        assert await breaches(play) == []


@pytest.mark.parametrize("line", [0, 100], ids=["before-the-first-chunk", "behind-some"])
async def test_a_process_that_was_stopped_finds_its_file_taken_and_harms_nothing(tmp_path: Path, line: int) -> None:
    async with nursery() as born, episode(born, tmp_path, Random(line)) as play:
        await play.begin()
        file = await play.upload("primary", LINES)
        play.vectors.hold(file.key, line)
        await play.attach(file)
        await play.vectors.reached(file.key)
        stopped = play.server
        stopped.stop()
        play.vectors.free()  # the answers wait for it
        play.server = await play.house.start()
        await eventually(play.over, deadline=20)
        stopped.go_on()
        assert await breaches(play) == []
        play.server = stopped
        again = await play.upload("again", 10)
        await play.attach(again)
        await eventually(play.over, deadline=20)
        assert await breaches(play) == []
