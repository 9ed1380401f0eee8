"""MCP servers that are absent, slow, broken, huge, changing or strict; and secrets, which appear nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.mcp.stage import LOOPBACK, Neighbour, calls, house, items, neighbour, says, started, tool
from tests.patience import eventually
from tests.whole.house import Json
from tests.whole.scripts import model_of

DEADLINE = 15.0
TOKEN = "tok-canary-5f1e9c"
BOILING = calls("get_boiling_point", {"liquid": "myawesomeliquid"})


@pytest.fixture
async def near() -> AsyncGenerator[Neighbour]:
    async with neighbour() as found:
        yield found


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/garbage", "text/html"),
        ("/junk", "parse"),
        ("/loop", "redirects too often"),
        ("/failing", "HTTP 500"),
        ("/nothing", "HTTP 404"),
        ("/slow", "in time"),
    ],
)
async def test_a_server_that_fails_is_told_in_its_item_and_the_turn_goes_on(
    near: Neighbour, tmp_path: Path, path: str, words: str
) -> None:
    bad = tool(near.url + path, server_label="bad")
    sessions = {"connect": 1.0}
    async with house(tmp_path, BOILING, says("Still here."), sessions=sessions) as served:
        async with asyncio.timeout(DEADLINE):
            events = await served.stream(model="m", input="x", tools=[bad, tool(near)])
    response = events[-1]["response"]
    failed, listed, call, _ = response["output"]
    assert (failed["server_label"], failed["tools"], listed["server_label"]) == ("bad", [], "lab")
    assert words in failed["error"].replace("Failed to parse", "parse"), failed["error"]
    assert "127.0.0.1" in failed["error"]
    assert "secret details" not in json.dumps(response)
    assert call["status"] == "completed"
    kinds = [event["type"] for event in events]
    assert kinds.index("response.mcp_list_tools.failed") < kinds.index("response.mcp_list_tools.completed")


async def test_an_absent_server_and_a_forbidden_one_are_told_in_their_items(tmp_path: Path) -> None:
    server = await started()
    await server.kill()
    async with house(tmp_path, says()) as served:
        response = await served.create(model="m", input="x", tools=[tool(server)])
        assert "could not be reached" in response["output"][0]["error"]
    async with house(tmp_path, says(), egress={}) as served:
        response = await served.create(model="m", input="x", tools=[tool(server)])
        assert "not an address" in response["output"][0]["error"]


async def test_credentials_that_are_refused_are_the_clients_401(tmp_path: Path) -> None:
    async with neighbour(TOKEN=TOKEN) as strict, house(tmp_path, BOILING, says(), says()) as served:
        body: Json = {"model": "m", "input": "x", "tools": [tool(strict, authorization="wrong-one-entirely")]}
        status, refused = await served.ask("POST", "/responses", body)
        assert (status, refused["error"]["param"]) == (401, "tools[0]")
        assert "wrong-one" not in json.dumps(refused)
        right = await served.create(model="m", input="x", tools=[tool(strict, authorization=TOKEN)])
        assert items(right, "mcp_call")[0]["output"] == "-100"
        body["tools"].append({"type": "function", "name": "f"})
        mixed = await served.create(**body)
        assert "HTTP 401" in mixed["output"][0]["error"]


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_server_that_dies_is_told_and_reached_again(tmp_path: Path, path: str) -> None:
    server = await started()
    async with house(tmp_path, calls("die"), says("Gone."), BOILING, says("Back.")) as served:
        declared = tool(server.url + path)
        async with asyncio.timeout(DEADLINE):
            first = await served.create(model="m", input="x", tools=[declared])
        (call,) = items(first, "mcp_call")
        assert (call["status"], call["output"]) == ("failed", None)
        assert call["error"]["type"] in {"mcp_protocol_error", "http_error"}
        await server.kill()
        again = await started(PORT=str(server.port))
        try:
            async with asyncio.timeout(DEADLINE):
                second = await served.create(model="m", input="x", tools=[declared], previous_response_id=first["id"])
        finally:
            await again.kill()
    assert items(second, "mcp_call")[0]["output"] == "-100"


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_pooled_session_whose_server_was_restarted_is_made_again(tmp_path: Path, path: str) -> None:
    server = await started()
    async with house(tmp_path, BOILING, says(), BOILING, says()) as served:
        await served.create(model="m", input="x", tools=[tool(server.url + path)])
        await server.kill()
        again = await started(PORT=str(server.port))
        try:
            async with asyncio.timeout(DEADLINE):
                second = await served.create(model="m", input="x", tools=[tool(server.url + path)])
        finally:
            await again.kill()
    assert items(second, "mcp_call")[0]["output"] == "-100"


async def test_errors_of_a_tool_and_of_the_protocol_are_structured(near: Neighbour, tmp_path: Path) -> None:
    steps = (calls("get_boiling_point", {"liquid": "tar"}), calls("get_boiling_point", '{"liquid": '), says())
    async with house(tmp_path, *steps) as served:
        response = await served.create(model="m", input="x", tools=[tool(near)])
        told = [entry.exchange.output for entry in model_of(served).asked[-1].context if entry.exchange]
    first, second = items(response, "mcp_call")
    assert first["status"] == second["status"] == "failed"
    assert first["error"]["type"] == "mcp_tool_execution_error"
    assert "nobody knows tar" in first["error"]["content"][0]["text"]
    assert "nobody knows tar" in told[0]
    assert "not as described" in told[1]


async def test_a_slow_call_is_given_up_and_the_server_hears_of_it(near: Neighbour, tmp_path: Path) -> None:
    sessions = {"call": 0.5}
    async with house(tmp_path, calls("sleep", {"seconds": 30}), says(), sessions=sessions) as served:
        async with asyncio.timeout(DEADLINE):
            response = await served.create(model="m", input="x", tools=[tool(near)])
        (call,) = items(response, "mcp_call")
        assert "0.5 seconds" in call["error"]["message"]

        async def heard() -> bool:
            return bool((await near.counts()).get("cancelled"))

        await eventually(heard)


async def test_a_huge_result_is_cut_for_the_model_and_the_item(near: Neighbour, tmp_path: Path) -> None:
    limits = {"tool_output_kb": 16}
    async with house(tmp_path, calls("flood", {"size": 5_000_000}), says(), limits=limits) as served:
        response = await served.create(model="m", input="x", tools=[tool(near)])
    (call,) = items(response, "mcp_call")
    assert call["status"] == "completed"
    assert len(call["output"]) < 17_000
    assert "[cut: the first 16384 of 5000" in call["output"]


async def test_pictures_and_resources_are_told_in_words(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, calls("picture"), says()) as served:
        response = await served.create(model="m", input="x", tools=[tool(near)])
    lines = items(response, "mcp_call")[0]["output"].splitlines()
    assert lines[0] == "here"
    assert lines[1].startswith("[image image/png, 7")
    assert lines[2:] == ["[resource note://1]", "a note"]


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_tools_that_change_are_seen_by_the_next_conversation(near: Neighbour, tmp_path: Path, path: str) -> None:
    steps = (calls("grow"), says() | {"repeat": True})
    async with house(tmp_path, *steps) as served:
        declared = tool(near.url + path)
        await served.create(model="m", input="x", tools=[declared])

        async def grown() -> bool:
            listed = (await served.create(model="m", input="x", tools=[declared]))["output"][0]
            return "grown" in {each["name"] for each in listed["tools"]}

        await eventually(grown)  # the server tells it when it likes


async def test_a_server_of_the_settings_is_named_and_may_be_private_or_a_process(
    near: Neighbour, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.mcp.server", "stdio"]
    settings = [
        {"name": "connector_gmail", "url": f"{near.url}/mcp", "read_only": True},
        {"name": "connector_dropbox", "command": command, "env": {"PYTHONPATH": ":".join(sys.path)}},
    ]
    steps = (calls("get_boiling_point", {"liquid": "myawesomeliquid"}, label="a"), says())
    local = (calls("get_boiling_point", {"liquid": "myawesomeliquid"}, label="b"), says())
    named = {"type": "mcp", "require_approval": "never"}
    async with house(tmp_path, *steps, *local, says(), egress={}, mcp=settings) as served:
        web = await served.create(
            model="m", input="x", tools=[named | {"server_label": "a", "connector_id": "connector_gmail"}]
        )
        assert [each["name"] for each in web["output"][0]["tools"]] == ["get_boiling_point"]
        assert items(web, "mcp_call")[0]["output"] == "-100"
        own = await served.create(
            model="m", input="x", tools=[named | {"server_label": "b", "connector_id": "connector_dropbox"}]
        )
        assert items(own, "mcp_call")[0]["output"] == "-100", own
        direct = await served.create(model="m", input="x", tools=[tool(near)])
        assert "not an address" in direct["output"][0]["error"]
        body = {"model": "m", "input": "x", "tools": [named | {"server_label": "c", "connector_id": "none"}]}
        assert (await served.ask("POST", "/responses", body))[0] == 400


async def test_only_allowed_tools_are_offered_and_can_be_chosen(near: Neighbour, tmp_path: Path) -> None:
    async with house(tmp_path, *(says() for _ in range(6))) as served:

        async def offered(allowed: Any, choice: Any = "auto") -> list[str]:
            tools = [tool(near, allowed_tools=allowed), tool(near, server_label="two")]
            await served.create(model="m", input="x", tools=tools, tool_choice=choice)
            return [offer.name for offer in model_of(served).asked[-1].offers if offer.server == "lab"]

        assert await offered(["sleep"]) == ["lab__sleep"]
        assert await offered({"tool_names": ["sleep", "flood"]}) == ["lab__sleep", "lab__flood"]
        assert await offered({"read_only": True}) == ["lab__get_boiling_point"]
        assert await offered(["sleep"], {"type": "mcp", "server_label": "two", "name": "flood"}) == ["lab__sleep"]
        choice = model_of(served).asked[-1].tool_choice
        assert getattr(choice, "name", None) == "two__flood"
        assert await offered(["sleep", "flood"], {"type": "mcp", "server_label": "lab"}) == ["lab__sleep", "lab__flood"]
        assert model_of(served).asked[-1].tool_choice == "required"
        assert {offer.server for offer in model_of(served).asked[-1].offers} == {"lab"}
        allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "lab"}]}
        assert await offered(["sleep"], allowed) == ["lab__sleep"]
        assert {offer.server for offer in model_of(served).asked[-1].offers} == {"lab"}


@pytest.mark.parametrize("background", [False, True])
async def test_a_token_appears_nowhere(
    tmp_path: Path, background: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with neighbour(TOKEN=TOKEN) as strict, house(tmp_path, BOILING, says(), says()) as served:
        declared = tool(strict, authorization=TOKEN, headers={"X-Key": "key-canary-77ab"})
        body: Json = {"model": "m", "input": "x", "tools": [declared], "background": background, "stream": True}
        async with served.raw.post(f"{served.url}/v1/responses", json=body) as answer:
            said = await answer.text()
        assert '"output":"-100"' in said
        wrong = {**body, "tools": [{**declared, "authorization": f"{TOKEN}-wrong"}]}
        async with served.raw.post(f"{served.url}/v1/responses", json=wrong) as answer:
            said += await answer.text()
        response_id = next(json.loads(line[6:])["response"]["id"] for line in said.splitlines() if "data: {" in line)
        said += json.dumps((await served.ask("GET", f"/responses/{response_id}"))[1])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    out, err = capfd.readouterr()
    logged = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    for canary in (TOKEN, "key-canary-77ab"):
        assert canary not in said
        assert canary.encode() not in kept
        assert canary not in logged + out + err


async def test_credentials_in_items_are_refused(near: Neighbour, tmp_path: Path) -> None:
    added = {"type": "additional_tools", "role": "developer", "tools": [tool(near, authorization=TOKEN)]}
    async with house(tmp_path, says()) as served:
        body = {"model": "m", "input": [added, {"role": "user", "content": "x"}]}
        status, refused = await served.ask("POST", "/responses", body)
    assert (status, refused["error"]["param"]) == (400, "input")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"headers": {"Host": "elsewhere"}}, "tools[0].headers"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "tools[0].headers"),
        ({"authorization": "t", "headers": {"Authorization": "Bearer u"}}, "tools[0].authorization"),
        ({"authorization": "a\nb"}, "tools[0].authorization"),
        ({"connector_id": "x"}, "tools[0].connector_id"),
    ],
)
async def test_what_cannot_be_sent_is_refused(near: Neighbour, tmp_path: Path, fields: Json, param: str) -> None:
    async with house(tmp_path, says(), egress=LOOPBACK) as served:
        body = {"model": "m", "input": "x", "tools": [tool(near, **fields)]}
        status, refused = await served.ask("POST", "/responses", body)
    assert (status, refused["error"]["param"]) == (400, param)
