"""The loop of rounds through the whole server: what runs together, in which order it is told, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from antiphon.core.run import FUTILE
from tests.upstream import DONE, Reply, Upstream, chunk, speech, sse
from tests.whole.house import DEADLINE, Json, Whole, fast, text_of, whole

FUNCTION: Json = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
BODY: Json = {"model": "m", "input": "Hi", "tools": [{"type": "web_search"}]}


class Backend:
    """A search backend whose first searches wait until `together` of them are there; the last of these is answered
    first."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.most = 0
        self.gathered = False
        self.turns: dict[str, asyncio.Event] = {}

    async def search(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.json())["query"])
        turn = self.turns[query] = asyncio.Event()
        self.most = max(self.most, len(self.turns))
        if self.gathered or len(self.turns) >= self.together:
            self.gathered = True
            turn.set()
        async with asyncio.timeout(DEADLINE):
            await turn.wait()
        del self.turns[query]
        if self.turns:
            self.turns[max(self.turns)].set()
        return web.json_response({"results": [{"url": f"https://a.example/{query}", "content": f"About {query}."}]})


@asynccontextmanager
async def backed(data: Path, upstream: Upstream, together: int, **tree: Any) -> AsyncGenerator[tuple[Whole, Backend]]:
    backend = Backend(together)
    app = web.Application()
    app.router.add_post("/search", backend.search)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        search = {"kind": "tavily", "url": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        async with whole(data, models=[fast(upstream)], web_search=search, **tree) as served:
            yield served, backend
    finally:
        await runner.cleanup()


def calls(*made: tuple[str, Json]) -> Reply:
    """A round of calls."""
    parts = [
        {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for n, (name, given) in enumerate(made)
    ]
    return Reply([sse(chunk(tool_calls=parts)), sse(chunk(finish="tool_calls")), DONE])


def searches(*queries: str) -> Reply:
    return calls(*(("web_search", {"query": query}) for query in queries))


def told(upstream: Upstream) -> list[str]:
    """What the model was told of its calls, in order."""
    return [str(one["content"]) for one in upstream.exchanges[-1].json["messages"] if one["role"] == "tool"]


async def test_server_tools_of_a_round_run_together_and_are_told_in_the_order_of_their_calls(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with backed(tmp_path, upstream, together=3) as (served, backend):
        upstream.reply(searches("a", "b", "c"), speech("Done."))
        events = await served.stream(**BODY)
        assert backend.most == 3
        queries = [item["action"]["query"] for item in events[-1]["response"]["output"][:-1]]
        assert queries == ["a", "b", "c"]
        assert [words[: words.index(".")] for words in told(upstream)] == [f"1 page found for: {q}" for q in "abc"]


async def test_no_more_run_together_than_the_limit(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=2, limits={"parallel_tools": 2}) as (served, backend):
        upstream.reply(searches("d", "c", "b", "a"), speech("Done."))
        response = await served.create(**BODY)
        assert backend.most == 2
        assert len(response["output"]) == 5


async def test_a_mixed_round_runs_the_servers_tools_and_ends_with_the_clients_call(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(calls(("web_search", {"query": "a"}), ("f", {}), ("nobody", {})), speech("Done."))
        first = await served.create(**{**BODY, "tools": [*BODY["tools"], FUNCTION]})
        assert [item["type"] for item in first["output"]] == ["web_search_call", "function_call"]
        output = {"type": "function_call_output", "call_id": first["output"][1]["call_id"], "output": "7"}
        second = await served.create(**{**BODY, "input": [output]}, previous_response_id=first["id"])
        assert text_of(second) == "Done."
        assert [words[:6] for words in told(upstream)] == ["1 page", "7"]


async def test_calls_beyond_max_tool_calls_are_refused_in_words(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(searches("a", "b"), speech("Done."))
        response = await served.create(**BODY, max_tool_calls=1)
        assert [item["type"] for item in response["output"]] == ["web_search_call", "message"]
        assert told(upstream)[1].startswith("Not run: this response may make 1 tool calls")
        assert "tools" not in upstream.exchanges[-1].json


async def test_a_tool_that_is_not_allowed_is_not_run_however_the_model_comes_to_call_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    async with backed(tmp_path, upstream, together=1) as (served, backend):
        upstream.reply(searches("a"), calls(("f", {})))
        response = await served.create(**{**BODY, "tools": [*BODY["tools"], FUNCTION]}, tool_choice=allowed)
        assert [item["type"] for item in response["output"]] == ["function_call"]
        assert backend.most == 0
        assert told(upstream) == ["Not run. There is no tool of that name. Those that can be called: f."]
        asked = [exchange.json.get("tool_choice") for exchange in upstream.exchanges]
        assert asked == ["required", None]  # it is forced once


FORCED: Json = {"type": "function", "function": {"name": "web_search"}}


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        ("auto", [None, None]),
        ("required", ["required", None]),
        ({"type": "web_search"}, [FORCED, None]),
        ({"type": "web_search_preview"}, [FORCED, None]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, [None, None]),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}, ["required", None]),
    ],
)
async def test_a_forced_search_is_forced_once_and_its_round_ends(
    tmp_path: Path, upstream: Upstream, choice: Any, asked: list[Any]
) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(searches("a"), speech("Done."))
        _, response = await served.ask("POST", "/responses", {**BODY, "tool_choice": choice})
        assert [item["type"] for item in response["output"]] == ["web_search_call", "message"]
        assert response["tool_choice"] == choice  # of the hosted types OpenAI's document knows the preview names alone
        assert [exchange.json.get("tool_choice") for exchange in upstream.exchanges] == asked


async def test_where_nothing_may_be_called_nothing_is(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, backend):
        upstream.reply(searches("a"), speech("Done."))
        response = await served.create(**BODY, tool_choice="none")
        assert [item["type"] for item in response["output"]] == ["message"]
        assert backend.most == 0
        assert told(upstream) == ["Not run. No tools can be called here. Answer without them."]


async def test_a_forced_function_of_the_client_ends_the_response(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(calls(("f", {})))
        choice = {"type": "function", "name": "f"}
        response = await served.create(**{**BODY, "tools": [*BODY["tools"], FUNCTION]}, tool_choice=choice)
        assert [item["type"] for item in response["output"]] == ["function_call"]
        assert upstream.exchanges[0].json["tool_choice"] == {"type": "function", "function": {"name": "f"}}


async def test_a_tool_choice_that_nothing_serves_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        for choice in ({"type": "file_search"}, {"type": "function", "name": "g"}, {"type": "code_interpreter"}):
            status, answer = await served.ask("POST", "/responses", {**BODY, "tool_choice": choice})
            assert (status, answer["error"]["param"]) == (400, "tool_choice")
        assert upstream.exchanges == []


@pytest.mark.parametrize("written", ["{", "[]", '"a"', "", '{"query": 7}', '{"query": ""}', "[" * 5000])
async def test_arguments_that_make_no_sense_are_fed_back(tmp_path: Path, upstream: Upstream, written: str) -> None:
    part = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "web_search", "arguments": written}}
    broken = Reply([sse(chunk(tool_calls=[part])), sse(chunk(finish="tool_calls")), DONE])
    async with backed(tmp_path, upstream, together=1) as (served, backend):
        upstream.reply(broken, searches("a"), speech("Done."))
        response = await served.create(**BODY)
        assert response["status"] == "completed"
        assert [item.get("status") for item in response["output"]] == ["failed", "completed", "completed"]
        assert "the arguments must be a JSON object like" in told(upstream)[0]
        assert backend.most == 1
        arguments = upstream.exchanges[1].json["messages"][-2]["tool_calls"][0]["function"]["arguments"]
        assert isinstance(json.loads(arguments), dict)  # as chat templates need it


async def test_a_model_that_calls_what_there_is_not_is_told_and_ended(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(*[calls(("nobody", {}))] * FUTILE)
        response = await served.create(**BODY)
        assert (response["status"], response["output"]) == ("failed", [])
        assert "cannot be made" in response["error"]["message"]
        assert len(upstream.exchanges) == FUTILE
        assert "There is no tool of that name" in told(upstream)[-1]


async def test_rounds_end(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1, limits={"rounds": 3}) as (served, _):
        upstream.reply(*[searches("a")] * 3)
        response = await served.create(**BODY)
        assert response["status"] == "failed"
        assert "still calling tools after 3 rounds" in response["error"]["message"]
        assert len(upstream.exchanges) == 3


async def test_what_a_tool_gives_is_cut_for_the_model_and_it_is_said(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1, limits={"tool_output_kb": 1}) as (served, _):
        upstream.reply(searches("x" * 5000), speech("Done."))
        await served.create(**BODY)
        (output,) = told(upstream)
        assert "\n[cut: the first 1024 of " in output
        assert len(output.encode()) < 1100


async def test_calls_of_several_rounds_count_against_max_tool_calls(tmp_path: Path, upstream: Upstream) -> None:
    async with backed(tmp_path, upstream, together=1) as (served, _):
        upstream.reply(searches("a"), searches("b", "c"), speech("Done."))
        response = await served.create(**{**BODY, "tools": [*BODY["tools"], FUNCTION]}, max_tool_calls=2)
        assert [item["type"] for item in response["output"]] == ["web_search_call", "web_search_call", "message"]
        assert told(upstream)[2].startswith("Not run: this response may make 2 tool calls")
        assert [tool["function"]["name"] for tool in upstream.exchanges[-1].json["tools"]] == ["f"]
