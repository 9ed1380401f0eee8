"""MCP servers in processes of their own, and our server over a scripted model beside them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.whole.house import Json, Whole, whole
from tests.whole.scripts import scripted

DEADLINE = 20.0
ROOT = Path(__file__).resolve().parents[2]
LOOPBACK: Json = {"allow": ["127.0.0.1"]}


class Neighbour:
    """A server that listens on a port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def counts(self) -> dict[str, int]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/calls") as answer:
            return await answer.json()

    async def log(self) -> list[Json]:
        """What `set_boiling_point` was called with."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/log") as answer:
            return await answer.json()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        async with asyncio.timeout(DEADLINE):
            await self.process.wait()


async def started(**variables: str) -> Neighbour:
    """The server of `tests.mcp.server`; with `PLAY` that of `tests.mcp.played`."""
    module = "tests.mcp.played" if "PLAY" in variables else "tests.mcp.server"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "http"),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        return Neighbour(process, int(await process.stdout.readline()))


@asynccontextmanager
async def neighbour(**variables: str) -> AsyncGenerator[Neighbour]:
    found = await started(**variables)
    try:
        yield found
    finally:
        await found.kill()


@asynccontextmanager
async def house(data: Path, *steps: Json, **tree: Any) -> AsyncGenerator[Whole]:
    """Our server, which may reach loopback."""
    async with whole(data, **{"egress": LOOPBACK, **scripted(*steps), **tree}) as served:
        yield served


def tool(server: Neighbour | str, **fields: Any) -> Json:
    url = server if isinstance(server, str) else f"{server.url}/mcp"
    return {"type": "mcp", "server_label": "lab", "server_url": url, "require_approval": "never", **fields}


def calls(name: str, arguments: Any = None, *, label: str = "lab", call_id: str | None = None) -> Json:
    """A step that calls one tool."""
    made: Json = {"name": f"{label}__{name}", "arguments": arguments if arguments is not None else {}}
    return {"acts": [{"act": "calls", "calls": [made | ({"id": call_id} if call_id else {})]}]}


def says(text: str = "Done.") -> Json:
    return {"acts": [{"act": "says", "text": text}]}


def items(response: Json, kind: str) -> list[Json]:
    return [item for item in response["output"] if item["type"] == kind]
