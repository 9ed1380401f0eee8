"""Messages of real WebSocket clients, bent: each is answered, with a whole response or an error, and none ends the
connection. `ANTIPHON_LONG=1` sends 5,000."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Final

from websockets.exceptions import ConnectionClosed

from tests.fuzz.corpus import messages
from tests.fuzz.house import fuzzed, resident
from tests.fuzz.mutator import bent, garbled, written
from tests.fuzz.verdict import clean, fault
from tests.grammar import TERMINAL
from tests.long import amount
from tests.sockets import Socket, connected
from tests.whole.house import text_of

SEED: Final = 20_261_121
FRAMES: Final = amount(300, 5_000)
AT_ONCE: Final = 4
ENDS: Final = {*TERMINAL, "error", "response.steer.failed"}


def frame(number: int) -> str | bytes:
    """The message of this number: text where it can be, else binary."""
    chance = random.Random(f"{SEED}:{number}")
    content = garbled(written(bent(chance.choice(messages()), chance), chance), chance)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


async def answered(socket: Socket, sent: str | bytes) -> str:
    """The last event of the answer, judged."""
    await socket.raw(sent)
    while (event := await socket.event())["type"] not in ENDS:
        pass
    if event["type"] == "error":
        assert 400 <= event["status"] < 500, event
        clean(event["error"]["message"])
    elif event["type"] in TERMINAL and event["response"]["error"]:
        fault(event["response"]["error"])
    return f"{event['type']} {event.get('status', '')}".strip()


async def test_bent_messages_are_answered_on_a_connection_that_stays(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    faults: list[str] = []
    sizes: list[int] = []
    async with fuzzed(tmp_path) as server:
        numbers = iter(range(FRAMES))

        async def work() -> None:
            async with connected(server.url) as socket:
                for number in numbers:
                    sent = frame(number)
                    try:
                        ends[await answered(socket, sent)] += 1
                    except (AssertionError, TimeoutError, ConnectionClosed, ValueError) as error:
                        faults.append(f"{SEED}:{number} {sent[:1500]!r}\n -> {error!r:.1500}")
                        break  # what comes next might be the rest of this answer
                    if number % (FRAMES // 8) == 0:
                        sizes.append(resident(server))
                else:
                    await socket.raw(json.dumps({"type": "response.create", "model": "m", "input": "Hi"}))
                    assert text_of((await socket.turn())[-1]["response"]) == "Hello"

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert not faults, f"{len(faults)}, the first:\n" + "\n".join(faults)
    assert ends["response.completed"] > FRAMES // 20, ends
    print(f"{FRAMES} frames, answers {dict(sorted(ends.items()))}, memory {sizes} KB")  # noqa: T201
