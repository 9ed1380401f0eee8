"""An MCP server of few lines whose one tool gives as many bytes as it is asked for: `/json` answers so, `/events` in an
event, `/sse` is the older form."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web

FILL: Final = b"x" * 65_536
TOOL: Final = {
    "name": "flood",
    "inputSchema": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]},
}


class Bulky:
    """See the module. `noise`: bytes of events that tell of nothing, before each answer."""

    def __init__(self, noise: int = 0) -> None:
        self.noise = noise
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.app = web.Application()
        self.app.router.add_post("/json", self.whole)
        self.app.router.add_post("/events", self.events)
        self.app.router.add_get("/sse", self.stream)
        self.app.router.add_post("/messages", self.message)

    async def whole(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await written(answer, asked)
        return answer

    async def events(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await self.event(answer, asked)
        return answer

    async def stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"event: endpoint\ndata: /messages\n\n")
        while True:
            asked = await self.heard.get()
            if "id" in asked:
                await self.event(answer, asked)

    async def message(self, request: web.Request) -> web.StreamResponse:
        self.heard.put_nowait(await request.json())
        return web.Response(status=202)

    async def event(self, answer: web.StreamResponse, asked: dict[str, Any]) -> None:
        for _ in range(self.noise // (len(FILL) + 4)):
            await answer.write(b": " + FILL + b"\n\n")
        await answer.write(b"event: message\ndata: ")
        await written(answer, asked)
        await answer.write(b"\n\n")


async def written(answer: web.StreamResponse, asked: dict[str, Any]) -> None:
    """What is answered, written in pieces."""
    result: dict[str, Any] = {}
    if asked["method"] == "initialize":
        info = {"name": "bulky", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
    elif asked["method"] == "tools/list":
        result = {"tools": [TOOL]}
    elif asked["method"] == "tools/call":
        result = {"content": [{"type": "text", "text": "<>"}]}
    elif asked["method"] != "ping":
        error = {"code": -32601, "message": "Method not found"}
        await answer.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode())
        return
    before, _, after = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode().partition(b"<>")
    await answer.write(before)
    left = int(asked["params"]["arguments"]["size"]) if after else 0
    while left > 0:
        await answer.write(FILL[:left])
        left -= len(FILL)
    await answer.write(after)
