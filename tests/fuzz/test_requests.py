"""Requests of real clients, bent, against the whole server in a process of its own.

`ANTIPHON_LONG=1` sends 20,000 of them. A request that fails is named by its number: `SEED` and it make the same again.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from yarl import URL

from tests.fuzz.corpus import bodies
from tests.fuzz.house import files, fuzzed, made, resident
from tests.fuzz.mutator import Mutator, Sent
from tests.fuzz.verdict import judged
from tests.long import amount

SEED: Final = 20_261_121
REQUESTS: Final = amount(1_500, 20_000)
AT_ONCE: Final = 8
DEADLINE: Final = 20.0
"""Seconds for one answer."""
GROWTH: Final = 32 * 1024
"""Kilobytes by which the server may grow behind the first quarter of the run: less than 2 KB for each request of it."""


async def answered(client: aiohttp.ClientSession, url: str, sent: Sent) -> int:
    """Send it and judge the answer; its status."""
    async with (
        asyncio.timeout(DEADLINE),
        client.request(
            sent.method, URL(url + sent.target, encoded=True), data=io.BytesIO(sent.body), headers=sent.headers
        ) as answer,
    ):
        content = await answer.read()
    assert answer.headers.get("x-request-id")
    judged(answer.status, answer.headers.get("content-type", ""), content)
    return answer.status


async def sound(client: aiohttp.ClientSession, url: str) -> None:
    """Good requests are served as ever."""
    async with client.post(f"{url}/v1/responses", json={"model": "m", "input": "Hi"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["output"][-1]["content"][0]["text"] == "Hello"


async def test_bent_requests_are_answered_and_leave_nothing_behind(tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    faults: list[str] = []
    sizes: list[int] = []
    async with fuzzed(tmp_path) as server, aiohttp.ClientSession() as client:
        mutator = Mutator(SEED, bodies(), await made(client, server.url))
        numbers = iter(range(REQUESTS))

        async def work() -> None:
            for number in numbers:
                sent = mutator.sent(number)
                try:
                    statuses[await answered(client, server.url, sent)] += 1
                except (AssertionError, TimeoutError, aiohttp.ClientError, ValueError, KeyError) as error:
                    made_as = f"{sent.method} {sent.target[:200]} {sent.headers} {sent.body[:1500]!r}"
                    faults.append(f"{SEED}:{number} {made_as}\n -> {error!r:.1500}")
                if number % (REQUESTS // 8) == 0:
                    sizes.append(resident(server))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert not faults, f"{len(faults)} of {REQUESTS}, the first:\n" + "\n".join(faults[:20])
        await sound(client, server.url)
        told = f"{REQUESTS} requests, statuses {dict(sorted(statuses.items()))}"
        print(f"{told}, memory {sizes} KB, {files(server)} files open")  # noqa: T201 - for docs/reliability.md
        assert min(statuses[200], statuses[400]) > REQUESTS // 10, "the mutator has gone one-sided"
        assert sizes[-1] - sizes[2] < GROWTH, sizes
        assert files(server) < 200


@pytest.mark.parametrize("number", range(0, 200, 20))
def test_a_number_makes_the_same_request_again(number: int) -> None:
    ids = {name: ["x"] for name in ("response_id", "conversation_id", "completion_id", "prompt_id", "item_id")}
    assert Mutator(SEED, bodies(), ids).sent(number) == Mutator(SEED, bodies(), ids).sent(number)
