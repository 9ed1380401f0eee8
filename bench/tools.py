"""What tools cost: calls that wait side by side, a call of an MCP server on an open session, a round of the loop.

The server's CPU is metered; what the MCP server and the upstream use is not in it, but they share the core, so that
the wall time has it. Each figure is of the rounds of one response beyond those of a shorter one: what a response costs
without tools is not in it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.request import urlopen

from bench.client import Connection
from bench.figures import Spread, Tools
from bench.load import Target, ask, share
from bench.server import antiphon, upstream

PAUSE = 200
"""Milliseconds that a tool of a pair takes."""
LONG = 200
"""Rounds of the longest loop."""
SPAN = 10
"""Rounds that a marginal cost is the mean of."""
SESSIONS = 64
NOOP = {"type": "bench:noop"}
SETTINGS = {
    "ANTIPHON_EGRESS_ALLOW": "127.0.0.1",
    "ANTIPHON_LIMITS_ROUNDS": str(LONG + 1),
    "ANTIPHON_TOOLS_MODULES": "bench.noop",
    "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
}


class Loop(NamedTuple):
    """What the upstream is told to ask for: so many rounds of so many calls of one tool, which wait `ms`."""

    tool: dict[str, Any]
    rounds: int
    calls: int = 1
    ms: int = 0

    @property
    def words(self) -> str:
        """The mark that steers it."""
        return f"Use the tool. [[rounds={self.rounds} calls={self.calls} ms={self.ms}]]"


class Cost(NamedTuple):
    """What one response took, in seconds."""

    wall: float
    cpu: float


class Bench:
    """The measurements, on one server and one connection to it; `faults` tells of answers that were not whole."""

    def __init__(self, target: Target, connection: Connection, neighbour: str) -> None:
        self._target = target
        self._connection = connection
        self._neighbour = neighbour
        self.faults: list[str] = []

    def mcp(self, **more: object) -> dict[str, Any]:
        """The neighbour as a tool."""
        url = f"{self._neighbour}/mcp"
        return {"type": "mcp", "server_label": "lab", "server_url": url, "require_approval": "never", **more}

    async def cost(self, loop: Loop) -> Cost:
        """Of one response, stored and not streamed."""
        request = self._target.client.respond(loop.words, stream=False, tools=[loop.tool])
        used, start = self._target.meter.cpu(), time.perf_counter()
        answer = await ask(self._connection, request)
        wall, cpu = time.perf_counter() - start, self._target.meter.cpu() - used
        if answer.status != 200 or called(answer.json()) != loop.rounds * loop.calls:
            self.faults.append(answer.fault())
        return Cost(wall, cpu)

    async def waits(self, calls: int, times: int) -> Spread:
        """Milliseconds of responses with one round of calls that wait."""
        loop = Loop(self.mcp(), 1, calls, PAUSE)
        await self.cost(loop)
        walls = [(await self.cost(loop)).wall * 1000 for _ in range(times)]
        return Spread(p50=round(median(walls), 1), p95=round(share(walls, 0.95), 1), min=round(min(walls), 1))

    async def round(self, last: int, times: int) -> float:
        """CPU ms of a round that calls a tool which does nothing, as the mean of the last few of so many rounds."""
        return (await self._between(Loop(NOOP, max(0, last - SPAN)), Loop(NOOP, last), times)).cpu * 1000 / SPAN

    async def call(self, times: int) -> Cost:
        """What a call costs on a session that is open, beside the round."""
        found = await self._between(Loop(NOOP, SPAN), Loop(self.mcp(), SPAN), times)
        return Cost(found.wall / SPAN, found.cpu / SPAN)

    async def _between(self, less: Loop, more: Loop, times: int) -> Cost:
        """The difference, taken in turns because the machine is not the same from second to second; medians."""
        await self.cost(less)
        await self.cost(more)
        pairs = [(await self.cost(less), await self.cost(more)) for _ in range(times)]
        return Cost(median(b.wall - a.wall for a, b in pairs), median(b.cpu - a.cpu for a, b in pairs))

    async def memory(self, figures: Tools) -> None:
        """Of the SDK with the first session, and of each further session: every key has one of its own."""
        meter = self._target.meter
        before = meter.rss()
        await self.cost(Loop(self.mcp(), 1))
        first = meter.rss()
        for number in range(SESSIONS):
            await self.cost(Loop(self.mcp(authorization=f"key-{number}"), 1))
        figures.sdk_mb = round(first - before, 1)
        figures.session_kb = round((meter.rss() - first) / SESSIONS * 1024, 1)

    async def counts(self) -> dict[str, int]:
        """What the neighbour was asked for, by the protocol's methods."""
        with await asyncio.to_thread(urlopen, f"{self._neighbour}/counts", timeout=10) as answer:
            return json.loads(answer.read())


def called(response: dict[str, Any]) -> int:
    """How many calls of tools the response has completed; -1 when it is not whole itself."""
    if response.get("status") != "completed":
        return -1
    items: list[dict[str, Any]] = response["output"]
    return sum(item["type"] in {"mcp_call", "bench:noop_call"} and item["status"] == "completed" for item in items)


@asynccontextmanager
async def opened(port: int) -> AsyncGenerator[Bench]:
    """A server with the tool that does nothing, beside an MCP server."""
    async with upstream("bench.neighbour") as neighbour, antiphon(port, **SETTINGS) as started:
        connection = await started.target.client.connect()
        try:
            yield Bench(started.target, connection, f"http://127.0.0.1:{neighbour}")
        finally:
            connection.close()


async def tools(port: int, scale: float) -> Tools:
    """All of it; `port` is the upstream's. Medians, of fewer when the scale is small."""
    times = max(5, int(10 * scale))
    figures = Tools()
    async with opened(port) as bench:
        await bench.cost(Loop(NOOP, SPAN))  # warm
        await bench.memory(figures)
        before = await bench.counts()
        figures.pair_ms = await bench.waits(2, times)
        figures.many_ms = await bench.waits(16, times)
        call = await bench.call(times)
        figures.call_cpu_ms, figures.call_ms = round(call.cpu * 1000, 2), round(call.wall * 1000, 2)
        after = await bench.counts()
        figures.sessions_begun = sum(after.get(name, 0) - before.get(name, 0) for name in BEGINNING)
        figures.lists_asked = after.get("tools/list", 0) - before.get("tools/list", 0)
        figures.round_cpu_ms = {last: round(await bench.round(last, times), 3) for last in (SPAN, 50, LONG)}
        figures.bad, figures.bad_sample = len(bench.faults), bench.faults[:2]
    return figures


BEGINNING = ("initialize", "server/discover")
"""The methods that begin a session, in the older and the newer form of the protocol."""
