"""The agents through every client that they are meant for, against our server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import ogx_client
import openai
import pytest

from antiphon.agent import Agent, AsyncAgent, ToolExecutionStepResult, TurnFailedError, TurnResult
from tests.agent.grammar import check, failed, shape
from tests.agent.turns import Chunks, Talk, double, talk
from tests.patience import eventually
from tests.whole.house import DEADLINE, Json, Whole, whole
from tests.whole.scripts import model_of, scripted

CLIENTS: Final = ["openai", "openai_async", "ogx", "ogx_async"]
every_client = pytest.mark.parametrize("name", CLIENTS)
every_mode = pytest.mark.parametrize("mode", ["conversation", "response", "stateless"])
CALLS: Final[Json] = {
    "acts": [{"act": "calls", "calls": [{"name": "double", "arguments": {"n": n}} for n in (2, 3)]}],
    "when": "double",
}
SAYS: Final[Json] = {"acts": [{"act": "says", "text": ["Hel", "lo"]}], "repeat": True}


@asynccontextmanager
async def client_of(served: Whole, name: str) -> AsyncGenerator[Any]:
    """The client, open."""
    quiet: dict[str, Any] = {"api_key": "unused", "max_retries": 0, "timeout": DEADLINE}
    match name:
        case "openai":
            with openai.OpenAI(base_url=f"{served.url}/v1", **quiet) as client:
                yield client
        case "openai_async":
            async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", **quiet) as client:
                yield client
        case "ogx":
            with ogx_client.OgxClient(base_url=served.url, **quiet) as client:
                yield client
        case _:
            async with ogx_client.AsyncOgxClient(base_url=served.url, **quiet) as client:
                yield client


def outputs(chunks: Chunks) -> list[str]:
    results = [getattr(chunk.event, "result", None) for chunk in chunks]
    rounds = [result for result in results if isinstance(result, ToolExecutionStepResult)]
    return [response["content"] for result in rounds for response in result.tool_responses]


@every_client
@every_mode
async def test_turns_of_a_session(tmp_path: Path, name: str, mode: str) -> None:
    async with whole(tmp_path, **scripted(CALLS, SAYS)) as served, client_of(served, name) as client:
        line = await talk(client, continuity=mode, tools=[double], instructions="Be brief.")
        first = await line.say("Hi")
        check(first)
        assert shape(first) == ["turn_started", "inference", "turn_completed"]
        assert first[-1].response.output_text == "Hello"
        second = await line.say("double them")
        check(second)
        assert shape(second)[1:-1] == ["inference", "tool_execution client", "inference"]
        assert outputs(second) == ["4", "6"]
        seen = json.dumps([str(entry.item) for entry in model_of(served).asked[-1].context])
        assert seen.index("Hi") < seen.index("Hello") < seen.index("double them")
        check(third := await line.say("And?"))
        assert failed(third) is None


@every_client
async def test_a_session_that_is_created_at_once_is_a_conversation(tmp_path: Path, name: str) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, client_of(served, name) as client:
        made = (await talk(client)).made
        if isinstance(made, AsyncAgent):
            session = await made.create_session("island", eager=True)
        else:
            session = await asyncio.to_thread(made.create_session, "island", eager=True)
        found = await served.client.conversations.retrieve(session)
        assert found.metadata == {"name": "island"}
        check(await Talk(made, session).say())
        listed = await served.client.conversations.items.list(session, order="asc")
        assert [item.type for item in listed.data] == ["message", "message"]
        again = (await talk(client)).made  # another agent takes any conversation that is there
        check(chunks := await Talk(again, session).say("And?"))
        assert failed(chunks) is None


@every_client
async def test_what_the_server_refuses_fails_the_turn(tmp_path: Path, name: str) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, client_of(served, name) as client:
        line = await talk(client)
        check(chunks := await line.say(model="nobody"))
        fault = failed(chunks)
        assert fault is not None
        assert "nobody" in fault.error_message
        assert failed(await line.say()) is None


@every_client
@every_mode
async def test_a_cancelled_turn_stops_the_model(tmp_path: Path, name: str, mode: str) -> None:
    waits: Json = {"acts": [{"act": "says", "text": "Hel"}, {"act": "waits", "gate": "never"}]}
    async with whole(tmp_path, **scripted(waits, SAYS)) as served, client_of(served, name) as client:
        line = await talk(client, continuity=mode, retries=5)
        check(chunks := await line.leave(3, "cancel"))
        fault = failed(chunks)
        assert fault is not None
        assert fault.error_code == "cancelled"

        async def left() -> bool:
            return model_of(served).closed == 1

        await eventually(left)
        check(chunks := await line.say("And?"))
        assert failed(chunks) is None


@every_client
async def test_without_stream(tmp_path: Path, name: str) -> None:
    async with whole(tmp_path, **scripted(CALLS, SAYS)) as served, client_of(served, name) as client:
        line = await talk(client, tools=[double])

        async def turn(**options: Any) -> TurnResult:
            if isinstance(line.made, AsyncAgent):
                return await line.made.create_turn("double them", line.session, stream=False, **options)
            assert isinstance(line.made, Agent)
            return await asyncio.to_thread(line.made.create_turn, "double them", line.session, stream=False, **options)

        result = await turn()
        assert result.final_text == "Hello"
        assert len(result.responses) == len(result.response_ids) == 2
        assert len(result.steps) == 3
        assert result.usage.total_tokens > 0
        with pytest.raises(TurnFailedError) as raised:
            await turn(model="nobody")
        assert raised.value.result.session_id == line.session
