"""A server in an internet of the test's own, and every way on which a request makes it fetch something.

Law: what the answers say of a URL is checked to tell nothing of it but its host, and nobody went where nothing may go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from aiohttp import web

from antiphon.wire.content import InputText
from antiphon.wire.items import Message
from tests.citing import Citing
from tests.egress.corpus import PRIVATE
from tests.egress.net import SITE, Trap, named, net, trap
from tests.listening import listening
from tests.whole.house import Json, Whole, whole

BATCH: Final = 40
SAYS: Final[Json] = {"acts": [{"act": "says", "text": "Done."}], "repeat": True}
MODELS: Final[list[Json]] = [
    {"name": "reader", "kind": "tests.citing"},
    {"name": "caller", "kind": "scripted", "models": ["s"], "steps": [SAYS]},
]


class Site:
    """Answers `/<status>/...` with a text, or `?to=` with a redirect of that status."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if "to" not in request.query:
            return web.Response(text="the text of a page")
        moved = web.Response(status=int(request.match_info["code"]), headers={"Location": request.query["to"]})
        moved.force_close()  # so that the name is resolved again
        return moved


class House:
    """A server with the rules that it has by default, a site that it may reach, and a trap."""

    def __init__(self, served: Whole, listener: Trap, site: Site) -> None:
        self.served = served
        self.trap = listener
        self.asked = site.asked
        self.headers = site.headers

    def untouched(self) -> bool:
        """Whether nobody went where nothing may go."""
        return (self.trap.connections, net().tried) == (0, [])

    async def errors(self, sink: Sink, urls: Sequence[str]) -> list[str]:
        """What the answers say of each URL; checked to tell nothing."""
        found: list[str] = []
        for start in range(0, len(urls), BATCH):
            batch = [url.replace("{port}", str(self.trap.port)) for url in urls[start : start + BATCH]]
            said = await sink(self.served, batch)
            assert len(said) == len(batch)
            for url, words in zip(batch, said, strict=True):
                assert words, url
                assert len(words) < 400, url
                for secret in ("canary", str(self.trap.port), "Traceback", "passwd"):
                    assert secret not in words, (url, words)
                assert PRIVATE not in words, (url, words)
                assert self.untouched(), (url, net().tried)
            found += said
        return found


Sink: TypeAlias = Callable[[Whole, Sequence[str]], Awaitable[list[str]]]


async def file_urls(served: Whole, urls: Sequence[str]) -> list[str]:
    """`input_file.file_url` in a message."""

    async def one(url: str) -> str:
        content: list[Json] = [{"type": "input_file", "file_url": url}]
        status, found = await served.ask(
            "POST", "/responses", {"model": "s", "input": [{"role": "user", "content": content}]}
        )
        assert (status, found["error"]["param"]) == (400, "input[0].content[0].file_url"), (url, found)
        return found["error"]["message"]

    return await asyncio.gather(*map(one, urls))


async def outputs(served: Whole, urls: Sequence[str]) -> list[str]:
    """`input_file.file_url` in what a function gave, where tokens are counted."""

    async def one(url: str) -> str:
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        given = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_url": url}]}
        body: Json = {"model": "s", "input": [call, given]}
        status, found = await served.ask("POST", "/responses/input_tokens", body)
        assert (status, found["error"]["param"]) == (400, "input[1].output[0].file_url"), (url, found)
        return found["error"]["message"]

    return await asyncio.gather(*map(one, urls))


async def conversations(served: Whole, urls: Sequence[str]) -> list[str]:
    """`input_file.file_url` in a conversation: the model is told."""
    content = [{"type": "input_file", "file_url": url} for url in urls]
    status, made = await served.ask("POST", "/conversations", {"items": [{"role": "user", "content": content}]})
    assert status == 200, made
    wish = json.dumps({"say": "Done."})
    await served.create(model="m", input=wish, conversation=made["id"])
    item = reader(served).asked[-1].context[0].item
    assert isinstance(item, Message)
    return [part.text for part in item.content if isinstance(part, InputText)]


async def pages(served: Whole, urls: Sequence[str]) -> list[str]:
    """A page that the model opens."""
    calls = [{"name": "web_open_page", "arguments": {"url": url}} for url in urls]
    response, said = await searched(served, calls)
    shown = [item["status"] for item in response["output"] if item["type"] == "web_search_call"]
    assert shown == ["failed"] * len(urls)
    return said


async def searched(served: Whole, calls: list[Json]) -> tuple[Json, list[str]]:
    """What comes of these calls in one round, and what the model is told of each."""
    wish = json.dumps({"say": "Done.", "rounds": [calls]})
    response = await served.create(model="m", input=wish, tools=[{"type": "web_search"}])
    told = [entry.exchange.output for entry in reader(served).asked[-1].context if entry.exchange is not None]
    return response, told


def servers(path: str = "") -> Sink:
    """The URL of an MCP server, with this at its end."""

    async def ask(served: Whole, urls: Sequence[str]) -> list[str]:
        tools = [
            {"type": "mcp", "server_label": f"s{place}", "server_url": url + path} for place, url in enumerate(urls)
        ]
        response = await served.create(model="s", input="x", tools=tools)
        listed = [item for item in response["output"] if item["type"] == "mcp_list_tools"]
        assert [item["server_label"] for item in listed] == [tool["server_label"] for tool in tools]
        return [item["error"] for item in listed]

    return ask


SINKS: Final[dict[str, Sink]] = {
    "file_url": file_urls,
    "file_url in an output": outputs,
    "file_url in a conversation": conversations,
    "open_page": pages,
    "MCP, streamable": servers(),
    "MCP, SSE": servers("/sse"),
}


REDIRECTED: Final[dict[str, Sink]] = {**SINKS, "MCP, SSE": servers()}
"""The URLs of the site say themselves what is at their end."""


def reader(served: Whole) -> Citing:
    found = served.composition.catalog.endpoints["reader"]
    assert isinstance(found, Citing)
    return found


@asynccontextmanager
async def house(data: Path, **tree: Any) -> AsyncGenerator[House]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{code}/{path:.*}", site.answer)
    async with trap() as listener, listening(app) as origin:
        net().served[SITE] = int(origin.rpartition(":")[2])
        named({"site.test": [[SITE]]})
        settings: Json = {"models": MODELS, "web_search": {"kind": "tavily", "key": "k"}, "pages": {"open": "any"}}
        async with whole(data, **settings, **tree) as served:
            net().known.add(int(served.url.rpartition(":")[2]))
            yield House(served, listener, site)
