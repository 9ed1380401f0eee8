"""A server over a live upstream on this machine, with every kind of tool: files, an MCP server, the web, functions."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from antiphon.replay.runs.steps import events_in
from antiphon.settings import Settings
from tests.mcp.stage import LOOPBACK, neighbour
from tests.site import site
from tests.upstream import DONE, Reply, Upstream, chunk, running, speech, sse, usage
from tests.whole.house import Json, Whole, fast, whole
from tests.whole.library import MEANING, Library

WEATHER: Final[Json] = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def calling(*calls: tuple[str, Json], say: str = "") -> Reply:
    """A stream that makes these calls, the arguments in two pieces."""
    parts = [sse(chunk(role="assistant", content=say))]
    for place, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        call = {"index": place, "id": f"call_{name}_{text[-6:-2]}", "type": "function"}
        parts.append(sse(chunk(tool_calls=[{**call, "function": {"name": name, "arguments": text[:5]}}])))
        parts.append(sse(chunk(tool_calls=[{"index": place, "function": {"arguments": text[5:]}}])))
    return Reply([*parts, sse(chunk(finish="tool_calls")) + sse(usage()) + DONE])


class Living:
    """The server, its upstream, and the tools that requests can name."""

    def __init__(self, served: Whole, upstream: Upstream, data: Path, tools: Sequence[Json]) -> None:
        self.served = served
        self.upstream = upstream
        self.data = data
        self.tools = tools

    async def told(self, *replies: Reply, **body: Any) -> list[Json]:
        """The events of a response for which the upstream answers so, as they went over the socket."""
        self.upstream.reply(*replies)
        asked = {"model": "m", "tools": self.tools, **body, "stream": True}
        async with self.served.raw.post(f"{self.served.url}/v1/responses", json=asked) as answer:
            received = await answer.read()
            assert answer.status == 200, received
        return events_in(received)


def tree(data: Path, upstream: Upstream, search: str, **more: Any) -> Json:
    """The settings."""
    return {
        "data": {"dir": data},
        "discovery": {"enabled": False, "builtin": False},
        "models": [fast(upstream)],
        "embedder": MEANING,
        "web_search": {"kind": "tavily", "url": search, "key": "tvly-not-a-real-key"},
        "egress": LOOPBACK,
        **more,
    }


@asynccontextmanager
async def living(data: Path, **more: Any) -> AsyncGenerator[Living]:
    """All of it, with a store that holds a text."""
    async with running() as upstream, site() as web, neighbour() as lab:
        settings = tree(data, upstream, web.at("/api"), **more)
        async with whole(data, **{name: value for name, value in settings.items() if name != "data"}) as served:
            shelf = Library(served, data)
            store = await shelf.store("The harbour opens at seven.")
            tools: list[Json] = [
                {"type": "file_search", "vector_store_ids": [store.id]},
                {"type": "web_search"},
                {"type": "mcp", "server_label": "lab", "server_url": f"{lab.url}/mcp", "require_approval": "never"},
                WEATHER,
            ]
            yield Living(served, upstream, data, tools)


def settings_of(data: Path, **more: Any) -> Settings:
    """Settings that name the same folder, and no endpoint."""
    return Settings.model_validate({"data": {"dir": data}, "discovery": {"enabled": False, "builtin": False}, **more})


def last(events: Sequence[Json]) -> Json:
    """The response at the end."""
    return events[-1]["response"]


FINAL: Final = speech("Take ", "the early ", "boat.")
