"""pydantic-ai: its Responses model over ours: text, tools, structured output, streams, what it keeps between turns."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.stage import ADDS, MODEL, says, stage
from tests.whole.house import DEADLINE, Json, Whole
from tests.whole.scripts import model_of, texts


class City(BaseModel):
    city: str


def model(served: Whole) -> OpenAIResponsesModel:
    return OpenAIResponsesModel(MODEL, provider=OpenAIProvider(openai_client=served.client))


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def test_text_and_the_next_turn(tmp_path: Path) -> None:
    async with stage(tmp_path) as served, asyncio.timeout(DEADLINE):
        agent = Agent(model(served), instructions="Be kind.")
        first = await agent.run("Hi")
        assert first.output == "Hello"
        assert first.usage.output_tokens > 0
        await agent.run("And?", message_history=first.all_messages())
        assert texts(served) == ["Hi", "Hello", "And?"]


async def test_the_last_response_is_continued_on_the_server(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        settings = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
        agent = Agent(model(served), tools=[add], model_settings=settings)
        first = await agent.run("2+3?")
        assert first.output == "Hello"
        await agent.run("And?", message_history=first.all_messages())
        assert [text for text in texts(served) if text] == ["2+3?", "Hello", "And?"]


async def test_a_tool(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        assert (await Agent(model(served), tools=[add]).run("2+3?")).output == "Hello"
        assert len(model_of(served).asked) == 2


async def test_structured_output_by_schema_and_by_tool(tmp_path: Path) -> None:
    call: Json = {"name": "final_result", "arguments": {"city": "Rome"}, "id": "call_1"}
    by_tool: Json = {"acts": [{"act": "calls", "calls": [call]}], "when": "by tool"}
    async with stage(tmp_path, by_tool, says('{"city": "Paris"}', when="city")) as served, asyncio.timeout(DEADLINE):
        native = await Agent(model(served), output_type=NativeOutput(City)).run("A city?")
        assert native.output == City(city="Paris")
        called = await Agent(model(served), output_type=City).run("Another, by tool")
        assert called.output == City(city="Rome")


async def test_a_stream_with_a_tool(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served, asyncio.timeout(DEADLINE):
        agent = Agent(model(served), tools=[add])
        async with agent.run_stream("2+3?") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        assert "".join(pieces) == "Hello"
        assert result.is_complete
