"""The three cases of the reference library, on recorded streams of api.openai.com models, against our server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import openai
import pytest

from antiphon.agent import (
    Agent,
    AsyncAgent,
    InferenceStepResult,
    StepCompleted,
    StepProgress,
    StepStarted,
    TextDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    TurnCompleted,
)
from tests.agent.grammar import check, shape
from tests.agent.turns import Chunks
from tests.shared import SHARED, needs_shared
from tests.whole.house import Whole, whole
from tests.whole.library import Library, library
from tests.whole.test_recorded_file_search import reports

pytestmark = needs_shared
MODEL: Final = "recorded/gpt-4o"
DRIVERS: Final = ["sync", "async"]
Event = TypeVar("Event")


async def turns(served: Whole, driver: str, messages: list[str], **options: Any) -> list[Chunks]:
    """The turns of one session, by either agent."""
    if driver == "async":
        agent = AsyncAgent(served.client, model=MODEL, **options)
        session = await agent.create_session()
        return [[chunk async for chunk in agent.create_turn(message, session)] for message in messages]

    def blocking() -> list[Chunks]:
        with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client:
            agent = Agent(client, model=MODEL, **options)
            session = agent.create_session()
            return [list(agent.create_turn(message, session)) for message in messages]

    return await asyncio.to_thread(blocking)


def recorded(data: Path, case: str) -> Any:
    return whole(data, recordings={"dir": SHARED / "recordings", "case": case})


@asynccontextmanager
async def shelf(data: Path, case: str) -> AsyncGenerator[Library]:
    async with library(data, recordings={"dir": SHARED / "recordings", "case": case}) as found:
        yield found


def of(chunks: Chunks, kind: type[Event]) -> list[Event]:
    """The events of a kind."""
    return [chunk.event for chunk in chunks if isinstance(chunk.event, kind)]


def results(chunks: Chunks) -> list[Any]:
    """What came of the steps."""
    return [event.result for event in of(chunks, StepCompleted)]


def completed(chunks: Chunks) -> TurnCompleted:
    last = chunks[-1].event
    assert isinstance(last, TurnCompleted), last
    assert chunks[-1].response.id == last.response_ids[-1]
    assert chunks[-1].response.output_text == last.final_text
    return last


@pytest.mark.parametrize("driver", DRIVERS)
async def test_text_only(tmp_path: Path, driver: str) -> None:
    async with recorded(tmp_path, "test_conversation_multi_turn_and_streaming[txt=openai/gpt-4o]") as served:
        first, second = await turns(served, driver, ["Say hello", "Say goodbye"])
    for chunks, word in ((first, "hello"), (second, "goodbye")):
        check(chunks)
        assert shape(chunks) == ["turn_started", "inference", "turn_completed"]
        end = completed(chunks)
        assert word in end.final_text.lower()
        assert (end.num_steps, len(end.response_ids)) == (1, 1)
        assert end.usage.total_tokens > 0
        result = results(chunks)[0]
        assert (result.text_content, result.stop_reason) == (end.final_text, "end_of_turn")
        assert len(of(chunks, StepProgress)) > 1
        assert all(isinstance(event.delta, TextDelta) for event in of(chunks, StepProgress))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_file_search_of_the_server(tmp_path: Path, driver: str) -> None:
    async with shelf(tmp_path, "test_response_file_search_streaming_events[openai_client-txt=openai/gpt-4o]") as found:
        tools = [{"type": "file_search", "vector_store_ids": [await reports(found)]}]
        include = ["file_search_call.results"]
        [chunks] = await turns(found.served, driver, ["What are the marketing updates?"], tools=tools, include=include)
    check(chunks)
    assert shape(chunks) == ["turn_started", "inference", "tool_execution server", "inference", "turn_completed"]
    thought, searched, spoke = results(chunks)
    assert (thought.text_content, thought.function_calls, thought.stop_reason) == ("", (), "server_tool_call")
    assert of(chunks, StepStarted)[1].metadata == {
        "server_side": True,
        "tool_type": "file_search",
        "tool_name": "file_search_call",
    }
    assert isinstance(searched, ToolExecutionStepResult)
    [response] = searched.tool_responses
    assert not response["is_error"]
    assert "queries" in response["content"]
    assert "us_marketing_q1.txt" in {result["filename"] for result in response["content"]["results"]}
    issued = [event.delta for event in of(chunks, StepProgress) if isinstance(event.delta, ToolCallIssuedDelta)]
    assert [delta.tool_type for delta in issued] == ["file_search"]
    assert spoke.text_content == completed(chunks).final_text != ""


def get_weather(location: str) -> str:
    """Get current temperature for a given location.

    Args:
        location: City and country e.g. Bogotá, Colombia
    """
    return "It is raining."


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_function_of_the_client(tmp_path: Path, driver: str) -> None:
    case = "test_response_function_call_ordering_1[openai_client-txt=openai/gpt-4o-sf_weather]"
    question = "What's the weather like in San Francisco?"
    async with recorded(tmp_path, case) as served:
        [chunks] = await turns(served, driver, [question], tools=[get_weather])
    check(chunks)
    assert shape(chunks) == ["turn_started", "inference", "tool_execution client", "inference", "turn_completed"]
    asked, ran, spoke = results(chunks)
    assert isinstance(asked, InferenceStepResult)
    assert asked.stop_reason == "tool_calls"
    [call] = asked.function_calls
    assert (call.tool_name, call.tool_type) == ("get_weather", "function")
    assert "San Francisco" in call.arguments
    assert ran.tool_calls == (call,)
    [response] = ran.tool_responses
    assert (response["content"], response["is_error"]) == ("It is raining.", False)
    assert spoke.text_content == completed(chunks).final_text != ""
    assert len(completed(chunks).response_ids) == 2
