"""The embedder around the servers of the ingestion matrix: it counts what it is asked for, and can be held at a line.

Documents are lines that begin `line N of KEY`. A request is held when its last line is the one that the test named, or
stands behind it.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from aiohttp import web

from tests.listening import listening

MODEL: Final = "vectors"
DIMENSION: Final = 8
DEADLINE: Final = 20.0
LINE: Final = re.compile(r"line (\d+) of ([\w-]+)")
WORDS: Final = "river stone lamp winter harbour mill bridge garden letter engine mirror copper valley thunder".split()


def text_of(key: str, lines: int, rng: Random) -> str:
    """A document."""
    said = (" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(lines))
    return "".join(f"line {number} of {key} {words}.\n" for number, words in enumerate(said))


class Vectors:
    """Everything that was asked for: `asked` counts texts, in all requests since `forget`."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.down = False
        """Every request is refused."""
        self._held: dict[str, int] = {}
        self._reached: dict[str, asyncio.Event] = {}
        self._freed = asyncio.Event()

    def hold(self, key: str, line: int) -> None:
        """Stop the requests for this document from this line on."""
        self._held[key] = line

    async def reached(self, key: str) -> None:
        """Return once a request is held there."""
        async with asyncio.timeout(DEADLINE):
            await self._reached.setdefault(key, asyncio.Event()).wait()

    def free(self) -> None:
        """Everybody goes on, and nobody is held any more."""
        self._held.clear()
        self._freed.set()
        self._freed = asyncio.Event()

    def forget(self) -> None:
        """Count from here on."""
        self.asked = Counter()

    async def embed(self, request: web.Request) -> web.Response:
        """`POST /v1/embeddings`."""
        texts: list[str] = (await request.json())["input"]
        if self.down:
            return web.json_response({"error": {"message": "down", "type": "server_error"}}, status=500)
        self.asked.update(texts)
        for line, key in LINE.findall(texts[-1])[-1:]:
            if int(line) >= self._held.get(key, 1 << 30):
                self._reached.setdefault(key, asyncio.Event()).set()
                await self._freed.wait()
        data = [{"object": "embedding", "index": at, "embedding": _vector(text)} for at, text in enumerate(texts)]
        return web.json_response({"object": "list", "data": data, "model": MODEL, "usage": {"total_tokens": 1}})


def _vector(text: str) -> list[float]:
    """Texts with the same words are near each other."""
    counts = Counter(text.split())
    return [1.0 + counts[word] for word in WORDS[:DIMENSION]]


@asynccontextmanager
async def vectors() -> AsyncGenerator[Vectors]:
    """An embedder on a free port of loopback."""
    made = Vectors()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/embeddings", made.embed)
    async with listening(app) as made.url:
        try:
            yield made
        finally:
            made.free()
