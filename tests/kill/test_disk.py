"""A disk that is full and a database that somebody else has locked: a clear 5xx, and nothing is said to be there that
is not."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest

from tests.kill.client import FINAL, Asked, Client, Json
from tests.kill.house import House, Server, nursery
from tests.kill.world import World, world
from tests.patience import eventually

PATIENCE = 0.2
ROOM = 30_000
"""Bytes that the files may still grow under a limit."""
ENOUGH = 600
"""Responses after which a disk with so little room is full."""


class Place:
    """A server, its clients and the world."""

    def __init__(self, house: House, server: Server, outside: World, session: aiohttp.ClientSession) -> None:
        self.house = house
        self.server = server
        self.world = outside
        self.client = Client(session)
        self._session = session

    async def refusal(self, path: str, body: Json) -> aiohttp.ClientResponse:
        """A POST that is refused clearly: our error, with the store's reason."""
        async with self._session.post(f"{self.server.url}/v1{path}", json=body) as answer:
            found = await answer.json()
            assert answer.status in {500, 503}, found
            assert found["error"]["type"] == "server_error"
            assert "store" in found["error"]["message"]
            assert str(self.house.folder) not in str(found)
            return answer

    async def status(self, asked: Asked, server: Server | None = None) -> str:
        """How the response stands for a client."""
        status, found = await self.client.get((server or self.server).url, f"/responses/{asked.id}")
        assert status == 200, found
        return found["status"]

    async def over(self, asked: Asked) -> bool:
        """Whether it is terminal."""
        return await self.status(asked) in FINAL

    async def stored(self, server: Server) -> list[str]:
        """The ids of all responses."""
        found: list[str] = []
        after = ""
        while True:
            _, page = await self.client.get(server.url, f"/responses?order=asc&limit=100{after}")
            found += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                return found
            after = f"&after={page['last_id']}"


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    async with nursery() as born, world() as outside, aiohttp.ClientSession() as session:
        house = House(tmp_path / "house", born, outside.url, patience=PATIENCE)
        try:
            yield Place(house, await house.start(), outside, session)
        finally:
            outside.free_all()
            await house.close()


def asking(key: str, *, background: bool, stream: bool, kind: str = "text") -> Asked:
    return Asked(key=key, kind=kind, background=background, stream=stream)


async def held(at: Place, *, stream: bool = True) -> tuple[Asked, asyncio.Task[None]]:
    """A background run in the middle of its text."""
    asked = asking("held", background=True, stream=stream)
    at.world.hold("held", "half/0")
    task = asyncio.ensure_future(at.client.create(at.server.url, asked))
    async with asyncio.timeout(10):
        await asked.accepted.wait()
    await at.world.reached("held", "half/0")
    return asked, task


async def test_a_locked_database_is_a_clear_error_and_everything_goes_on_behind_it(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        before = asking("before", background=False, stream=False, kind="both")
        await at.client.create(at.server.url, before)
        run, following = await held(at)
        with at.house.locked():
            for stream in (True, False):
                busy = await at.refusal("/responses", asking("no", background=True, stream=stream).body)
                assert (busy.status, "retry-after" in busy.headers) == (503, True)
            made = await at.refusal("/responses", asking("no", background=False, stream=False).body)
            assert made.headers["x-should-retry"] == "false"
            streamed = asking("no", background=False, stream=True)
            await at.client.create(at.server.url, streamed)
            assert streamed.told is not None
            assert streamed.told["status"] == "failed"
            assert "locked" in streamed.told["error"]["message"]
            await at.refusal("/conversations", {})
            await at.refusal(f"/responses/{run.id}/cancel", {})
            assert await at.status(before) == "completed"
            assert await at.status(run) == "in_progress"
            at.world.free("held", "half/0")
        await eventually(lambda: at.over(run))
        await following
        assert await at.status(run) == "completed"
        assert await at.stored(at.server) == [before.id, run.id]


async def test_a_run_whose_commits_are_refused_for_long_is_taken_up_again(tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        run, following = await held(at)
        with at.house.locked():
            at.world.free("held", "half/0")

            async def dropped() -> bool:
                return "was not stored" in run_log(at)

            await eventually(dropped)
        await eventually(lambda: at.over(run))
        await following
        whole = await at.client.events(at.server.url, str(run.id))
        assert whole == run.heard


def run_log(at: Place) -> str:
    return at.server.log.read_text(encoding="utf-8")


class Disk(Protocol):
    """A disk that can be full."""

    def shrink(self, at: Place) -> None:
        """There is little room from now on."""
        ...

    def grow(self, at: Place) -> None:
        """There is room again."""
        ...


class Limited:
    """No file of the server grows beyond a size: its writes fail as those to a broken disk do."""

    def shrink(self, at: Place) -> None:
        files = [at.house.database, at.house.database.with_name(at.house.database.name + "-wal")]
        self._limit(at, max(path.stat().st_size for path in files) + ROOM)

    def grow(self, at: Place) -> None:
        self._limit(at, resource.RLIM_INFINITY)

    def _limit(self, at: Place, size: int) -> None:
        resource.prlimit(at.server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Mounted:
    """A small file system in memory below the data folder: there is no space left on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mount(self, options: str) -> bool:
        """Whether that is allowed here."""
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder)]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0

    def shrink(self, at: Place) -> None:
        """It was made small."""

    def grow(self, at: Place) -> None:
        assert self.mount("remount,size=64m")

    def unmount(self) -> None:
        """The test is over."""
        subprocess.run(["umount", str(self._folder)], capture_output=True, timeout=10, check=True)


@pytest.fixture(params=["limited", "mounted"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """Every kind of disk that this machine lets a test have."""
    if sys.platform != "linux":
        pytest.skip("only Linux limits the files of another process")
    if request.param == "limited":
        yield Limited()
        return
    folder = tmp_path / "house" / "data"
    folder.mkdir(parents=True)
    mounted = Mounted(folder)
    if not mounted.mount("size=640k"):
        pytest.skip("mounting a file system is not allowed here")
    yield mounted
    mounted.unmount()


async def fill(at: Place) -> list[Asked]:
    """Ask until the disk is full and stays so; what was acknowledged."""
    told: list[Asked] = []
    refused = 0
    for number in range(ENOUGH):
        background = number % 2 == 0
        asked = asking(f"more{number}", background=background, stream=not background and number % 4 == 1)
        await at.client.create(at.server.url, asked)
        if asked.accepted.is_set() or (asked.told is not None and asked.told["status"] == "completed"):
            told.append(asked)
            continue
        assert asked.refused in {None, 500, 503}
        refused += 1
        if refused == 6:
            return told
    raise AssertionError("the disk was never full")


@pytest.mark.parametrize("restart", [True, False], ids=["restart", "go-on"])
async def test_nothing_is_acknowledged_on_a_full_disk(tmp_path: Path, disk: Disk, restart: bool) -> None:
    async with place(tmp_path) as at:
        run, following = await held(at)
        disk.shrink(at)
        told = await fill(at)
        assert told
        at.world.free("held", "half/0")
        disk.grow(at)
        if restart:
            await at.server.kill()
            at.server = await at.house.start()
        for asked in (run, *told):
            await eventually(lambda asked=asked: at.over(asked), deadline=20)
        await following
        assert sorted(await at.stored(at.server)) == sorted(str(asked.id) for asked in (run, *told))
        for asked in told:
            if asked.told is not None:
                _, found = await at.client.get(at.server.url, f"/responses/{asked.id}")
                assert found == asked.told
        assert at.house.rows("PRAGMA integrity_check") == [("ok",)]
