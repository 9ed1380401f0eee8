"""The official Node client, from npm: `node/scenarios.mjs` against a server of ours.

It is installed once per version into pytest's cache folder. Without node, npm or their registry the test is skipped and
says why; where CI sets `CI=true`, that is a failure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.clients.stage import ADDS, says, stage
from tests.whole.scripts import waiting

PACKAGES: Final = ("openai@6.49.0", "ws@8.21.0", "zod@4.4.3")
SCRIPT: Final = Path(__file__).parent / "node" / "scenarios.mjs"
SCENARIOS: Final = (
    *(
        "create",
        "stream",
        "parse",
        "tool",
        "background",
        "resume",
        "cancel",
        "compact",
        "input_tokens",
        "conversations",
    ),
    *("websocket", "errors"),
)
INSTALLING: Final = 90.0
"""Seconds that npm gets."""
RUNNING: Final = 60.0


def absent(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and the packages that it imports."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        absent("node and npm are not installed")
    assert npm is not None
    folder = Path(pytestconfig.cache.mkdir("node-" + "-".join(PACKAGES))) if pytestconfig.cache else Path()
    complete = folder / "complete"
    if not complete.exists():
        fresh = tmp_path_factory.mktemp("node")
        (fresh / "package.json").write_text('{"private": true}', encoding="utf-8")
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *PACKAGES]
        try:
            subprocess.run(command, cwd=fresh, check=True, capture_output=True, timeout=INSTALLING)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            absent(f"npm could not install {PACKAGES[0]}: {error}")
        shutil.copytree(fresh, folder, dirs_exist_ok=True, symlinks=True)
        complete.touch()
    shutil.copy(SCRIPT, folder)
    return folder


async def test_the_node_client(tmp_path: Path, folder: Path) -> None:
    steps = (ADDS, says('{"city": "Paris"}', when="city"), waiting("never"))
    async with stage(tmp_path, *steps) as served:
        process = await asyncio.create_subprocess_exec(
            *("node", SCRIPT.name, served.url),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(RUNNING):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"after {out.decode().split()}:\n{err.decode()[-4000:]}"
        assert tuple(out.decode().split()) == SCENARIOS
