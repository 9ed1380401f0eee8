"""A disk that is full while files are ingested: they fail with a reason or wait, and are whole with room again."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from random import Random

import pytest

from tests.kill.house import nursery
from tests.kill.ingesting import Ingesting
from tests.kill.test_ingestion import episode
from tests.patience import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")

LINES = 4000


def limit(play: Ingesting, size: int) -> None:
    """No file of the server grows beyond this size: its writes fail as those to a broken disk do."""
    resource.prlimit(play.server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("room", [60_000, 0], ids=["index-full", "all-full"])
async def test_a_file_on_a_full_disk_fails_or_waits_and_is_whole_later(tmp_path: Path, room: int) -> None:
    async with nursery() as born, episode(born, tmp_path, Random(room)) as play:
        await play.begin()
        file = await play.upload("big", LINES)
        play.vectors.hold("big", 0)
        await play.attach(file)
        await play.vectors.reached("big")
        databases = [play.index, play.house.database]
        files = [path.with_name(path.name + suffix) for path in databases for suffix in ("", "-wal")]
        limit(play, max(path.stat().st_size for path in files) + room)
        play.vectors.free()

        async def refused() -> bool:
            log = play.server.log.read_text(encoding="utf-8")
            return f"file {file.file} of {file.store} failed" in log or f"the end of file {file.file}" in log

        await eventually(refused, deadline=20)
        limit(play, resource.RLIM_INFINITY)
        _, one = (await play.members())[file.file]
        if one["status"] == "failed":
            assert one["last_error"]["code"] == "server_error"
            assert "store" in one["last_error"]["message"]
            assert str(tmp_path) not in one["last_error"]["message"]
            await play.attach(file)
        await eventually(play.over, deadline=20)
        _, one = (await play.members())[file.file]
        assert one["status"] == "completed"
        expected = await play.undisturbed([file.file])
        assert await play.content(file.store, file.file) == expected[file.file]
        assert not [words for server in play.house.servers for words in server.complaints()]
