"""The server under load, started for one load: our own in a process with a data folder of its own, in front of our
upstream in another process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench.client import Client
from bench.load import Target, ask
from bench.meter import Meter, disk
from bench.upstream import MODEL

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Started(NamedTuple):
    """A server at work, and the seconds from its start to its first answer."""

    target: Target
    process: Process
    seconds: float

    async def stop(self) -> int:
        """Stop it as an operator would; the bytes that it leaves in its data folder."""
        await stop(self.process)
        return disk(self.target.data)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def stop(process: Process) -> None:
    """SIGTERM, then patience, then SIGKILL."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def environment(upstream: int, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this shell's settings; models from the upstream by the variables that every OpenAI client reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTIPHON_", "OPENAI_"))}
    return {**kept, "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1", "OPENAI_API_KEY": "sk-bench", **more}


async def first_answer(client: Client, process: Process) -> str:
    """Ask until the server answers; what it said instead, when the time is over or it has ended."""
    request = client.respond("hi [[n=5 d=0]]", stream=False)
    end = time.perf_counter() + START_SECONDS
    said = "it does not listen"
    while time.perf_counter() < end and process.returncode is None:
        try:
            connection = await client.connect()
            answer = await ask(connection, request)
            connection.close()
            if answer.status == 200:
                return ""
            said = answer.fault()
        except OSError:
            pass  # not listening yet
        await asyncio.sleep(0.005)
    return said


@asynccontextmanager
async def upstream(module: str = "bench.upstream") -> AsyncGenerator[int]:
    """The port of our upstream, or of another of our modules that prints its port, in a process of its own."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdout=PIPE)
    try:
        assert process.stdout
        yield int(await process.stdout.readline())
    finally:
        await stop(process)


@asynccontextmanager
async def antiphon(upstream_port: int, **more: str) -> AsyncGenerator[Started]:
    """A fresh server on a free port, with an empty data folder that goes with it, and with these variables."""
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder, port = Path(name), free_port()
        data, log = folder / "data", folder / "log"
        data.mkdir()
        program = str(Path(sys.executable).with_name("antiphon"))
        command = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--data", str(data)]
        client = Client(f"http://127.0.0.1:{port}/v1", MODEL)
        start = time.perf_counter()
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=STDOUT, env=environment(upstream_port, more), cwd=folder
            )
        try:
            if fault := await first_answer(client, process):
                raise SystemExit(f"the server did not start: {fault}. Its log ends:\n{log.read_text()[-2000:]}")
            seconds = time.perf_counter() - start
            stats = f"http://127.0.0.1:{upstream_port}/stats"
            yield Started(Target(client, Meter(process.pid), data, stats), process, seconds)
        finally:
            await stop(process)
