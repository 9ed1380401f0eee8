"""openai-agents: an agent's turns over POST, with tools, streamed, and with its history in a conversation of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents import Agent, OpenAIConversationsSession, OpenAIResponsesModel, RunConfig, Runner, function_tool
from pydantic import BaseModel

from tests.clients.stage import ADDS, MODEL, says, stage
from tests.whole.house import DEADLINE, Whole
from tests.whole.scripts import model_of, texts

QUIET = RunConfig(tracing_disabled=True)


class City(BaseModel):
    city: str


@function_tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def agent_of(served: Whole) -> Agent[None]:
    return Agent(
        name="a", instructions="Be kind.", tools=[add], model=OpenAIResponsesModel(MODEL, openai_client=served.client)
    )


async def test_a_run_with_a_function_tool(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        result = await Runner.run(agent_of(served), "2+3?", run_config=QUIET)
        assert result.final_output == "Hello"
        outputs = [entry.item for entry in model_of(served).asked[-1].context if hasattr(entry.item, "output")]
        assert [getattr(item, "output", None) for item in outputs] == ["5"]


async def test_a_streamed_run(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        result = Runner.run_streamed(agent_of(served), "2+3?", run_config=QUIET)
        deltas: list[str] = []
        steps: list[str] = []
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                deltas.append(event.data.delta)
            if event.type == "run_item_stream_event":
                steps.append(event.name)
        assert ("".join(deltas), result.final_output) == ("Hello", "Hello")
        assert steps == ["tool_called", "tool_output", "message_output_created"]


async def test_structured_output(tmp_path: Path) -> None:
    async with stage(tmp_path, says('{"city": "Paris"}', when="city")) as served, asyncio.timeout(DEADLINE):
        agent = Agent(name="a", model=OpenAIResponsesModel(MODEL, openai_client=served.client), output_type=City)
        result = await Runner.run(agent, "A city?", run_config=QUIET)
        assert result.final_output == City(city="Paris")


async def test_turns_that_continue_the_last_response(tmp_path: Path) -> None:
    async with stage(tmp_path) as served, asyncio.timeout(DEADLINE):
        first = await Runner.run(agent_of(served), "One", run_config=QUIET)
        await Runner.run(agent_of(served), "Two", run_config=QUIET, previous_response_id=first.last_response_id)
        assert texts(served) == ["One", "Hello", "Two"]


async def test_a_conversation_on_the_server(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        conversation = await served.client.conversations.create()
        await Runner.run(agent_of(served), "2+3?", run_config=QUIET, conversation_id=conversation.id)
        listed = [item.type async for item in served.client.conversations.items.list(conversation.id, order="asc")]
        assert listed == ["message", "function_call", "function_call_output", "message"]


async def test_the_conversations_session(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        session: Any = OpenAIConversationsSession(openai_client=served.client)
        await Runner.run(agent_of(served), "2+3?", run_config=QUIET, session=session)
        await Runner.run(agent_of(served), "Thanks", run_config=QUIET, session=session)
        kinds = [item.get("type") for item in await session.get_items()]
        assert kinds == ["message", "function_call", "function_call_output", "message", "message", "message"]
        assert [text for text in texts(served) if text] == ["2+3?", "Hello", "Thanks"]
        assert [item.get("type") for item in await session.get_items(limit=1)] == ["message"]
        last = await session.pop_item()
        assert last is not None
        assert last.get("role") == "assistant"
        assert len(await session.get_items()) == 5
        await session.clear_session()
