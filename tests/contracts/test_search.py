"""Every search backend against a server that answers as its own does, and against the faults that all servers have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.adapters.searching import LIMIT
from antiphon.ports.search import Search, SearchError, SearchQuery
from antiphon.wire.tools import Location
from tests.contracts.taping import MODES, taped_search
from tests.listening import listening

DEADLINE = 5.0
KEY = "very-secret"
PAGES = [(f"https://a.example/{n}", f"Page {n}", f"Text {n}.") for n in range(30)]

SHAPES: dict[str, Any] = {
    "brave": lambda: {
        "type": "search",
        "web": {"results": [{"url": u, "title": f"<strong>{t}</strong>", "description": c} for u, t, c in PAGES]},
    },
    "searxng": lambda: {
        "query": "x",
        "results": [{"url": u, "title": t, "content": c, "score": 4} for u, t, c in PAGES],
    },
    "tavily": lambda: {"results": [{"url": u, "title": t, "content": c, "score": 0.5} for u, t, c in PAGES]},
}
NOTHING: dict[str, Any] = {"brave": {"type": "search"}, "searxng": {"results": []}, "tavily": {"results": []}}


class Site:
    """A backend's server: what it was asked, and what it answers."""

    def __init__(self, kind: str) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.params: list[dict[str, str]] = []
        self.status = 200
        self.body: str | None = None
        self.answer: Any = SHAPES[kind]()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.silent = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("q") or (await request.json())["query"]
        self.asked.append((text, " ".join(request.headers.values())))
        self.params.append(dict(request.query))
        if self.silent:
            self.arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if self.body is not None:
            return web.Response(status=self.status, text=self.body, headers={"Location": "/elsewhere"})
        return web.json_response(self.answer)


def test_every_backend_is_under_this_contract() -> None:
    assert set(kinds("search")) == set(SHAPES)


@pytest.fixture(params=sorted(SHAPES))
async def site(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[str, Site]]:
    site = Site(request.param)
    app = web.Application()
    app.router.add_route("*", "/{path:(web/)?search}", site.serve)
    async with listening(app, cancelling=True) as origin:
        site.url = f"{origin}/"
        yield request.param, site


@pytest.fixture(params=MODES)
async def search(request: pytest.FixtureRequest, site: tuple[str, Site], tmp_path: Path) -> AsyncGenerator[Search]:
    kind, server = site
    found = adapter("search", kind)
    config = msgspec.convert({"url": server.url, "key": KEY, "timeout": 1.0}, found.config)
    made: Search = found.make(config, Parts(name=kind, clock=SeededClock(), folder=tmp_path))
    yield taped_search(made, str(request.param), tmp_path)
    await made.close()


async def test_hits_come_in_the_order_of_the_backend_and_within_the_limit(
    site: tuple[str, Site], search: Search
) -> None:
    hits = await search.search(SearchQuery("light & houses", 3))
    assert [(hit.url, hit.title, hit.content) for hit in hits] == PAGES[:3]
    assert all(hit.score is None or 0 <= hit.score <= 1 for hit in hits)
    text, headers = site[1].asked[0]
    assert text == "light & houses"
    assert KEY in headers


async def test_domains_and_a_key_of_the_client_reach_the_backend(site: tuple[str, Site], search: Search) -> None:
    wanted = SearchQuery("x", domains=("a.example",), outside=("b.a.example",), key="their-own")
    await search.search(wanted)
    text, headers = site[1].asked[0]
    assert text == "x" if site[0] == "tavily" else text == "x (site:a.example) -site:b.a.example"
    assert "their-own" in headers
    assert KEY not in headers


async def test_a_country_is_passed_on_where_the_backend_takes_one(site: tuple[str, Site], search: Search) -> None:
    await search.search(SearchQuery("x", location=Location(country="CH")))
    assert site[1].params[0].get("country") == ("CH" if site[0] == "brave" else None)


async def test_nothing_found_is_no_error(site: tuple[str, Site], search: Search) -> None:
    site[1].answer = NOTHING[site[0]]
    assert list(await search.search(SearchQuery("x"))) == []


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 503])
async def test_a_refusal_names_the_host_and_no_secret(site: tuple[str, Site], search: Search, status: int) -> None:
    site[1].status, site[1].body = status, f"you sent {KEY}"
    with pytest.raises(SearchError) as caught:
        await search.search(SearchQuery("x"))
    assert "127.0.0.1" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(site[1].asked) == 1  # a redirect is not followed


@pytest.mark.parametrize(
    "body", ["<html>Access denied</html>", "", "[]", '{"results": 3, "web": 4}', "\xff", "[" * 3000]
)
async def test_an_answer_that_is_no_list_of_results_is_an_error(
    site: tuple[str, Site], search: Search, body: str
) -> None:
    site[1].body = body
    with pytest.raises(SearchError):
        await search.search(SearchQuery("x"))


async def test_an_endless_answer_is_cut(site: tuple[str, Site], search: Search) -> None:
    site[1].body = " " * (LIMIT + 1)
    with pytest.raises(SearchError, match="MB"):
        await search.search(SearchQuery("x"))


async def test_silence_is_an_error_and_cancelling_drops_the_request(site: tuple[str, Site], search: Search) -> None:
    site[1].silent = True
    with pytest.raises(SearchError, match="1 seconds"):
        await search.search(SearchQuery("x"))
    site[1].left.clear()
    site[1].arrived.clear()
    async with asyncio.timeout(DEADLINE):
        running = asyncio.ensure_future(search.search(SearchQuery("x")))
        await site[1].arrived.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await site[1].left.wait()


async def test_a_server_that_is_not_there_is_an_error(site: tuple[str, Site], tmp_path: Path) -> None:
    found = adapter("search", site[0])
    config = msgspec.convert({"url": "http://127.0.0.1:9"}, found.config)
    made: Search = found.make(config, Parts(name=site[0], clock=SeededClock(), folder=tmp_path))
    with pytest.raises(SearchError, match="cannot be reached"):
        await made.search(SearchQuery("x"))
    await made.close()
