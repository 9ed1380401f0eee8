"""The contract of `Blobs`, held by a folder and by an S3-compatible store (a local one, in a process of its own)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.ports.blobs import Blob, Blobs, NoBlobError
from antiphon.wire.errors import StoreError
from tests.bucket import Bucket, bucket

MB = 1024 * 1024
HOSTILE = ("../../up", "..", ".", "/etc", "a/b", "a\\b", "C:", "nul\0", "Default", "\N{SNOWMAN}", "%2e%2e", "-rf")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[Bucket]:
    with bucket(tmp_path_factory.mktemp("moto")) as made:
        yield made


class Place:
    """An adapter, and what it really holds."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder = folder
        self.options: dict[str, object] = {}
        self.bucket: Bucket | None = None
        if kind == "s3":
            self.bucket = cast("Bucket", request.getfixturevalue("s3"))
            self.options = {**self.bucket.options, "prefix": f"some/{folder.name}"}
        self.kind = kind

    def make(self, **options: object) -> Blobs:
        found = adapter("blobs", self.kind)
        parts = Parts(name=self.kind, clock=SeededClock(), folder=self.folder)
        return cast("Blobs", found.make(msgspec.convert({**self.options, **options}, found.config), parts))

    def held(self) -> list[str]:
        """Everything that is there, finished or not."""
        if self.bucket is None:
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            return sorted(str(path.relative_to(self.folder / "files")) for path in files)
        prefix = f"some/{self.folder.name}/"
        names = [*self.bucket.keys(), *self.bucket.unfinished()]
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path, request)


@pytest.fixture
async def blobs(place: Place) -> AsyncGenerator[Blobs]:
    made = place.make()
    await made.open()
    yield made
    await made.close()


async def pieces(*given: bytes) -> AsyncGenerator[bytes]:
    for piece in given:
        yield piece


async def content(blobs: Blobs, name: str, start: int = 0, project: str = "p") -> bytes:
    async with aclosing(blobs.read(project, name, start)) as read:
        found = [piece async for piece in read]
    assert all(0 < len(piece) <= MB for piece in found)
    return b"".join(found)


async def listed(blobs: Blobs, before: float) -> list[Blob]:
    async with aclosing(blobs.stored(before)) as batches:
        return [blob async for batch in batches for blob in batch]


@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, MB + 1, 5 * MB, 11 * MB + 7])
async def test_what_was_put_is_read_back(blobs: Blobs, place: Place, size: int) -> None:
    whole = os.urandom(size)
    steps = [whole[at : at + 100_000] for at in range(0, size, 100_000)]
    assert await blobs.put("p", "file-1", pieces(*steps)) == size
    assert await content(blobs, "file-1") == whole
    assert place.held() == ["p/file-1"]


async def test_reading_begins_where_it_is_asked_to(blobs: Blobs) -> None:
    whole = os.urandom(2 * MB + 5)
    await blobs.put("p", "file-1", pieces(whole))
    for start in (1, MB, 2 * MB + 4, 2 * MB + 5, 3 * MB):
        assert await content(blobs, "file-1", start) == whole[start:]


async def test_parts_are_joined_in_the_order_that_is_asked_for_and_stay(blobs: Blobs, place: Place) -> None:
    for name, held in (("part_1", b"one"), ("part_2", b"x" * (6 * MB)), ("part_3", b"")):
        await blobs.put("p", name, pieces(held))
    assert await blobs.join("p", "file-1", ("part_2", "part_3", "part_1")) == 6 * MB + 3
    assert await content(blobs, "file-1") == b"x" * (6 * MB) + b"one"
    assert await blobs.join("p", "file-2", ()) == 0
    assert await content(blobs, "file-2") == b""
    assert len(place.held()) == 5


async def test_a_join_of_a_part_that_is_missing_leaves_nothing(blobs: Blobs, place: Place) -> None:
    await blobs.put("p", "part_1", pieces(b"x" * (6 * MB)))
    with pytest.raises(NoBlobError):
        await blobs.join("p", "file-1", ("part_1", "part_2"))
    assert place.held() == ["p/part_1"]


async def test_what_is_deleted_is_gone(blobs: Blobs, place: Place) -> None:
    await blobs.put("p", "file-1", pieces(b"x"))
    assert await blobs.delete("p", "file-1") is True
    assert await blobs.delete("p", "file-1") is False
    with pytest.raises(NoBlobError):
        await content(blobs, "file-1")
    assert place.held() == []


async def test_names_of_other_projects_are_unknown(blobs: Blobs) -> None:
    await blobs.put("p", "file-1", pieces(b"x"))
    with pytest.raises(NoBlobError):
        await content(blobs, "file-1", project="q")
    assert await blobs.delete("q", "file-1") is False
    assert await content(blobs, "file-1") == b"x"


async def test_no_project_leads_out_of_its_place(blobs: Blobs, place: Place) -> None:
    for count, project in enumerate((*HOSTILE, "default")):
        await blobs.put(project, "file-1", pieces(b"%d" % count))
    for count, project in enumerate((*HOSTILE, "default")):
        assert await content(blobs, "file-1", project=project) == b"%d" % count
    assert len({name.lower() for name in place.held()}) == len(HOSTILE) + 1
    assert {blob.project for blob in await listed(blobs, time.time() + 60)} == {*HOSTILE, "default"}


@pytest.mark.parametrize("name", ["../p/file-1", "", ".", "file-", "file-1/..", "/etc/passwd", "file-\0", "x" * 300])
async def test_names_that_are_not_ours_name_nothing(blobs: Blobs, name: str) -> None:
    await blobs.put("p", "file-1", pieces(b"x"))
    with pytest.raises(NoBlobError):
        await content(blobs, name)
    with pytest.raises(NoBlobError):
        await blobs.join("p", "file-2", (name,))
    assert await blobs.delete("p", name) is False


@pytest.mark.parametrize("before", [b"x", b"x" * (6 * MB), b"x" * (17 * MB)])
async def test_pieces_that_fail_leave_nothing_and_say_why(blobs: Blobs, place: Place, before: bytes) -> None:
    async def failing() -> AsyncGenerator[bytes]:
        yield before
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await blobs.put("p", "file-1", failing())
    assert place.held() == []


@pytest.mark.parametrize("before", [b"", b"x" * (6 * MB), b"x" * (17 * MB)])
async def test_a_put_that_is_cancelled_leaves_nothing(blobs: Blobs, place: Place, before: bytes) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncGenerator[bytes]:
        yield before
        reached.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("p", "file-1", stuck()))
    async with asyncio.timeout(30):
        await reached.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
    assert place.held() == []


async def test_a_put_that_is_cancelled_at_any_step_leaves_nothing(blobs: Blobs, place: Place) -> None:
    """Cancelled after so many rounds of the loop; at the end of them it is through."""
    done = 0
    for rounds in range(0, 400, 7):
        putting = asyncio.create_task(blobs.put("p", f"file-{rounds}", pieces(*[b"x" * 100_000] * 25)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        putting.cancel()
        try:
            await putting
            done += 1
        except asyncio.CancelledError:
            assert f"p/file-{rounds}" not in place.held()
    assert len(place.held()) == done


async def test_many_are_put_at_once(blobs: Blobs) -> None:
    async def one(count: int) -> None:
        whole = os.urandom(300_000)
        await blobs.put("p", f"file-{count}", pieces(whole[:100], whole[100:]))
        assert await content(blobs, f"file-{count}") == whole

    await asyncio.gather(*[one(count) for count in range(20)])
    assert len(await listed(blobs, time.time() + 60)) == 20


async def test_what_is_stored_is_listed_by_its_age(blobs: Blobs) -> None:
    await blobs.put("p", "file-1", pieces(b"x"))
    await blobs.put("Q", "part_2", pieces(b"x"))
    found = await listed(blobs, time.time() + 60)
    assert sorted(found, key=lambda blob: blob.name) == [Blob("p", "file-1"), Blob("Q", "part_2")]
    assert await listed(blobs, time.time() - 60) == []


async def test_another_process_finds_it(blobs: Blobs, place: Place) -> None:
    await blobs.put("p", "file-1", pieces(b"x"))
    other = place.make()
    await other.open()
    assert await content(other, "file-1") == b"x"
    await other.close()


async def test_the_place_is_checked(blobs: Blobs) -> None:
    await blobs.check()


def failing_places(place: Place) -> Iterable[Blobs]:
    """Places that cannot work."""
    if place.bucket is None:
        (place.folder / "taken").write_bytes(b"")
        yield place.make(dir=str(place.folder / "taken"))
    else:
        yield place.make(bucket="antiphon-other")
        yield place.make(endpoint="http://127.0.0.1:9", timeout=0.5)


async def test_a_place_that_does_not_work_is_a_store_error_without_its_address(place: Place) -> None:
    async def call(work: Any) -> None:
        with pytest.raises(StoreError) as raised:
            await work
        assert str(place.folder) not in raised.value.message
        assert "127.0.0.1" not in raised.value.message

    for blobs in failing_places(place):
        await call(blobs.open())
        await call(blobs.check())
        await call(blobs.put("p", "file-1", pieces(b"x")))
        await call(blobs.put("p", "file-1", pieces(*[b"x" * MB] * 17)))


async def test_memory_does_not_grow_with_the_size(blobs: Blobs) -> None:
    """What has been given is not kept: of 40 MB no more than a few parts are alive at any time."""
    alive = most = 0

    class Piece(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    async def many() -> AsyncIterable[bytes]:
        nonlocal alive, most
        for _ in range(160):
            alive += 1
            most = max(most, alive)
            yield Piece(250_000)

    await blobs.put("p", "file-1", many())
    assert most < 30
