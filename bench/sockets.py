"""WebSockets: what a thousand idle ones take, and what a token costs on one of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from websockets.asyncio.client import ClientConnection, connect

from bench.client import DELTA
from bench.figures import Sockets
from bench.load import DEADLINE, TOKENS, Target, warm

SOCKETS = 1000
ROUND = 50
"""How many connect or speak at once."""


async def sockets(target: Target, scale: float) -> Sockets:
    """1,000 connections with permessage-deflate, of which each has had one response; then streams on one of them as
    fast as the upstream writes."""
    await warm(target)
    meter, result = target.meter, Sockets(idle_rss_mb=round(target.meter.rss(), 1))
    address = target.client.base_url.replace("http", "ws", 1) + "/responses"
    headers = {"Authorization": f"Bearer {target.client.key}"}
    async with AsyncExitStack() as stack:
        opened: list[ClientConnection] = []
        for _ in range(SOCKETS // ROUND):
            waiting = [connect(address, additional_headers=headers, proxy=None, max_size=None) for _ in range(ROUND)]
            opened += await asyncio.gather(*map(stack.enter_async_context, waiting))
        result.silent_rss_mb = round(meter.rss(), 1)
        for start in range(0, SOCKETS, ROUND):
            spoken = [_turn(target, one, 20) for one in opened[start : start + ROUND]]
            result.bad += (await asyncio.gather(*spoken)).count(False)
        result.open_rss_mb = round(meter.rss(), 1)
        rounds, used = max(1, int(20 * scale)), meter.cpu()
        for _ in range(rounds):
            result.bad += not await _turn(target, opened[0], TOKENS)
        result.cpu_us_per_token = round((meter.cpu() - used) / (rounds * TOKENS) * 1e6, 1)
    return result


async def _turn(target: Target, socket: ClientConnection, tokens: int) -> bool:
    """Whether one response came whole."""
    wanted = {"type": "response.create", "model": target.client.model, "input": f"hi [[n={tokens} d=0]]"}
    async with asyncio.timeout(DEADLINE):
        await socket.send(json.dumps(wanted))
        deltas = 0
        while True:
            event = await socket.recv(decode=False)
            deltas += event.startswith(b'{"type":"%b"' % DELTA)
            if event.startswith((b'{"type":"response.completed"', b'{"type":"response.failed"', b'{"type":"error"')):
                return deltas == tokens and event.startswith(b'{"type":"response.completed"')
