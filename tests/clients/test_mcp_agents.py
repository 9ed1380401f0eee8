"""Agent libraries whose tools are those of an MCP server that our server calls, and what they send, as recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    HostedMCPTool,
    MCPToolApprovalFunctionResult,
    MCPToolApprovalRequest,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
)
from agents.items import ToolCallItem
from openai.types.responses.response_output_item import McpCall
from openai.types.responses.tool_param import Mcp
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import NativeToolCallPart, NativeToolReturnPart
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticModel
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.native_tools import MCPServerTool
from pydantic_ai.providers.openai import OpenAIProvider

from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from tests.mcp.stage import Neighbour, calls, house, items, neighbour, says, tool
from tests.shared import SHARED, needs_shared
from tests.whole.house import DEADLINE, Json
from tests.whole.scripts import model_of

QUIET = RunConfig(tracing_disabled=True)
BOILING = calls("get_boiling_point", {"liquid": "myawesomeliquid"})


def declared(near: Neighbour, approval: str) -> Mcp:
    return {
        "type": "mcp",
        "server_label": "lab",
        "server_url": f"{near.url}/mcp",
        "require_approval": "always" if approval == "always" else "never",
    }


@pytest.mark.parametrize("approval", ["always", "never"])
@pytest.mark.parametrize("approve", [True, False])
async def test_an_agent_calls_a_server_with_and_without_approval(tmp_path: Path, approval: str, approve: bool) -> None:
    asked: list[str] = []

    def answer(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        asked.append(request.data.name)
        return {"approve": approve} if approve else {"approve": False, "reason": "no"}

    async with neighbour() as near, house(tmp_path, BOILING, says("Well.")) as served, asyncio.timeout(DEADLINE):
        tool = HostedMCPTool(tool_config=declared(near, approval), on_approval_request=answer)
        model = OpenAIResponsesModel("m", openai_client=served.client)
        agent = Agent(name="a", tools=[tool], model=model)
        result = await Runner.run(agent, "How hot?", run_config=QUIET)
        counts = await near.counts()
    ran = approve or approval == "never"
    assert result.final_output == "Well."
    assert asked == (["get_boiling_point"] if approval == "always" else [])
    raw = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    assert [call.output for call in raw if isinstance(call, McpCall)] == (["-100"] if ran else [])
    assert counts["calls"] == int(ran)


async def test_an_agent_is_asked_for_each_call_of_a_round(tmp_path: Path) -> None:
    """One of two is approved; the stream goes on behind both answers."""
    both: Json = {
        "acts": [
            {
                "act": "calls",
                "calls": [
                    {"name": "lab__set_boiling_point", "arguments": {"liquid": liquid, "point": 1}}
                    for liquid in ("tea", "tar")
                ],
            }
        ]
    }

    def answer(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        return {"approve": "tea" in request.data.arguments}

    async with neighbour() as near, house(tmp_path, both, says("Well.")) as served, asyncio.timeout(DEADLINE):
        tools = [HostedMCPTool(tool_config=declared(near, "always"), on_approval_request=answer)]
        agent = Agent(name="a", tools=[*tools], model=OpenAIResponsesModel("m", openai_client=served.client))
        streamed = Runner.run_streamed(agent, "Set both.", run_config=QUIET)
        async for _ in streamed.stream_events():
            pass
        assert streamed.final_output == "Well."
        assert await near.log() == [{"liquid": "tea", "point": 1}]
        told = [entry.exchange.output for entry in model_of(served).asked[-1].context if entry.exchange]
        assert sum("denied" in words for words in told) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_of_pydantic_ai_calls_a_server_and_goes_on(tmp_path: Path, stream: bool) -> None:
    token = "a-token-of-pydantic"
    async with (
        asyncio.timeout(DEADLINE),
        neighbour(TOKEN=token) as near,
        house(tmp_path, BOILING, says("It is cold."), says("Still.")) as served,
    ):
        given = MCPServerTool(id="lab", url=f"{near.url}/mcp", authorization_token=token)
        model = PydanticModel("m", provider=OpenAIProvider(openai_client=served.client))
        agent = PydanticAgent(model, capabilities=[NativeTool(given)])
        if stream:
            async with agent.run_stream("How hot?") as run:
                said = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
                messages = run.all_messages()
            assert "".join(said) == "It is cold."
        else:
            result = await agent.run("How hot?")
            messages = result.all_messages()
            assert result.output == "It is cold."
        parts = [part for message in messages for part in message.parts]
        assert [part.tool_name for part in parts if isinstance(part, NativeToolCallPart)] == ["mcp_server:lab"] * 2
        returned = [part.content for part in parts if isinstance(part, NativeToolReturnPart)]
        assert "-100" in json.dumps(returned[-1])
        kept = OpenAIResponsesModelSettings(openai_send_reasoning_ids=True)
        again = await agent.run("And now?", message_history=messages, model_settings=kept)
        assert again.output == "Still."
        told = chat_messages(model_of(served).asked[-1], Dialect())
        assert [message["role"] for message in told] == ["user", "assistant", "tool", "assistant", "user"]
        assert "-100" in told[2]["content"]
        counts = await near.counts()
    assert counts["calls"] == 1


def sent(name: str) -> Json:
    """The body of a recorded request."""
    return json.loads((SHARED / "client_requests" / f"{name}.json").read_bytes())["body"]


@needs_shared
@pytest.mark.parametrize("name", ["agents-hosted.01", "pydantic-hosted.01", "langchain.05"])
async def test_a_recorded_request_of_a_client_calls_a_server(tmp_path: Path, name: str) -> None:
    called = calls("get_boiling_point", {"liquid": "myawesomeliquid"}, label="d")
    async with neighbour() as near, house(tmp_path, called, says("Well.")) as served:
        body = sent(name)
        store = await served.client.vector_stores.create()
        for each in body["tools"]:
            each.update({"server_url": f"{near.url}/mcp"} if each["type"] == "mcp" else {})
            each.update({"vector_store_ids": [store.id]} if each["type"] == "file_search" else {})
        response = await served.create(**body)
    assert items(response, "mcp_call")[0]["output"] == "-100"


@needs_shared
async def test_recorded_history_of_a_client_is_gone_on_from(tmp_path: Path) -> None:
    """The list and the call that another server made are taken as they are."""
    body = sent("agents-fu.02")
    given: list[Any] = [item for item in body["input"] if item.get("type") != "reasoning"]
    label = next(item["server_label"] for item in given if item.get("type") == "mcp_list_tools")
    async with neighbour() as near, house(tmp_path, says("More.")) as served:
        declared_again = tool(near, server_label=label)
        response = await served.create(model="m", input=given, tools=[declared_again])
        assert not items(response, "mcp_list_tools")
        assert (await near.counts())["posts"] == 0
        (asked,) = model_of(served).asked
        assert [offer.name for offer in asked.offers] == [f"{label}__roll"]
