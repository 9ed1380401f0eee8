"""Calls that need the client's approval: by chain and by conversation, stored and replayed, over a restart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from antiphon.core.recall import MCP_MATERIAL
from tests.mcp.stage import Neighbour, calls, house, items, neighbour, says, tool
from tests.whole.house import Json, Whole
from tests.whole.scripts import model_of

ASKED = {"liquid": "water", "point": 99.0}
SET = calls("set_boiling_point", ASKED)
GET = calls("get_boiling_point", {"liquid": "myawesomeliquid"})
USER: Json = {"type": "message", "role": "user", "content": "Set it."}


@pytest.fixture
async def near() -> AsyncGenerator[Neighbour]:
    async with neighbour() as found:
        yield found


def answer(request: Json, *, approve: bool = True, **fields: Any) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve, **fields}


def seen(served: Whole) -> list[Json]:
    """The conversation as the model saw it last."""
    return chat_messages(model_of(served).asked[-1], Dialect())


class Talk:
    """A conversation that goes on in one of the three ways."""

    def __init__(self, way: str, near: Neighbour) -> None:
        self.way = way
        self.tools = [tool(near, require_approval="always")]
        self.conversation = ""
        self.previous: Json | None = None
        self.replayed: list[Json] = []

    async def say(self, served: Whole, *given: Json, stream: bool = False, **fields: Any) -> Json:
        body: Json = {"model": "m", "input": list(given), "tools": self.tools, **fields}
        if self.way == "conversation":
            if not self.conversation:
                self.conversation = (await served.client.conversations.create()).id
            body["conversation"] = self.conversation
        elif self.way == "chain" and self.previous is not None:
            body["previous_response_id"] = self.previous["id"]
        elif self.way == "replay":
            body |= {"input": [*self.replayed, *given], "store": False}
        response = (await served.stream(**body))[-1]["response"] if stream else await served.create(**body)
        self.previous = response
        self.replayed = [*self.replayed, *given, *response["output"]]
        return response


WAYS = pytest.mark.parametrize("way", ["chain", "conversation", "replay"])


@WAYS
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_runs_before_the_model_is_asked(
    near: Neighbour, tmp_path: Path, way: str, restart: bool, stream: bool
) -> None:
    talk = Talk(way, near)
    done: Json = {}
    messages: list[Json] = []
    async with house(tmp_path, SET, says("Set.")) as served:
        asked = await talk.say(served, USER, stream=stream)
        assert [item["type"] for item in asked["output"]] == ["mcp_list_tools", "mcp_approval_request"]
        assert asked["status"] == "completed"
        (request,) = items(asked, "mcp_approval_request")
        assert (request["name"], request["server_label"]) == ("set_boiling_point", "lab")
        assert (await near.counts())["calls"] == 0
        if not restart:
            done = await talk.say(served, answer(request), stream=stream)
            messages = seen(served)
    if restart:
        async with house(tmp_path, says("Set.")) as served:
            done = await talk.say(served, answer(request), stream=stream)
            messages = seen(served)
    assert [item["type"] for item in done["output"]] == ["mcp_call", "message"]
    (call,) = items(done, "mcp_call")
    assert (call["arguments"], call["approval_request_id"]) == (request["arguments"], request["id"])
    assert (call["status"], call["output"]) == ("completed", "water boils at 99 now")
    assert (await near.counts())["calls"] == 1
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "lab__set_boiling_point"
    assert messages[2]["content"] == f"{MCP_MATERIAL}water boils at 99 now"


@WAYS
async def test_a_denial_is_told_to_the_model(near: Neighbour, tmp_path: Path, way: str) -> None:
    talk = Talk(way, near)
    async with house(tmp_path, SET, says("As you wish."), says("More.")) as served:
        (request,) = items(await talk.say(served, USER), "mcp_approval_request")
        denied = await talk.say(served, answer(request, approve=False, reason="too hot"))
        assert [item["type"] for item in denied["output"]] == ["message"]
        _, called, told = seen(served)
        assert called["tool_calls"][0]["id"] == told["tool_call_id"] == request["id"]
        assert "too hot" in told["content"]
        await talk.say(served, {"role": "user", "content": "And now?"})
        assert [message["role"] for message in seen(served)] == ["user", "assistant", "tool", "assistant", "user"]
    assert (await near.counts())["calls"] == 0


@WAYS
async def test_what_is_not_answered_is_not_run(near: Neighbour, tmp_path: Path, way: str) -> None:
    """Of two requests one is approved; the other is told as not approved, and can be approved later."""
    both = {"acts": [{"act": "calls", "calls": [SET["acts"][0]["calls"][0], GET["acts"][0]["calls"][0]]}]}
    talk = Talk(way, near)
    async with house(tmp_path, both, says("One."), says("Two.")) as served:
        first, second = items(await talk.say(served, USER), "mcp_approval_request")
        one = await talk.say(served, answer(second))
        assert [call["name"] for call in items(one, "mcp_call")] == ["get_boiling_point"]
        told = {m["tool_call_id"]: m["content"] for m in seen(served) if m["role"] == "tool"}
        assert told[first["id"]].startswith("Not run")
        two = await talk.say(served, answer(first))
        assert [call["approval_request_id"] for call in items(two, "mcp_call")] == [first["id"]]
    assert (await near.counts())["calls"] == 2


@WAYS
async def test_an_approval_is_good_for_one_call(near: Neighbour, tmp_path: Path, way: str) -> None:
    talk = Talk(way, near)
    async with house(tmp_path, SET, says(), says("Again."), says()) as served:
        (request,) = items(await talk.say(served, USER), "mcp_approval_request")
        await talk.say(served, answer(request))
        again = await talk.say(served, answer(request))
        assert [item["type"] for item in again["output"]] == ["message"]
        body: Json = {"model": "m", "input": [answer(request, approve=False)], "tools": talk.tools}
        if talk.way == "replay":
            body["input"] = [*talk.replayed, *body["input"]]
        elif talk.way == "chain":
            body["previous_response_id"] = again["id"]
        else:
            body["conversation"] = talk.conversation
        status, refused = await served.ask("POST", "/responses", body)
        assert (status, refused["error"]["param"]) == (400, "input")
    assert (await near.counts())["calls"] == 1


async def test_an_answer_to_nothing_is_refused(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, SET) as served:
        body = {"model": "m", "input": [answer({"id": "mcpr_none"})], "tools": [tool(near)]}
        status, refused = await served.ask("POST", "/responses", body)
        assert (status, refused["error"]["param"]) == (400, "input")
        talk = Talk("chain", near)
        first = await talk.say(served, USER)
        (request,) = items(first, "mcp_approval_request")
        given = {"model": "m", "input": [answer(request)], "previous_response_id": first["id"]}
        status, refused = await served.ask("POST", "/responses", given)
        assert (status, refused["error"]["param"]) == (400, "tools")
    assert (await near.counts())["calls"] == 0


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ("always", {"get_boiling_point", "set_boiling_point"}),
        ("never", set[str]()),
        ({"never": {"tool_names": ["set_boiling_point"]}}, {"get_boiling_point"}),
        ({"always": {"tool_names": ["set_boiling_point"]}}, {"get_boiling_point", "set_boiling_point"}),
        ({"never": {"read_only": True}}, {"set_boiling_point"}),
        ({"never": {}}, {"get_boiling_point", "set_boiling_point"}),
        ({"always": {"read_only": True}, "never": {"read_only": False}}, {"get_boiling_point"}),
    ],
)
async def test_the_policy_decides_which_calls_ask(
    near: Neighbour, tmp_path: Path, policy: Any, asked: set[str]
) -> None:
    both = {"acts": [{"act": "calls", "calls": [SET["acts"][0]["calls"][0], GET["acts"][0]["calls"][0]]}]}
    async with house(tmp_path, both, says()) as served:
        response = await served.create(model="m", input="x", tools=[tool(near, require_approval=policy)])
    assert {item["name"] for item in items(response, "mcp_approval_request")} == asked
    ran = {"get_boiling_point", "set_boiling_point"} - asked
    assert {item["name"] for item in items(response, "mcp_call")} == ran
    assert bool(items(response, "message")) is not bool(asked)
    assert (await near.counts())["calls"] == len(ran)


async def test_approval_is_asked_for_where_nothing_is_said(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, SET) as served:
        declared = {key: value for key, value in tool(near).items() if key != "require_approval"}
        response = await served.create(model="m", input="x", tools=[declared])
    assert [item["type"] for item in response["output"]] == ["mcp_list_tools", "mcp_approval_request"]


async def test_an_approved_call_runs_in_the_background(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, SET, says("Set.")) as served:
        talk = Talk("chain", near)
        first = await talk.say(served, USER)
        (request,) = items(first, "mcp_approval_request")
        body: Json = {"input": [answer(request)], "tools": talk.tools, "previous_response_id": first["id"]}
        events = await served.stream(model="m", background=True, **body)
    kinds = [event["type"] for event in events]
    assert (kinds[-1], kinds.count("response.mcp_call.completed")) == ("response.completed", 1)
    assert (await near.counts())["calls"] == 1
