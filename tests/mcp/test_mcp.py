"""The `mcp` tool through the whole server, with real MCP servers in processes of their own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from time import process_time

import pytest

from antiphon.adapters.egress.addresses import Rules, listed
from antiphon.adapters.egress.doorway import Doorway
from antiphon.adapters.mcp.pool import McpPool
from antiphon.ports.mcp import McpServer
from tests.mcp.stage import Neighbour, calls, house, items, neighbour, says, tool

BOILING = calls("get_boiling_point", {"liquid": "myawesomeliquid"})


@pytest.fixture
async def near() -> AsyncGenerator[Neighbour]:
    async with neighbour() as found:
        yield found


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_call_is_streamed_as_openai_does(near: Neighbour, tmp_path: Path, path: str) -> None:
    async with house(tmp_path, BOILING, says("-100.")) as served:
        events = await served.stream(model="m", input="How hot?", tools=[tool(near.url + path)])
    told = [event["type"].removeprefix("response.") for event in events]
    assert told[2:13] == [
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
        "output_item.added",
    ]
    listed, call, _ = events[-1]["response"]["output"]
    assert events[2]["item"]["tools"] == []
    assert "error" not in listed
    assert {each["name"] for each in listed["tools"]} >= {"get_boiling_point", "set_boiling_point"}
    assert listed["tools"][0]["annotations"]["readOnlyHint"] is True
    assert (call["status"], call["output"], call["error"], call["name"]) == (
        "completed",
        "-100",
        None,
        "get_boiling_point",
    )
    assert "approval_request_id" not in call
    assert items(events[-1]["response"], "message")[0]["content"][0]["text"] == "-100."


async def test_the_list_is_told_once_in_a_conversation(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, says("a"), BOILING, says("b"), says("c")) as served:
        first = await served.create(model="m", input="x", tools=[tool(near)])
        second = await served.create(model="m", input="y", tools=[tool(near)], previous_response_id=first["id"])
        replayed = [{"role": "user", "content": "x"}, *first["output"], {"role": "user", "content": "z"}]
        third = await served.create(model="m", input=replayed, tools=[tool(near)], store=False)
    assert [item["type"] for item in first["output"]] == ["mcp_list_tools", "message"]
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert [item["type"] for item in third["output"]] == ["message"]


async def test_a_session_and_its_list_are_used_by_later_requests(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, BOILING, says(), BOILING, says()) as served:
        await served.create(model="m", input="x", tools=[tool(near)])
        before = await near.counts()
        await served.create(model="m", input="x", tools=[tool(near)])
        after = await near.counts()
    assert (after["posts"] - before["posts"], after["calls"] - before["calls"]) == (1, 1)


async def test_a_second_call_on_a_session_is_cheap(near: Neighbour, tmp_path: Path) -> None:
    """Our own part stays within a small bound also on a busy machine; `bench` says what it is on a quiet one."""
    pool = McpPool(Doorway(Rules(allow=listed(["127.0.0.1"]))), Doorway(Rules()))
    server = McpServer(url=f"{near.url}/mcp")
    arguments = {"liquid": "myawesomeliquid"}
    try:
        assert (await pool.call("p", server, "get_boiling_point", arguments)).text == "-100"
        spent = process_time()
        for _ in range(20):
            await pool.call("p", server, "get_boiling_point", arguments)
        spent = (process_time() - spent) / 20
    finally:
        await pool.close()
    assert spent < 0.02, f"{spent * 1000:.1f} ms"
