"""`antiphon` as a real process on a free port, away from this machine's settings and data."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

DEADLINE: Final = 30.0
"""Seconds for anything that a process is waited for."""
ROOT: Final = Path(__file__).resolve().parents[1]


class Ended(msgspec.Struct, frozen=True):
    """How a process ended and what it said."""

    code: int
    out: str
    err: str


def environ(home: Path, **more: str) -> dict[str, str]:
    """Variables that name no model, no key and no folder of ours; local servers are not looked for."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "ANTIPHON_DISCOVERY_PORTS": "none", **more}


async def started(home: Path, *arguments: str, **more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", *arguments),
        cwd=home,
        env=environ(home, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end; a process that does not end is killed and the test fails."""
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def antiphon(home: Path, *arguments: str, **more: str) -> Ended:
    """Run a command to its end."""
    return await ended(await started(home, *arguments, **more))


class Serving:
    """A server that listens at `url`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Ask it to stop, and wait until it has."""
        self.process.send_signal(number)
        return await ended(self.process)


@asynccontextmanager
async def serving(home: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> AsyncGenerator[Serving]:
    """`antiphon serve` on a free port, from the moment it says that it listens; gone at the end."""
    process = await started(home, "serve", "--port", "0", *arguments, **(variables or {}))
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("antiphon listening on "):
            raise AssertionError(f"{line}{(await ended(process)).err}")
        yield Serving(process, line.split()[-1])
    finally:
        if process.returncode is None:
            process.kill()
        await ended(process)
