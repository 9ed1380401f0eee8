"""An endpoint with `/v1/embeddings` on a real port: vectors of words, so that texts with the same words are near."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from aiohttp import web

from tests.listening import listening

DIMENSION = 32


def vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """Of length 1: each word adds to one place, every text a little to all."""
    numbers = [0.01] * dimension
    for word in text.lower().split():
        numbers[int.from_bytes(sha256(word.encode()).digest()[:4], "big") % dimension] += 1.0
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


class Site:
    """What it was asked, and how it answers: base64 as others do or numbers only (`plain`), so many texts at once,
    texts of so many characters."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.most_texts = 2048
        self.longest = 100_000
        self.plain = False

    async def serve(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.asked.append(body)
        texts: list[str] = body["input"]
        if self.plain and "encoding_format" in body:
            return _refused("Unknown parameter: 'encoding_format'.", "encoding_format")
        if len(texts) > self.most_texts:
            return _refused(f"batch size {len(texts)} is above {self.most_texts}")
        if max(map(len, texts)) > self.longest:
            return _refused("This model's maximum context length is shorter than the input.")
        data = [
            {"object": "embedding", "index": place, "embedding": self._told(body, text)}
            for place, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        # the order is told by the index alone
        return web.json_response({"object": "list", "data": data[::-1], "model": body["model"], "usage": usage})

    def _told(self, body: dict[str, Any], text: str) -> Any:
        numbers = vector(text, body.get("dimensions", DIMENSION))
        if body.get("encoding_format") != "base64":
            return numbers
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _refused(message: str, param: str | None = None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return web.json_response({"error": error}, status=400)


@asynccontextmanager
async def serving() -> AsyncGenerator[Site]:
    """A site that listens on a free port of loopback."""
    site = Site()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/embeddings", site.serve)
    async with listening(app) as origin:
        site.url = f"{origin}/v1"
        yield site
