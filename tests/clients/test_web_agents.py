"""Agent libraries that search the web: openai-agents and pydantic-ai over a backend and a site on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents import Agent, MessageOutputItem, OpenAIResponsesModel, RunConfig, Runner, ToolCallItem, WebSearchTool
from openai.types.responses import ResponseFunctionWebSearch
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import NativeToolCallPart, NativeToolReturnPart
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticModel
from pydantic_ai.native_tools import WebSearchTool as PydanticSearch
from pydantic_ai.providers.openai import OpenAIProvider

from tests.whole.house import DEADLINE
from tests.whole.test_web_search import SEARCH, Desk, desk_of

QUIET = RunConfig(tracing_disabled=True)
TOLD = "The lamp was lit in 1891."


def wish(desk: Desk) -> str:
    """What the user says, so that a page is found, opened and cited."""
    url = desk.site.at("/lighthouse")
    return desk.wish(f"The lamp was lit in 1891 {{{url}}}.", [SEARCH], [desk.opening("/lighthouse")])["input"][0][
        "content"
    ]


async def test_an_agent_of_openai_agents_searches_opens_and_cites(tmp_path: Path) -> None:
    async with desk_of(tmp_path) as desk, asyncio.timeout(DEADLINE):
        model = OpenAIResponsesModel("m", openai_client=desk.served.client)
        agent = Agent(name="a", tools=[WebSearchTool(search_context_size="low")], model=model)
        streamed = Runner.run_streamed(agent, wish(desk), run_config=QUIET)
        async for _ in streamed.stream_events():
            pass
        for result in (streamed, await Runner.run(agent, wish(desk), run_config=QUIET)):
            assert result.final_output == TOLD
            calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
            assert [type(call) for call in calls] == [ResponseFunctionWebSearch] * 2
            assert [call.action.type for call in calls if isinstance(call, ResponseFunctionWebSearch)] == [
                *("search", "open_page"),
            ]
            message = [item.raw_item for item in result.new_items if isinstance(item, MessageOutputItem)][-1]
            (cited,) = message.content[0].model_dump()["annotations"]
            assert (cited["type"], cited["url"]) == ("url_citation", desk.site.at("/lighthouse"))
            assert TOLD[cited["start_index"] : cited["end_index"]] == TOLD.rstrip(".")


async def test_an_agent_of_pydantic_ai_searches_opens_and_goes_on(tmp_path: Path) -> None:
    async with desk_of(tmp_path) as desk, asyncio.timeout(DEADLINE):
        model = PydanticModel("m", provider=OpenAIProvider(openai_client=desk.served.client))
        agent = PydanticAgent(model, capabilities=[NativeTool(PydanticSearch())])
        first = await agent.run(wish(desk))
        assert first.output == TOLD
        parts = [part for message in first.all_messages() for part in message.parts]
        calls = [part for part in parts if isinstance(part, NativeToolCallPart)]
        assert [call.tool_name for call in calls] == ["web_search"] * 2
        assert len([part for part in parts if isinstance(part, NativeToolReturnPart)]) == 2
        second = await agent.run(wish(desk), message_history=first.all_messages())
        assert second.output == TOLD
