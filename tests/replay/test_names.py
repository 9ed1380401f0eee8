"""MCP tools that were recorded under their own names."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from antiphon.core.deltas import CallDelta
from antiphon.core.effects import Entry, Exchange, Offer
from antiphon.replay.model import ReplayModel
from antiphon.replay.names import plain
from antiphon.replay.recordings import Recordings, ReplayMissError
from antiphon.wire.tools import NamedChoice
from tests.replay.asking import Json, body, chunk, heard, said, wanted, write

SHAPE: Json = {"type": "object", "properties": {}}
GET = Offer("lab__get", parameters=SHAPE, server="lab", member="get")
OWN = Offer("add", parameters=SHAPE)
CALL: Json = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get", "arguments": "{}"}}


def shown(*names: str) -> list[Json]:
    return [{"type": "function", "function": {"name": name, "parameters": SHAPE}} for name in names]


def test_a_plain_name_stands_for_one_offer() -> None:
    assert plain([GET, OWN]) == {"lab__get": "get"}
    assert plain([OWN]) == {}
    assert plain([GET, replace(GET, name="other__get", server="other")]) == {}
    assert plain([GET, replace(OWN, name="get")]) == {}
    assert plain([replace(GET, server=None)]) == {}


async def test_a_generation_is_found_under_plain_names_and_calls_what_is_offered(tmp_path: Path) -> None:
    asked = body(tools=shown("get", "add"), tool_choice={"type": "function", "function": {"name": "get"}})
    calling = {"role": "assistant", "tool_calls": [CALL]}
    told = {"role": "tool", "tool_call_id": "call_1", "content": "-100"}
    write(tmp_path, "a", asked, [chunk(calls=[CALL]), chunk(finish="tool_calls")])
    write(
        tmp_path, "b", {**body(tools=shown("get", "add")), "messages": [*asked["messages"], calling, told]}, said("Hi")
    )
    model = ReplayModel(Recordings(tmp_path))
    forced = wanted(offers=(GET, OWN), tool_choice=NamedChoice(type="function", name="lab__get"))
    (call,) = [delta for delta in await heard(model, forced) if isinstance(delta, CallDelta)]
    assert (call.name, call.arguments) == ("lab__get", "{}")
    past = Entry(None, Exchange("call_1", "lab__get", "{}", "-100"))
    again = replace(wanted(offers=(GET, OWN)), context=(*forced.context, past))
    assert await heard(model, again)


async def test_our_own_names_come_first_and_a_miss_is_a_miss(tmp_path: Path) -> None:
    write(tmp_path, "a", body(tools=shown("get")), [chunk(calls=[CALL]), chunk(finish="tool_calls")])
    own: Json = {**CALL, "function": {"name": "lab__get", "arguments": '{"own":1}'}}
    write(tmp_path, "b", body(tools=shown("lab__get")), [chunk(calls=[own]), chunk(finish="tool_calls")])
    model = ReplayModel(Recordings(tmp_path))
    (call,) = [delta for delta in await heard(model, wanted(offers=(GET,))) if isinstance(delta, CallDelta)]
    assert (call.name, call.arguments) == ("lab__get", '{"own":1}')
    with pytest.raises(ReplayMissError):
        await heard(model, wanted("Other", offers=(GET,)))
