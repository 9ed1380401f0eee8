"""The folder of blobs: what is only true of files on a disk."""

from __future__ import annotations

import asyncio
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from antiphon.adapters.blobs.folder import PARTIAL, FolderBlobs
from antiphon.wire.errors import StoreError
from tests.patience import eventually

MB = 1024 * 1024

DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from antiphon.adapters.blobs.folder import FolderBlobs

async def pieces():
    for _ in range(3):
        yield b"x" * 1_048_576
    print("here", flush=True)
    await asyncio.Event().wait()

async def main():
    blobs = FolderBlobs(Path(sys.argv[1]))
    await blobs.open()
    await blobs.put("p", "file-1", pieces())

asyncio.run(main())
"""


async def pieces(*given: bytes) -> AsyncGenerator[bytes]:
    for piece in given:
        yield piece


def partial(folder: Path) -> list[Path]:
    return list((folder / PARTIAL).iterdir())


async def test_nobody_else_can_read_what_is_kept(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "files")
    await blobs.open()
    await blobs.put("p", "file-1", pieces(b"x"))
    for path in (tmp_path / "files").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


async def test_what_a_killed_process_has_left_is_collected_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DYING, str(tmp_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"here\n"
    await FolderBlobs(tmp_path).open()
    assert len(partial(tmp_path)) == 1
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await FolderBlobs(tmp_path).open()
    assert partial(tmp_path) == []
    assert not list(tmp_path.rglob("file-*"))


async def test_starts_collect_nothing_of_what_is_written_meanwhile(tmp_path: Path) -> None:
    """Processes start all the time while files are made and locked."""
    blobs = FolderBlobs(tmp_path)
    await blobs.open()
    done = asyncio.Event()

    async def starting() -> None:
        while not done.is_set():
            await FolderBlobs(tmp_path).open()

    starts = [asyncio.create_task(starting()) for _ in range(3)]
    for count in range(200):
        assert await blobs.put("p", f"file-{count}", pieces(b"x" * count)) == count
    done.set()
    await asyncio.gather(*starts)
    assert len(list(tmp_path.rglob("file-*"))) == 200
    assert partial(tmp_path) == []


@pytest.mark.parametrize("size", [MB, 5 * MB])
async def test_a_disk_that_is_full_is_a_store_error_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    """A limit on the size of files stands for a full disk: both are errors of `write`."""
    blobs = FolderBlobs(tmp_path)
    await blobs.open()
    await blobs.put("p", "part_1", pieces(b"x" * 400_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(StoreError, match="no room left") as raised:
            await blobs.put("p", "file-1", pieces(*[b"x" * 100_000] * (size // 100_000)))
        with pytest.raises(StoreError, match="no room left"):
            await blobs.join("p", "file-2", ("part_1", "part_1"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path) not in raised.value.message
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["part_1"]
    assert await blobs.put("p", "file-1", pieces(b"x")) == 1


async def test_a_folder_that_is_taken_away_is_noticed(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "files")
    await blobs.open()
    (tmp_path / "files" / PARTIAL).rmdir()
    with pytest.raises(StoreError):
        await blobs.check()
    with pytest.raises(StoreError):
        await blobs.put("p", "file-1", pieces(b"x"))


async def test_the_loop_goes_on_while_a_large_file_is_joined(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    await blobs.open()
    await blobs.put("p", "part_1", pieces(*[b"x" * MB] * 20))
    turns = 0

    async def turning() -> bool:
        nonlocal turns
        turns += 1
        return joining.done()

    joining = asyncio.create_task(blobs.join("p", "file-1", ["part_1"] * 5))
    await eventually(turning)
    assert await joining == 100 * MB
    assert turns > 1


def test_the_bucket_says_which_extra_it_needs() -> None:
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from antiphon.adapters.registry import AdapterError, adapter\n"
        "try: adapter('blobs', 's3')\n"
        "except AdapterError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'antiphon[s3]'" in ended.stdout


def test_no_heavy_module_is_imported_where_blobs_are_in_a_folder() -> None:
    code = "import antiphon.compose, sys, antiphon.adapters.blobs.folder; print('obstore' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == "False"
