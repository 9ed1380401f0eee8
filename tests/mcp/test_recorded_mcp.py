"""Recorded MCP cases of hosted models, through the whole server and the official client.

The model's side is recorded; the MCP servers are real, in processes of their own, with the tools that the recorded
model was shown and the results that it was told. It was shown them by their own names: replay takes ours for the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from openai.types.responses.response_output_item import McpCall, McpListTools

from tests.mcp.stage import LOOPBACK, Neighbour, neighbour, tool
from tests.shared import SHARED, needs_shared
from tests.whole.house import Json, Whole, whole

pytestmark = needs_shared
FORMS = pytest.mark.parametrize("form", ["/mcp", "/sse"])
CLIENTS = pytest.mark.parametrize("client", ["openai_client", "client_with_models"])
PROVIDERS = pytest.mark.parametrize("provider", ["openai", "azure"])
TOKEN = "recorded-canary-token"
BOILING = "What is the boiling point of myawesomeliquid?"
EXPERIMENT = (
    "I need to get the results for the 'boiling_point' experiment. First, get the experiment ID for 'boiling_point', "
    "then use that ID to get the experiment results. Tell me the boiling point in Celsius."
)
BOTH = "Get the experiment ID for 'boiling_point' and get the user ID for 'charlie'"


@cache
def play(case: str) -> Json:
    """The tools that a recorded case shows, and every call of it with what it gave most often."""
    tools: list[Json] = []
    results: Counter[tuple[str, str, str]] = Counter()
    for path in sorted((SHARED / "recordings" / "responses").glob("*.json")):
        exchange = json.loads(path.read_bytes())
        if f"::{case}[" not in (exchange["test_id"] or ""):
            continue
        body = exchange["request"]["body"]
        tools = [each["function"] for each in body["tools"]]
        calls: dict[str, Json] = {}
        for message in body["messages"]:
            calls |= {call["id"]: call["function"] for call in message.get("tool_calls") or ()}
            if message["role"] == "tool":
                asked = calls[message["tool_call_id"]]
                arguments = json.dumps(json.loads(asked["arguments"]))
                results[asked["name"], arguments, _text(message["content"])] += 1
    found = [[name, json.loads(arguments), text] for (name, arguments, text), _ in results.most_common()]
    return {"tools": tools, "results": found}


def _text(content: Any) -> str:
    parts = cast("list[Json]", content)
    return content if isinstance(content, str) else "".join(part["text"] for part in parts)


@asynccontextmanager
async def replayed(data: Path, case: str, provider: str, **variables: str) -> AsyncGenerator[tuple[Whole, Neighbour]]:
    """Our server over the recordings of one case, and the MCP server of that case."""
    script = data / "play.json"
    script.write_text(json.dumps(play(case)))
    recordings = {"dir": SHARED / "recordings", "case": f"{case}[{provider}"}
    async with (
        neighbour(PLAY=str(script), **variables) as near,
        whole(data, recordings=recordings, egress=LOOPBACK) as served,
    ):
        yield served, near


@FORMS
@CLIENTS
@pytest.mark.parametrize("provider", ["openai/gpt-4o", "azure/gpt-4o", "bedrock/openai.gpt-oss-20b-1:0"])
async def test_mcp_authorization_backward_compatibility(tmp_path: Path, form: str, client: str, provider: str) -> None:
    case = "test_mcp_authorization_backward_compatibility"
    async with replayed(tmp_path, case, f"{client}-txt={provider}", TOKEN=TOKEN) as (served, near):
        response = await served.client.responses.create(
            model=f"recorded/{provider.partition('/')[2]}",
            input=BOILING,
            tools=[cast("Any", tool(near.url + form, headers={"Authorization": f"Bearer {TOKEN}"}))],
        )
        listed, *said, call, message = response.output  # one of the models says what it thinks
        assert {each.type for each in said} <= {"message"}
        assert isinstance(listed, McpListTools)
        assert {each.name for each in listed.tools} == {"get_boiling_point", "greet_everyone"}
        assert isinstance(call, McpCall)
        assert (call.name, call.output, call.error, call.status) == ("get_boiling_point", "-100", None, "completed")
        assert message.type == "message"
        assert "100" in response.output_text
        assert (await near.counts())["calls"] == 1


@FORMS
@CLIENTS
@PROVIDERS
@pytest.mark.parametrize("stream", [False, True])
async def test_multi_turn_tool_execution(tmp_path: Path, form: str, client: str, provider: str, stream: bool) -> None:
    case = "test_response_non_streaming_multi_turn_tool_execution"
    async with replayed(tmp_path, case, f"{client}-txt={provider}/gpt-4o", TOKEN=TOKEN) as (served, near):
        declared = tool(near.url + form, authorization=TOKEN, server_label="localmcp")
        body: Json = {"model": "recorded/gpt-4o", "input": EXPERIMENT, "tools": [declared]}
        response = (await served.stream(**body))[-1]["response"] if stream else await served.create(**body)
        assert [item["type"] for item in response["output"]] == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
        _, first, second, message = response["output"]
        assert (first["name"], first["output"]) == ("get_experiment_id", "exp_004")
        assert second["name"] == "get_experiment_results"
        assert json.loads(second["arguments"]) == {"experiment_id": "exp_004"}
        assert "100" in second["output"]
        assert "100" in message["content"][0]["text"]


@FORMS
@CLIENTS
@PROVIDERS
async def test_parallel_tool_calls_with_mcp_tools(tmp_path: Path, form: str, client: str, provider: str) -> None:
    case = "test_parallel_tool_calls_with_mcp_tools"
    async with replayed(tmp_path, case, f"{client}-txt={provider}/gpt-4o", TOKEN=TOKEN) as (served, near):
        declared = tool(near.url + form, authorization=TOKEN)
        for parallel in (True, False):
            response = await served.create(
                model="recorded/gpt-4o", input=BOTH, tools=[declared], parallel_tool_calls=parallel
            )
            calls = [item for item in response["output"] if item["type"] == "mcp_call"]
            assert {(call["name"], call["output"]) for call in calls} >= {
                ("get_experiment_id", "exp_004"),
                ("get_user_id", "user_11111"),
            }
            assert response["parallel_tool_calls"] is parallel
            text = response["output"][-1]["content"][0]["text"]
            assert "exp_004" in text
            assert "user_11111" in text
