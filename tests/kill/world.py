"""The world around the servers of the kill matrix: a model, a search backend, and what tools leave behind.

All of it lives in the test's process, which can hold every request at every place. What the model says follows from
the messages alone, so that a generation that is asked for again says the same. A message `play KIND KEY` begins a turn:

| kind | turn |
|---|---|
| `text` | says something |
| `tools` | calls `a` and `b` at once, then says something |
| `both` | says something and calls `a`, says something and calls `b`, says something |

`a` runs code (not repeatable), `b` is a search (repeatable). Places: `asked/N`, `half/N`, `spoke/N` (the text is whole,
a call has begun) and `last/N` (all is said but the finish word) of the generation N, and `tool/a`, `tool/b`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, TypeAlias

from aiohttp import web

from tests.kill.server import NAME
from tests.listening import listening
from tests.upstream import DONE, chunk, sse, usage

Json: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str]
"""The key of a turn, and a place in it."""

DEADLINE: Final = 20.0
BEGIN: Final = re.compile(r"play (\w+) ([\w-]+)")


class Line(NamedTuple):
    """One generation: so many pieces of text, then these calls."""

    pieces: int
    calls: str = ""


PLAYS: Final[dict[str, tuple[Line, ...]]] = {
    "text": (Line(8),),
    "tools": (Line(0, "ab"), Line(6)),
    "both": (Line(4, "a"), Line(4, "b"), Line(6)),
}


def pieces(key: str, number: int, count: int) -> list[str]:
    """What the model says in this generation."""
    return [f"{key}:{number}"] + [f" word{place}é" for place in range(1, count)] if count else []


def ending(kind: str, key: str) -> str:
    """The text of the last generation."""
    last = len(PLAYS[kind]) - 1
    return "".join(pieces(key, last, PLAYS[kind][last].pieces))


class Turn(NamedTuple):
    """A turn as the messages tell it: its calls that have been answered."""

    kind: str
    key: str
    answered: str

    def line(self) -> tuple[int, Line]:
        """The generation that comes now, and its number. Calls that were answered are not made again."""
        for number, line in enumerate(PLAYS[self.kind]):
            missing = "".join(call for call in line.calls if call not in self.answered)
            if missing or not line.calls:
                return number, Line(line.pieces if missing == line.calls else 0, missing)
        raise AssertionError(self)


def turn_of(messages: Sequence[Json]) -> Turn:
    """The turn that the last message of a user began."""
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    content = messages[last]["content"]
    found = BEGIN.search(content if isinstance(content, str) else content[0]["text"])
    assert found is not None, content
    ids = {message["tool_call_id"] for message in messages[last:] if message["role"] == "tool"}
    calls = [call for message in messages[last:] for call in message.get("tool_calls") or ()]
    answered = {call["function"]["name"] for call in calls if call["id"] in ids}
    return Turn(found[1], found[2], ("a" if NAME in answered else "") + ("b" if "web_search" in answered else ""))


class World:
    """Everything outside of the servers."""

    def __init__(self) -> None:
        self.url = ""
        self.pace = 0.0
        """Seconds between two pieces of text."""
        self.ran: Counter[Place] = Counter()
        """How often each call was run, counted when the run begins."""
        self._held: dict[Place, asyncio.Event] = {}
        self._reached: dict[Place, asyncio.Event] = {}

    # what the test does

    def hold(self, key: str, place: str) -> None:
        """Stop whoever comes there."""
        self._held[key, place] = asyncio.Event()

    def free(self, key: str, place: str) -> None:
        """Let go of who is held there, and hold nobody there any more."""
        gate = self._held.pop((key, place), None)
        if gate is not None:
            gate.set()

    def free_all(self) -> None:
        """Hold nobody anywhere."""
        for key, place in list(self._held):
            self.free(key, place)

    async def reached(self, key: str, place: str) -> None:
        """Wait until somebody has come there."""
        async with asyncio.timeout(DEADLINE):
            await self._reached.setdefault((key, place), asyncio.Event()).wait()

    # what the servers meet

    async def _at(self, key: str, place: str) -> None:
        self._reached.setdefault((key, place), asyncio.Event()).set()
        gate = self._held.get((key, place))
        if gate is not None:
            await gate.wait()

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`, streamed."""
        turn = turn_of((await request.json())["messages"])
        number, line = turn.line()
        await self._at(turn.key, f"asked/{number}")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with suppress(ConnectionError):  # who asked is gone
            await answer.prepare(request)
            await self._say(answer, turn, number, line)
        return answer

    async def _say(self, answer: web.StreamResponse, turn: Turn, number: int, line: Line) -> None:
        said = pieces(turn.key, number, line.pieces)
        for place, piece in enumerate(said):
            await answer.write(sse(chunk(content=piece)))
            if self.pace:
                await asyncio.sleep(self.pace)
            if place == len(said) // 2:
                await self._at(turn.key, f"half/{number}")
        for place, call in enumerate(line.calls):
            await self._write_call(answer, turn.key, place, call, number)
        await self._at(turn.key, f"last/{number}")
        await answer.write(sse(chunk(finish="tool_calls" if line.calls else "stop")) + sse(usage()) + DONE)
        await answer.write_eof()

    async def _write_call(self, answer: web.StreamResponse, key: str, place: int, call: str, number: int) -> None:
        name = NAME if call == "a" else "web_search"
        arguments = json.dumps({"code": f"{key} a"} if call == "a" else {"query": f"{key} b"})
        begun = {"name": name, "arguments": arguments[:4]}
        head = {"index": place, "id": f"call_{key}_{call}", "type": "function", "function": begun}
        await answer.write(sse(chunk(tool_calls=[head])))
        await self._at(key, f"spoke/{number}")
        await answer.write(sse(chunk(tool_calls=[{"index": place, "function": {"arguments": arguments[4:]}}])))

    async def search(self, request: web.Request) -> web.Response:
        """`POST /search`."""
        key, call = (await request.json())["query"].split()
        await self._run(key, call)
        return web.json_response({"results": [{"url": f"https://example.com/{key}", "title": key, "content": call}]})

    async def effect(self, request: web.Request) -> web.Response:
        """`POST /effect`: something that must happen once at most."""
        key, call = (await request.json())["code"].split()
        await self._run(key, call)
        return web.Response(text="done")

    async def _run(self, key: str, call: str) -> None:
        self.ran[key, call] += 1
        await self._at(key, f"tool/{call}")


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    """A world on a free port of loopback."""
    made = World()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.generate)
    app.router.add_post("/search", made.search)
    app.router.add_post("/effect", made.effect)
    async with listening(app) as made.url:
        try:
            yield made
        finally:
            made.free_all()
