"""What the protocol has beside lists and calls: pages, progress, cancellation, and several servers at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from tests.mcp.stage import Neighbour, calls, house, items, neighbour, says, tool
from tests.patience import eventually
from tests.whole.house import Json
from tests.whole.scripts import model_of

DEADLINE = 20.0
FORMS = pytest.mark.parametrize("form", ["/mcp", "/sse"])


@pytest.fixture
async def near() -> AsyncGenerator[Neighbour]:
    async with neighbour() as found:
        yield found


def play(folder: Path, count: int, page: int) -> str:
    """So many tools, on pages of so many."""
    shape: Json = {"type": "object", "properties": {}}
    tools = [{"name": f"tool_{number}", "parameters": shape} for number in range(count)]
    path = folder / "play.json"
    path.write_text(json.dumps({"tools": tools, "page": page, "results": [["tool_6", {}, "six"]]}))
    return str(path)


@FORMS
async def test_all_pages_of_a_list_are_taken(tmp_path: Path, form: str) -> None:
    async with neighbour(PLAY=play(tmp_path, 7, 3)) as paged, house(tmp_path, calls("tool_6"), says()) as served:
        response = await served.create(model="m", input="x", tools=[tool(paged.url + form)])
        assert [each["name"] for each in response["output"][0]["tools"]] == [f"tool_{number}" for number in range(7)]
        assert items(response, "mcp_call")[0]["output"] == "six"
        assert (await paged.counts())["lists"] == 3


async def test_more_tools_than_are_taken_are_said(tmp_path: Path) -> None:
    async with neighbour(PLAY=play(tmp_path, 600, 100)) as paged, house(tmp_path, says()) as served:
        body = {"model": "m", "input": "x", "tools": [tool(paged)]}
        async with served.raw.post(f"{served.url}/v1/responses", json=body) as answer:
            response = await answer.json()
            assert "more tools than the 512" in answer.headers["x-antiphon-warning"]
    assert len(response["output"][0]["tools"]) == 512


@FORMS
async def test_progress_gives_a_call_more_time_and_is_not_shown(near: Neighbour, tmp_path: Path, form: str) -> None:
    step = calls("plod", {"steps": 6, "pause": 0.4})
    async with house(tmp_path, step, says(), sessions={"call": 1.0}) as served, asyncio.timeout(DEADLINE):
        events = await served.stream(model="m", input="x", tools=[tool(near.url + form)])
    assert items(events[-1]["response"], "mcp_call")[0]["output"] == "6 steps"
    assert "on the way" not in json.dumps(events)


@FORMS
async def test_progress_that_never_ends_does(near: Neighbour, tmp_path: Path, form: str) -> None:
    step = calls("plod", {"steps": 1000, "pause": 0.05})
    async with house(tmp_path, step, says(), sessions={"call": 0.2}) as served, asyncio.timeout(DEADLINE):
        response = await served.create(model="m", input="x", tools=[tool(near.url + form)])
    (call,) = items(response, "mcp_call")
    assert call["status"] == "failed"
    assert "did not answer" in call["error"]["message"]


@FORMS
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_call_at_the_server(
    near: Neighbour, tmp_path: Path, form: str, stream: bool
) -> None:
    async with house(tmp_path, calls("sleep", {"seconds": 60}), says()) as served, asyncio.timeout(DEADLINE):
        body = {"model": "m", "input": "x", "tools": [tool(near.url + form)], "stream": stream}

        async def asked() -> None:
            async with (
                aiohttp.ClientSession() as http,
                http.post(f"{served.url}/v1/responses", json=body) as answer,
            ):
                await answer.read()

        async def begun() -> bool:
            return (await near.counts())["calls"] == 1

        async def cancelled() -> bool:
            return (await near.counts()).get("cancelled") == 1

        asking = asyncio.create_task(asked())
        await eventually(begun)
        asking.cancel()
        await eventually(cancelled)


async def test_a_background_response_that_is_cancelled_cancels_the_call_at_the_server(
    near: Neighbour, tmp_path: Path
) -> None:
    async with house(tmp_path, calls("sleep", {"seconds": 60}), says()) as served, asyncio.timeout(DEADLINE):
        response = await served.create(model="m", input="x", tools=[tool(near)], background=True)

        async def begun() -> bool:
            return (await near.counts())["calls"] == 1

        async def cancelled() -> bool:
            return (await near.counts()).get("cancelled") == 1

        await eventually(begun)
        await served.ask("POST", f"/responses/{response['id']}/cancel")
        await eventually(cancelled)


async def test_tools_of_one_name_on_two_servers_stay_apart(near: Neighbour, tmp_path: Path) -> None:
    both: Json = {
        "acts": [
            {
                "act": "calls",
                "calls": [
                    {"name": f"{label}__set_boiling_point", "arguments": {"liquid": label, "point": 1}}
                    for label in ("other", "lab")
                ],
            }
        ]
    }
    async with neighbour() as second, house(tmp_path, both, says()) as served:
        tools = [tool(near), tool(second, server_label="other")]
        response = await served.create(model="m", input="x", tools=tools)
        assert [call["server_label"] for call in items(response, "mcp_call")] == ["other", "lab"]
        assert await near.log() == [{"liquid": "lab", "point": 1}]
        assert await second.log() == [{"liquid": "other", "point": 1}]
        body = {"model": "m", "input": "x", "tools": [tool(near), tool(second)]}
        status, refused = await served.ask("POST", "/responses", body)
        assert (status, refused["error"]["param"]) == (400, "tools[1]")


async def test_the_three_forms_of_allowed_tools(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, *(says() for _ in range(5))) as served:
        for allowed, names in (
            (["flood", "sleep"], {"flood", "sleep"}),
            ({"tool_names": ["flood"]}, {"flood"}),
            ({"read_only": True}, {"get_boiling_point"}),
            ({"read_only": True, "tool_names": ["flood", "get_boiling_point"]}, {"get_boiling_point"}),
            ([], set[str]()),
        ):
            response = await served.create(model="m", input="x", tools=[tool(near, allowed_tools=allowed)])
            assert {each["name"] for each in response["output"][0]["tools"]} == names
            offered = {offer.member for offer in model_of(served).asked[-1].offers}
            assert offered == names
