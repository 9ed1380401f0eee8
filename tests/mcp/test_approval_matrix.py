"""Approvals in every way that a conversation goes on, over a real process that may be killed between the turns.

Each test takes one thing that a client may answer through all cells: continuity, `store`, and the form of the request.
The endpoint of the model is ours, so that what the model is told is what stands in its requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from antiphon.adapters.tools.mcp import SPENT
from antiphon.core.prologue import UNKNOWN
from tests.grammar import check, parse_sse
from tests.mcp.stage import Neighbour, items, neighbour, started, tool
from tests.patience import eventually
from tests.process import Serving, serving
from tests.upstream import DONE, Reply, Upstream, chunk, running, speech, sse, usage

DEADLINE = 20.0
MAX = 120.0
Json = dict[str, Any]
RESTART = pytest.mark.parametrize("restart", [False, True], ids=["same-process", "killed"])
CONTINUED = [
    ("chain", True),
    ("conversation", True),
    ("conversation", False),
    ("replay", True),
    ("replay", False),
]
FORMS = ["whole", "stream", "background", "background stream"]
SETS = "lab__set_boiling_point"


class Cell(msgspec.Struct):
    """A conversation in one way."""

    way: str
    store: bool
    form: str
    label: str
    conversation: str = ""
    previous: str | None = None
    said: list[Json] = msgspec.field(default_factory=list[Json])
    requests: list[Json] = msgspec.field(default_factory=list[Json])

    @property
    def body(self) -> Json:
        """What makes the next turn a continuation; the background needs what is stored."""
        body: Json = {"model": "m", "store": self.store, "stream": "stream" in self.form}
        if "background" in self.form:
            body["background"] = True
        if self.way == "conversation":
            body["conversation"] = self.conversation
        elif self.way == "chain" and self.previous:
            body["previous_response_id"] = self.previous
        return body

    def given(self, new: Sequence[Json]) -> list[Json]:
        """The input: all of it, where nothing is kept."""
        return [*self.said, *new] if self.way == "replay" or not self.store else [*new]

    def went_on(self, new: Sequence[Json], response: Json) -> None:
        self.previous = response["id"]
        self.said = [*self.said, *new, *response["output"]]


def cells() -> list[Cell]:
    return [
        Cell(way, store, form, f"{way}-{'kept' if store else 'unkept'}-{form.replace(' ', '-')}")
        for way, store in CONTINUED
        for form in FORMS
        if store or "background" not in form
    ]


class Stage:
    """Our server, the model's endpoint and the MCP server."""

    def __init__(self, home: Path, upstream: Upstream, near: Neighbour, http: aiohttp.ClientSession) -> None:
        self.home = home
        self.upstream = upstream
        self.near = near
        self.http = http
        self.server: Serving | None = None
        self.tools: list[Json] = []

    @asynccontextmanager
    async def up(self) -> AsyncGenerator[None]:
        """The server, killed at the end."""
        models = [{"name": "test", "base_url": self.upstream.url, "models": ["m"]}]
        variables = {
            "ANTIPHON_MODELS": json.dumps(models),
            "ANTIPHON_EGRESS_ALLOW": "127.0.0.1",
            "ANTIPHON_EMBEDDER_KIND": "none",
            "ANTIPHON_LIMITS_LEASE": "1",
        }
        async with serving(self.home, variables=variables) as self.server:
            yield
            self.server.process.kill()

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        assert self.server is not None
        async with asyncio.timeout(DEADLINE):
            async with self.http.request(method, f"{self.server.url}/v1{path}", json=body) as answer:
                if answer.content_type == "text/event-stream":
                    events = parse_sse(await answer.read())
                    check(events)
                    return answer.status, events[-1]["response"]
                return answer.status, await answer.json()

    async def open(self, cell: Cell) -> None:
        if cell.way == "conversation":
            cell.conversation = (await self.ask("POST", "/conversations", {}))[1]["id"]

    async def turn(self, cell: Cell, *new: Json, fork: bool = False, **fields: Any) -> Json:
        """A turn that is taken, to its end; with `fork` the conversation goes on without it."""
        body = {**cell.body, "tools": self.tools, "input": cell.given(new), **fields}
        status, response = await self.ask("POST", "/responses", body)
        assert status == 200, (cell.label, response)
        while response["status"] in {"queued", "in_progress"}:
            response = (await self.ask("GET", f"/responses/{response['id']}"))[1]
        assert response["status"] == "completed", (cell.label, response)
        if not fork:
            cell.went_on(new, response)
        return response

    async def refused(self, cell: Cell, *new: Json, **fields: Any) -> Json:
        """The error of a turn that is refused with 400."""
        asked = len(self.upstream.exchanges)
        body = {**cell.body, "tools": self.tools, "input": cell.given(new), **fields}
        status, answer = await self.ask("POST", "/responses", body)
        assert status == 400, (cell.label, answer)
        assert len(self.upstream.exchanges) == asked
        return answer["error"]

    async def asked(self, cell: Cell, *liquids: str) -> None:
        """The first turn: the model wants to set these boiling points."""
        await self.open(cell)
        self.upstream.reply(calling(*liquids))
        response = await self.turn(cell, {"type": "message", "role": "user", "content": "Set it."})
        cell.requests = items(response, "mcp_approval_request")
        assert [json.loads(each["arguments"])["liquid"] for each in cell.requests] == [*liquids]

    def told(self) -> list[Json]:
        """What the model was asked last."""
        return self.upstream.exchanges[-1].json["messages"]

    async def ran(self, liquid: str) -> list[Json]:
        return [each for each in await self.near.log() if each["liquid"] == liquid]


def calling(*liquids: str) -> Reply:
    """A generation that wants to set these boiling points."""
    calls = [
        {
            "index": place,
            "id": f"call_{liquid}",
            "type": "function",
            "function": {"name": SETS, "arguments": json.dumps({"liquid": liquid, "point": 1.5})},
        }
        for place, liquid in enumerate(liquids)
    ]
    made = chunk(role="assistant", tool_calls=calls)
    return Reply([sse(made), sse(chunk(finish="tool_calls")) + sse(usage()) + DONE])


def yes(request: Json) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}


def no(request: Json, reason: str) -> Json:
    return {**yes(request), "approve": False, "reason": reason}


@asynccontextmanager
async def stage(home: Path) -> AsyncGenerator[Stage]:
    async with neighbour() as near, running() as upstream, aiohttp.ClientSession() as http:
        made = Stage(home, upstream, near, http)
        made.tools = [tool(near, require_approval="always")]
        async with asyncio.timeout(MAX):
            yield made


@asynccontextmanager
async def answered(home: Path, restart: bool, *names: str) -> AsyncGenerator[tuple[Stage, list[Cell]]]:
    """Every cell behind its first turn, which asks for one boiling point for each of the names."""
    async with stage(home) as made:
        talks = cells()
        async with made.up():
            for cell in talks:
                await made.asked(cell, *(f"{cell.label}-{name}" for name in names or ("a",)))
            assert not await made.near.log()
            if not restart:
                yield made, talks
        if restart:
            async with made.up():
                yield made, talks


@RESTART
async def test_an_approved_call_is_made_once_as_it_was_asked_for(tmp_path: Path, restart: bool) -> None:
    async with answered(tmp_path, restart) as (made, talks):
        for cell in talks:
            (request,) = cell.requests
            made.upstream.reply(speech("Set."))
            asked = len(made.upstream.exchanges)
            done = await made.turn(cell, yes(request))
            assert [item["type"] for item in done["output"]] == ["mcp_call", "message"], cell.label
            (call,) = items(done, "mcp_call")
            assert (call["arguments"], call["approval_request_id"]) == (request["arguments"], request["id"])
            assert await made.ran(f"{cell.label}-a") == [json.loads(request["arguments"])], cell.label
            assert len(made.upstream.exchanges) == asked + 1  # behind the call, which it is told of
            assert made.told()[-1]["role"] == "tool"
            assert f"{cell.label}-a boils at 1.5 now" in made.told()[-1]["content"]


@RESTART
async def test_a_denied_call_is_not_made_and_the_model_is_told_why(tmp_path: Path, restart: bool) -> None:
    async with answered(tmp_path, restart) as (made, talks):
        for cell in talks:
            made.upstream.reply(speech("As you wish."))
            done = await made.turn(cell, no(cell.requests[0], "far too hot"))
            assert [item["type"] for item in done["output"]] == ["message"], cell.label
            assert "far too hot" in made.told()[-1]["content"]
        assert not await made.near.log()


@RESTART
async def test_of_several_requests_those_that_are_answered_count(tmp_path: Path, restart: bool) -> None:
    """Of three one is approved, one denied, one left open; that one is approved in a later turn."""
    async with answered(tmp_path, restart, "a", "b", "c") as (made, talks):
        for cell in talks:
            first, second, third = cell.requests
            made.upstream.reply(speech("One."), speech("What now?"), speech("Two."))
            done = await made.turn(cell, no(first, "no"), yes(second))
            assert [item["approval_request_id"] for item in items(done, "mcp_call")] == [second["id"]]
            told = {each["tool_call_id"]: each["content"] for each in made.told() if each["role"] == "tool"}
            assert len(told) == 3, cell.label
            assert sum("not approved" in words for words in told.values()) == 1
            await made.turn(cell, {"type": "message", "role": "user", "content": "And?"})
            later = await made.turn(cell, yes(third))
            assert [item["approval_request_id"] for item in items(later, "mcp_call")] == [third["id"]], cell.label
            ran = [len(await made.ran(f"{cell.label}-{name}")) for name in "abc"]
            assert ran == [0, 1, 1], cell.label


@RESTART
async def test_a_request_is_answered_once(tmp_path: Path, restart: bool) -> None:
    """Twice in one input is once; again in a later turn is nothing; the other way round is refused."""
    async with answered(tmp_path, restart) as (made, talks):
        for cell in talks:
            (request,) = cell.requests
            error = await made.refused(cell, yes(request), no(request, "no"))
            assert error["param"] == "input"
            made.upstream.reply(speech("Set."), speech("It is set."))
            await made.turn(cell, yes(request), yes(request))
            again = await made.turn(cell, yes(request))
            assert [item["type"] for item in again["output"]] == ["message"], cell.label
            assert (await made.refused(cell, no(request, "no")))["param"] == "input"
            assert len(await made.ran(f"{cell.label}-a")) == 1, cell.label


@RESTART
async def test_a_turn_that_is_sent_again_does_not_call_again(tmp_path: Path, restart: bool) -> None:
    """A client that saw no answer sends its approval once more, from where it was."""
    async with answered(tmp_path, restart) as (made, talks):
        for cell in talks:
            (request,) = cell.requests
            made.upstream.reply(speech("Set."), speech("Who knows."))
            await made.turn(cell, yes(request), fork=True)
            again = await made.turn(cell, yes(request))
            assert len(await made.ran(f"{cell.label}-a")) == 1, cell.label
            calls = items(again, "mcp_call")
            if cell.way == "conversation" and cell.store:  # which holds the call
                assert not calls
            else:
                assert [call["status"] for call in calls] == ["failed"], cell.label
                assert calls[0]["error"]["content"][0]["text"] == SPENT
                assert SPENT in made.told()[-1]["content"]


@RESTART
@pytest.mark.parametrize("change", ["GONE", "CHANGED"])
async def test_a_tool_that_is_not_what_it_was_is_told(tmp_path: Path, restart: bool, change: str) -> None:
    async with answered(tmp_path, restart) as (made, talks):
        await made.near.kill()
        again = await started(PORT=str(made.near.port), **{change: "set_boiling_point"})
        try:
            for cell in talks:
                made.upstream.reply(speech("It cannot be."))
                done = await made.turn(cell, yes(cell.requests[0]))
                (call,) = items(done, "mcp_call")
                assert (call["status"], call["output"]) == ("failed", None), cell.label
                assert made.told()[-1]["role"] == "tool"
            assert not await again.log()
        finally:
            await again.kill()


@RESTART
async def test_a_tool_that_is_allowed_no_more_is_not_called(tmp_path: Path, restart: bool) -> None:
    async with answered(tmp_path, restart) as (made, talks):
        allowed = [tool(made.near, require_approval="always", allowed_tools=["get_boiling_point"])]
        for cell in talks:
            made.upstream.reply(speech("It cannot be."))
            done = await made.turn(cell, yes(cell.requests[0]), tools=allowed)
            assert [item["status"] for item in items(done, "mcp_call")] == ["failed"], cell.label
            assert "not offered any more" in made.told()[-1]["content"]
        assert not await made.near.log()


async def test_answers_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    """An id that nobody has, that of another conversation, and a server that is not declared."""
    async with answered(tmp_path, False) as (made, talks):
        other = [tool(made.near, require_approval="always", server_label="other")]
        foreign = talks[-1].requests[0]
        for cell in talks[:-1]:
            (request,) = cell.requests
            assert (await made.refused(cell, yes({"id": "mcpr_nobody"})))["param"] == "input", cell.label
            assert (await made.refused(cell, yes(foreign)))["param"] == "input", cell.label
            assert (await made.refused(cell, yes(request), tools=other))["param"] == "tools", cell.label
            assert (await made.refused(cell, yes(request), tools=[]))["param"] == "tools", cell.label
            made.upstream.reply(speech("Set."))
            await made.turn(cell, yes(request))  # it is still good
        assert len(await made.near.log()) == len(talks) - 1


async def test_a_process_that_is_killed_in_the_middle_of_an_approved_call_does_not_make_it_again(
    tmp_path: Path,
) -> None:
    """In the background the run goes on and the model is told; in the foreground the client asks again and is. (Then
    a conversation is locked for a minute, which is not waited for here.)"""
    async with stage(tmp_path) as made:
        arguments = json.dumps({"seconds": 60})
        sleeping = {"index": 0, "id": "call_s", "function": {"name": "lab__sleep", "arguments": arguments}}
        talks = [cell for cell in cells() if cell.way != "conversation" or "background" in cell.form]
        made.upstream.default = speech("I do not know.")
        async with made.up():
            for cell in talks:
                await made.open(cell)
                calls = chunk(role="assistant", tool_calls=[sleeping])
                made.upstream.reply(Reply([sse(calls), sse(chunk(finish="tool_calls")) + sse(usage()) + DONE]))
                response = await made.turn(cell, {"type": "message", "role": "user", "content": "Sleep."})
                cell.requests = items(response, "mcp_approval_request")
            before = (await made.near.counts())["calls"]
            left = [asyncio.create_task(_given_up(made, cell)) for cell in talks]

            async def all_of_them() -> bool:
                return (await made.near.counts())["calls"] == before + len(talks)

            await eventually(all_of_them, deadline=DEADLINE)
        await asyncio.gather(*left)
        async with made.up():
            for cell in talks:
                if "background" in cell.form:
                    assert cell.previous is not None
                    done = await _over(made, cell)
                else:
                    done = await made.turn(cell, yes(cell.requests[0]))
                assert [call["status"] for call in items(done, "mcp_call")] == ["failed"], (
                    cell.label,
                    json.dumps(done),
                )
                (call,) = items(done, "mcp_call")
                assert (call["error"]["content"][0]["text"]) in {UNKNOWN, SPENT}, cell.label
        assert (await made.near.counts())["calls"] == before + len(talks)


async def _given_up(made: Stage, cell: Cell) -> None:
    """The approving turn, which the end of the process cuts; of a run in the background the id is kept."""
    assert made.server is not None
    body = {**cell.body, "tools": made.tools, "input": cell.given([yes(cell.requests[0])])}
    if "background" in cell.form:
        status, response = await made.ask("POST", "/responses", {**body, "stream": False})
        assert status == 200, response
        cell.previous = response["id"]
        return
    try:
        async with made.http.post(f"{made.server.url}/v1/responses", json=body) as answer:
            await answer.read()
    except aiohttp.ClientError:
        return


async def _over(made: Stage, cell: Cell) -> Json:
    """The response that was taken up, when it has ended."""
    found: Json = {}

    async def ended() -> bool:
        found.update((await made.ask("GET", f"/responses/{cell.previous}"))[1])
        return found["status"] not in {"queued", "in_progress"}

    await eventually(ended, deadline=DEADLINE)
    return found
