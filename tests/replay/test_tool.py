"""Replaying tools and searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.tools.web_search import WebSearch
from antiphon.core.effects import Call
from antiphon.core.pages import cited_pages
from antiphon.ports.search import SearchError, SearchQuery
from antiphon.replay.recordings import RecordingError, Recordings, ReplayMissError
from antiphon.replay.tool import ReplaySearch, ReplayTool
from antiphon.wire.tools import WebSearchTool
from tests.replay.asking import Json, write
from tests.shared import SHARED, needs_shared

PAGES = {"query": "x", "top_k": [{"url": f"https://a.example/{n}", "title": "T", "content": "C"} for n in range(9)]}


def asked(**arguments: Any) -> Json:
    return {"tool_name": "web_search", "provider": "p", "kwargs": arguments}


def result(content: Any, error: str | None = None) -> Json:
    return {"content": content, "error_message": error}


async def call(tool: ReplayTool | WebSearch, arguments: str) -> Call:
    (offer,) = await tool.offers("default", WebSearchTool(), 0)
    return Call("call_1", "ws_1", offer.name, arguments, offer)


async def test_a_search_gives_the_recorded_pages_up_to_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "a", asked(query="x"), result(json.dumps(PAGES)))
    search = ReplaySearch(Recordings(tmp_path))
    hits = await search.search(SearchQuery("x", 3))
    assert [hit.url for hit in hits] == ["https://a.example/0", "https://a.example/1", "https://a.example/2"]
    with pytest.raises(
        ReplayMissError, match=r"a\.json; it differs at \$\.arguments\.query: asked \"y\", recorded \"x\""
    ):
        await search.search(SearchQuery("y"))
    await search.close()


async def test_a_search_that_failed_fails_again(tmp_path: Path) -> None:
    write(tmp_path, "a", asked(query="x"), result(None, "no key"))
    write(tmp_path, "b", asked(query="y"), result("not JSON"))
    write(tmp_path, "c", asked(query="z"), {"status_code": 500, "body": {"message": "down"}})
    search = ReplaySearch(Recordings(tmp_path))
    with pytest.raises(SearchError, match="no key"):
        await search.search(SearchQuery("x"))
    with pytest.raises(RecordingError):
        await search.search(SearchQuery("y"))
    with pytest.raises(SearchError, match="down"):
        await search.search(SearchQuery("z"))


async def test_a_tool_answers_from_its_recordings(tmp_path: Path) -> None:
    write(tmp_path, "a", asked(query="x"), result("found"))
    write(tmp_path, "b", asked(query="y"), result(None, "it broke"))
    write(tmp_path, "c", asked(query="z"), result([{"type": "text", "text": "part"}]))
    recordings = Recordings(tmp_path)
    tool = ReplayTool(WebSearch(ReplaySearch(recordings)), recordings)
    assert "web_search" in tool.types
    assert tool.repeatable
    outcome = await tool.run("default", await call(tool, '{ "query": "x" }'), WebSearchTool())
    assert (outcome.call_id, outcome.output, outcome.failed) == ("call_1", "found", False)
    assert (await tool.run("default", await call(tool, '{"query": "y"}'), WebSearchTool())).failed
    assert "part" in (await tool.run("default", await call(tool, '{"query": "z"}'), WebSearchTool())).output
    assert (await tool.run("default", await call(tool, "{"), WebSearchTool())).failed
    with pytest.raises(ReplayMissError):
        await tool.run("default", await call(tool, '{"query": "?"}'), WebSearchTool())
    await tool.close()


@needs_shared
async def test_every_recorded_search_replays_through_the_tool() -> None:
    tool = WebSearch(ReplaySearch(Recordings(SHARED / "recordings")))
    searched = 0
    for path in sorted((SHARED / "recordings").rglob("*.json")):
        exchange = json.loads(path.read_bytes())
        if exchange["request"].get("tool_name") != "web_search":
            continue
        searched += 1
        recorded = json.loads(exchange["response"]["body"]["__data__"]["content"])
        outcome = await tool.run(
            "default", await call(tool, json.dumps(exchange["request"]["kwargs"])), WebSearchTool()
        )
        told = [(url, title) for _, url, title in cited_pages(outcome.output)]
        assert told == [(page["url"], page["title"]) for page in recorded["top_k"]]
        assert outcome.fields["urls"] == [page["url"] for page in recorded["top_k"]]
    assert searched == 4
