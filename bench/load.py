"""The loads. Each is bounded in time, checks every answer, and gives CPU per unit of work that came whole."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.request import urlopen

from bench.client import Answer, Client, Connection
from bench.figures import Chain, Clients, First, Memory, Short, Shorts, Spread, Streams
from bench.meter import Meter, disk
from bench.upstream import said

TOKENS = 200
DEADLINE = 180.0
"""Seconds that one answer may take."""


class Target(NamedTuple):
    """The server under load. `data` is its data folder; `stats` the URL of the upstream's count, where ours is used."""

    client: Client
    meter: Meter
    data: Path | None = None
    stats: str | None = None


class Load(NamedTuple):
    """So many requests, by so many clients at once; `whole` says whether an answer is what was asked for."""

    clients: int
    requests: int
    request: Callable[[], bytes]
    whole: Callable[[Answer], bool]
    seconds: float = 60.0


class Done(NamedTuple):
    """What a load came to: seconds of each whole answer, words on each fault, wall time and CPU seconds."""

    answers: list[float]
    faults: list[object]
    wall: float
    cpu: float


def share(values: list[float], part: float) -> float:
    """The value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def ask(connection: Connection, request: bytes) -> Answer:
    """One answer, within the deadline."""
    async with asyncio.timeout(DEADLINE):
        return await connection.send(request)


async def run(target: Target, load: Load) -> Done:
    """Run a load."""
    answers, faults = list[float](), list[object]()
    left = iter(range(load.requests))
    end = time.perf_counter() + load.seconds

    async def client() -> None:
        connection = await target.client.connect()
        for _ in left:
            if time.perf_counter() > end:
                break
            if connection.closed:
                connection = await target.client.connect()
            try:
                answer = await ask(connection, load.request())
            except (OSError, TimeoutError) as error:
                faults.append(repr(error)[:300])
                connection.close()
                connection = await target.client.connect()
                continue
            if load.whole(answer):
                answers.append(answer.seconds)
            else:
                faults.append(answer.fault())
            if answer.closes:
                connection.close()
                connection = await target.client.connect()
        connection.close()

    used, start = target.meter.cpu(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(load.clients)))
    return Done(answers, faults, time.perf_counter() - start, target.meter.cpu() - used)


def streamed(tokens: int) -> Callable[[Answer], bool]:
    """Whether an answer is a whole stream of so many tokens."""

    def whole(answer: Answer) -> bool:
        return answer.delivered(tokens)

    return whole


async def warm(target: Target) -> None:
    """Let the server import, connect and allocate what every later request finds ready."""
    request = target.client.respond("warm [[n=20 d=0]]", stream=True)
    await run(target, Load(1, 5, lambda: request, streamed(20)))


async def stream(target: Target, clients: int, requests: int, delay: int) -> Streams:
    """Streams of 200 tokens, `delay` ms apart (0: as fast as the upstream writes)."""
    request = target.client.respond(f"Say something. [[n={TOKENS} d={delay}]]", stream=True)
    done = await run(target, Load(clients, requests, lambda: request, streamed(TOKENS)))
    tokens = len(done.answers) * TOKENS
    return Streams(
        streams_ok=len(done.answers),
        faults=len(done.faults),
        fault_sample=done.faults[:2],
        wall_s=round(done.wall, 2),
        cpu_s=round(done.cpu, 3),
        cpu_us_per_token=round(done.cpu / tokens * 1e6, 1) if tokens else None,
        tok_per_s=round(tokens / done.wall),
        stream_p50_s=round(share(done.answers, 0.5), 3) if tokens else None,
        stream_p95_s=round(share(done.answers, 0.95), 3) if tokens else None,
    )


async def paced(target: Target, scale: float) -> Clients:
    """As a model speaks: 5, 20 and 60 ms between tokens for 1, 16 and 64 clients."""
    await warm(target)
    return Clients(
        c1=await stream(target, 1, max(1, int(6 * scale)), 5),
        c16=await stream(target, 16, max(16, int(32 * scale)), 20),
        c64=await stream(target, 64, max(64, int(64 * scale)), 60),
    )


async def burst(target: Target, scale: float) -> Clients:
    """As fast as it goes."""
    await warm(target)
    return Clients(
        c1=await stream(target, 1, max(1, int(20 * scale)), 0),
        c16=await stream(target, 16, max(16, int(32 * scale)), 0),
        c64=await stream(target, 64, max(64, int(64 * scale)), 0),
    )


async def first(target: Target, scale: float) -> First:
    """One stream after the other, 2 ms between tokens."""
    await warm(target)
    connection = await target.client.connect()
    answers: list[Answer] = []
    rounds = max(20, int(50 * scale))
    for number in range(rounds):
        if connection.closed:
            connection = await target.client.connect()
        answer = await ask(connection, target.client.respond(f"hello {number} [[n=5 d=2]]", stream=True))
        if answer.delivered(5):
            answers.append(answer)
    connection.close()
    return First(
        first_event_ms=_spread([answer.first_event for answer in answers]),
        first_delta_ms=_spread([answer.first_delta for answer in answers]),
        bad=rounds - len(answers),
    )


def _spread(seconds: list[float | None]) -> Spread | None:
    values = [value * 1e3 for value in seconds if value is not None]
    if not values:
        return None
    return Spread(p50=round(share(values, 0.5), 2), p95=round(share(values, 0.95), 2), min=round(min(values), 2))


async def short(target: Target, scale: float) -> Shorts:
    """Stored requests without streaming, five tokens each."""
    await warm(target)
    request = target.client.respond("Short. [[n=5 d=0]]", stream=False)

    def whole(answer: Answer) -> bool:
        return answer.status == 200 and said(5).encode() in answer.body

    async def measure(clients: int, requests: int) -> Short:
        done = await run(target, Load(clients, requests, lambda: request, whole))
        count = len(done.answers)
        return Short(
            ok=count,
            faults=len(done.faults),
            fault_sample=done.faults[:2],
            req_per_s=round(count / done.wall, 1),
            cpu_ms_per_req=round(done.cpu / count * 1e3, 3) if count else None,
            p50_ms=round(share(done.answers, 0.5) * 1e3, 2) if count else None,
            p95_ms=round(share(done.answers, 0.95) * 1e3, 2) if count else None,
        )

    return Shorts(c1=await measure(1, int(100 * scale)), c16=await measure(16, int(400 * scale)))


async def chain(target: Target, turns: int, *, conversation: bool) -> Chain:
    """Turn after turn, each on top of all before it; stops at the first turn that is not right."""
    await warm(target)
    client, meter = target.client, target.meter
    connection = await client.connect()
    result, before = Chain(text_bytes=0), disk(target.data)
    link: dict[str, str] = {}
    if conversation:
        created = await ask(connection, client.request("/conversations", {}))
        if created.status != 200:
            return Chain(error=f"no conversation: {created.fault()}")
        link = {"conversation": created.json()["id"]}
    start = meter.cpu()
    for turn in range(1, turns + 1):
        text = (f"turn {turn:04d} " + "lorem ipsum dolor sit amet consectetur " * 30)[:982] + " [[n=40 d=0]]"
        if connection.closed:
            connection = await client.connect()
        used = meter.cpu()
        answer = await ask(connection, client.respond(text, stream=False, **link))
        used = meter.cpu() - used
        if answer.status != 200 or said(40).encode() not in answer.body:
            result.error = f"turn {turn}: {answer.fault()}"
            break
        reached = await _reached(target)
        if reached and reached["roles"] != 2 * turn - 1:
            result.error = f"turn {turn}: {reached['roles']} messages reached the model instead of {2 * turn - 1}"
            break
        if not conversation:
            link = {"previous_response_id": answer.json()["id"]}
        result.text_bytes = (result.text_bytes or 0) + len(text) + len(said(40))
        row = (
            turn,
            round(answer.seconds * 1e3, 2),
            round(used * 1e3, 2),
            reached.get("bytes"),
            disk(target.data) - before,
        )
        result.rows.append(row)
    connection.close()
    result.turns_done = len(result.rows)
    result.total_cpu_s = round(meter.cpu() - start, 3)
    result.disk_bytes = disk(target.data) - before if target.data else None
    return result


async def _reached(target: Target) -> dict[str, Any]:
    """What the upstream counted of the last request; empty when it is not ours."""
    if target.stats is None:
        return {}
    with await asyncio.to_thread(urlopen, target.stats, timeout=10) as answer:
        return json.loads(answer.read())


async def memory(target: Target) -> Memory:
    """200 streams open at once, 300 tokens each, 20 ms apart."""
    await warm(target)
    client, meter, tokens = target.client, target.meter, 300
    connections = [await client.connect() for _ in range(200)]
    result = Memory(idle_rss_mb=round(meter.rss(), 1))
    request = client.respond(f"slow [[n={tokens} d=20]]", stream=True)
    used, peak = meter.cpu(), 0.0
    waiting = asyncio.gather(*(ask(connection, request) for connection in connections), return_exceptions=True)
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.5)
        speaking = [it.answer for it in connections if it.answer.first_delta is not None and not it.answer.seconds]
        result.open_streams_max = max(result.open_streams_max, len(speaking))
        peak = max(peak, meter.rss())
    used = meter.cpu() - used
    answers = waiting.result()
    faults: list[object] = [
        repr(answer) if isinstance(answer, BaseException) else answer.fault()
        for answer in answers
        if isinstance(answer, BaseException) or not answer.delivered(tokens)
    ]
    for connection in connections:
        connection.close()
    result.ok, result.bad, result.bad_sample = len(answers) - len(faults), len(faults), faults[:2]
    result.cpu_us_per_token = round(used / (len(answers) * tokens) * 1e6, 1)
    result.peak_rss_mb = round(peak, 1)
    await asyncio.sleep(1)  # closed connections are let go
    result.after_rss_mb = round(meter.rss(), 1)
    return result


def at(rows: list[tuple[int, float, float, int | None, int | None]], turn: int, column: int) -> float | None:
    """The median of the last ten turns up to this one (of turns 2 to 4 for the first: it is cold)."""
    if not rows or len(rows) < turn:
        return None
    window = (2, 4) if turn == 1 else (turn - 9, turn)
    values = [row[column] for row in rows if window[0] <= row[0] <= window[1]]
    return round(median(value for value in values if value is not None), 2) if values else None
