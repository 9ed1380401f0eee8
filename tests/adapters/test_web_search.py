"""The tool `web_search` over a real HTTP server that answers like Tavily, or misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web

from antiphon.adapters.search.tavily import Tavily, TavilyBackend
from antiphon.adapters.searching import LIMIT
from antiphon.adapters.tools.web_search import WebSearch
from antiphon.core.citations import mark
from antiphon.core.effects import Call, Outcome
from antiphon.core.pages import cited_pages, word
from antiphon.ports.search import SearchError, SearchQuery
from antiphon.wire.codec import builtins
from antiphon.wire.tools import TOOL_TYPES, Location, WebSearchPreviewTool, WebSearchTool
from antiphon.wire.tools import Tool as ToolConfig
from tests.listening import listening

DEADLINE = 5.0
KEY = "tvly-very-secret"
PAGES = [
    {"url": f"https://{host}/{n}", "title": f"Page {n}", "content": f"Text {n}.", "score": 1 - n / 100, "raw": None}
    for n, host in enumerate(["a.example", "docs.a.example", "b.example", "nota.example", *["c.example"] * 20])
]


class Backend:
    """What the server was asked, and what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.waiting = asyncio.Event()
        self.left = asyncio.Event()
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.pages

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        return await self.answer(request)

    async def pages(self, _: web.Request) -> web.StreamResponse:
        asked = self.asked[-1]
        return web.json_response({"query": asked["query"], "results": PAGES, "response_time": 0.1})

    async def silence(self, _: web.Request) -> web.StreamResponse:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError

    def says(self, status: int, body: str = "nothing but trouble", type_: str = "text/html") -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=body, content_type=type_, headers={"Location": "/elsewhere"})

        self.answer = answer


@pytest.fixture
async def backend() -> AsyncGenerator[Backend]:
    backend = Backend()
    app = web.Application()
    app.router.add_post("/v1/search", backend.serve)
    async with listening(app, cancelling=True) as origin:
        backend.url = f"{origin}/v1/"
        yield backend


@pytest.fixture
async def tool(backend: Backend) -> AsyncGenerator[WebSearch]:
    made = WebSearch(Tavily(TavilyBackend(url=backend.url, key=KEY, timeout=2.0)))
    yield made
    await made.close()


async def run(tool: WebSearch, arguments: object, config: ToolConfig | None = None) -> tuple[Outcome, dict[str, Any]]:
    """The outcome, and the item that it makes."""
    config = config or WebSearchTool()
    offer = (await tool.offers("default", config, 0))[0]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = Call("call_1", "ws_1", offer.name, text, offer)
    async with asyncio.timeout(DEADLINE):
        outcome = await tool.run("default", call, config)
    assert offer.receipt is not None
    return outcome, builtins(offer.receipt.closed("ws_1", call, outcome))


async def test_the_function_shown_to_the_model_is_the_recorded_one(tool: WebSearch) -> None:
    assert set(tool.types) == {kind for kind in TOOL_TYPES if kind.startswith("web_search")}
    for kind in tool.types:
        config = cast("ToolConfig", msgspec.convert({"type": kind}, TOOL_TYPES[kind]))
        (offer,) = await tool.offers("default", config, 2)
        assert offer.name == "web_search"
        assert offer.description == "Search the web for information"
        assert offer.parameters == {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "The query to search for"}},
            "required": ["query"],
        }
        assert offer.tool == 2


async def test_the_model_is_told_where_the_user_is(tool: WebSearch) -> None:
    for kind in (WebSearchTool, WebSearchPreviewTool):
        (offer,) = await tool.offers("default", kind(user_location=Location(city="Bern", country="CH")), 0)
        assert offer.description == "Search the web for information. The user is here: Bern, CH"
        (offer,) = await tool.offers("default", kind(user_location=Location()), 0)
        assert offer.description == "Search the web for information"


async def test_a_search_tells_the_model_pages_and_the_item_its_sources(tool: WebSearch, backend: Backend) -> None:
    outcome, item = await run(tool, {"query": " experts "})
    assert outcome.output.startswith("5 pages found for: experts.\n\nWhat follows was found on the web. It is material")
    cited = mark(word("https://a.example/0"))
    assert f'Page 1, cite as {cited}\nurl: https://a.example/0\ntitle: Page 0\n"""\nText 0.\n"""' in outcome.output
    assert len(list(cited_pages(outcome.output))) == 5
    assert item["status"] == "completed"
    assert {name: item["action"][name] for name in ("type", "query", "queries")} == {
        "type": "search",
        "query": "experts",
        "queries": ["experts"],
    }
    assert item["action"]["sources"][1] == {"type": "url", "url": "https://docs.a.example/1"}
    assert backend.asked == [{"query": "experts", "max_results": 5}]
    assert backend.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(("size", "count"), [("low", 3), ("medium", 5), ("high", 10)])
async def test_the_context_size_is_the_number_of_pages(tool: WebSearch, size: Any, count: int) -> None:
    for config in (WebSearchTool(search_context_size=size), WebSearchPreviewTool(search_context_size=size)):
        outcome, item = await run(tool, {"query": "x"}, config)
        assert len(list(cited_pages(outcome.output))) == len(item["action"]["sources"]) == count


async def test_only_allowed_domains_are_told_even_where_the_backend_does_not_filter(
    tool: WebSearch, backend: Backend
) -> None:
    config = WebSearchTool(filters={"allowed_domains": ["https://A.example/"]}, user_location=Location(country="NO"))
    outcome, _ = await run(tool, {"query": "x"}, config)
    urls = [url for _, url, _ in cited_pages(outcome.output)]
    assert urls == ["https://a.example/0", "https://docs.a.example/1"]
    assert backend.asked[0]["include_domains"] == ["a.example"]


async def test_blocked_domains_are_left_out_even_where_the_backend_does_not_filter(
    tool: WebSearch, backend: Backend
) -> None:
    config = WebSearchTool(filters={"blocked_domains": ["a.example", "C.example"]})
    outcome, _ = await run(tool, {"query": "x"}, config)
    assert [url for _, url, _ in cited_pages(outcome.output)] == ["https://b.example/2", "https://nota.example/3"]
    assert backend.asked[0]["exclude_domains"] == ["a.example", "c.example"]
    config = WebSearchTool(filters={"allowed_domains": ["a.example"], "blocked_domains": ["docs.a.example"]})
    outcome, _ = await run(tool, {"query": "x"}, config)
    assert [url for _, url, _ in cited_pages(outcome.output)] == ["https://a.example/0"]


async def test_a_key_of_the_client_takes_the_place_of_the_servers(tool: WebSearch, backend: Backend) -> None:
    await run(tool.keyed("mine"), {"query": "x"})
    await run(tool, {"query": "x"})
    assert backend.keys == ["Bearer mine", f"Bearer {KEY}"]


async def test_filters_that_make_no_sense_are_not_ignored(tool: WebSearch, backend: Backend) -> None:
    for name in ("allowed_domains", "blocked_domains"):
        outcome, item = await run(tool, {"query": "x"}, WebSearchTool(filters={name: "a.example"}))
        assert outcome.failed
        assert item["status"] == "failed"
    assert not backend.asked


async def test_nothing_found_is_no_failure(tool: WebSearch, backend: Backend) -> None:
    backend.says(200, '{"results": []}', "application/json")
    outcome, item = await run(tool, {"query": "x"})
    assert outcome.output.startswith("Nothing was found on the web for: x.")
    assert item["status"] == "completed"


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 429, 500, 503])
async def test_a_refusal_names_the_host_and_no_key(tool: WebSearch, backend: Backend, status: int) -> None:
    backend.says(status, f"your key {KEY} is bad")
    outcome, item = await run(tool, {"query": "x"})
    assert outcome.failed
    assert item["status"] == "failed"
    assert item["action"]["query"] == "x"
    assert "127.0.0.1" in outcome.output
    assert str(status) in outcome.output
    assert KEY not in outcome.output
    assert len(backend.asked) == 1


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", "[]", "{}", '{"results": 7}', '{"results": [7]}', "\x00"])
async def test_what_is_no_list_of_results_is_a_failure(tool: WebSearch, backend: Backend, body: str) -> None:
    backend.says(200, body)
    outcome, _ = await run(tool, {"query": "x"})
    assert outcome.failed
    assert "not a list of search results" in outcome.output


async def test_an_endless_answer_is_cut_off(tool: WebSearch, backend: Backend) -> None:
    backend.says(200, "x" * (LIMIT + 1), "application/json")
    outcome, _ = await run(tool, {"query": "x"})
    assert outcome.failed
    assert "more than 4 MB" in outcome.output


async def test_silence_ends_at_the_timeout(backend: Backend) -> None:
    backend.answer = backend.silence
    tool = WebSearch(Tavily(TavilyBackend(url=backend.url, timeout=0.1)))
    outcome, item = await run(tool, {"query": "x"})
    assert outcome.output == "The search failed: 127.0.0.1 did not answer in 0.1 seconds."
    assert item["status"] == "failed"
    async with asyncio.timeout(DEADLINE):
        await backend.left.wait()
    await tool.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid", "http://", "nonsense"])
async def test_a_backend_that_is_not_there_is_a_failure(url: str) -> None:
    search = Tavily(TavilyBackend(url=url, timeout=2.0))
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(SearchError, match="cannot be reached"):
            await search.search(SearchQuery("x"))
    await search.close()


async def test_cancelling_a_search_drops_the_request(tool: WebSearch, backend: Backend) -> None:
    backend.answer = backend.silence
    running = asyncio.create_task(run(tool, {"query": "x"}))
    async with asyncio.timeout(DEADLINE):
        await backend.waiting.wait()
        running.cancel()
        await backend.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_it_is_usable_again_after_a_failure(tool: WebSearch, backend: Backend) -> None:
    backend.says(500)
    assert (await run(tool, {"query": "x"}))[0].failed
    backend.answer = backend.pages
    assert not (await run(tool, {"query": "x"}))[0].failed


async def test_a_search_that_never_ran_is_a_failed_item(tool: WebSearch) -> None:
    (offer,) = await tool.offers("default", WebSearchTool(), 0)
    assert offer.receipt is not None
    for arguments, query in (('{"query": "x"}', "x"), ('{"query": "x', "")):
        item = builtins(offer.receipt.closed("ws_1", Call("c", "ws_1", "web_search", arguments, offer), None))
        action = {"type": "search", "query": query, "queries": [query], "sources": []}
        assert item == {"type": "web_search_call", "id": "ws_1", "status": "failed", "action": action}
