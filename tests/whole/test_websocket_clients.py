"""Real clients of the WebSocket: the official ones, openai-agents, and the messages that others were seen to send."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from agents import Agent, ModelSettings, Runner, function_tool
from agents.models.openai_responses import OpenAIResponsesWSModel
from openai import OpenAI

from tests.shared import SHARED, needs_shared
from tests.sockets import DEADLINE, Json, connected
from tests.whole.house import text_of, whole
from tests.whole.scripts import SAYS, model_of, scripted

CALLS: Json = {"acts": [{"act": "calls", "calls": [{"name": "add", "arguments": '{"a": 2, "b": 3}', "id": "call_1"}]}]}


async def test_the_official_client(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, served.client.responses.connect() as connection:
        await connection.response.create(model="m", input="Hi", store=False)
        kinds: list[str] = []
        text = ""
        async for event in connection:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.completed":
                assert event.response.output_text == text == "Hello"
                if event.response.previous_response_id is not None:
                    break
                await connection.response.create(
                    model="m", input="Again", store=False, previous_response_id=event.response.id
                )
                text = ""
        assert kinds.count("response.created") == 2
        await connection.response.steer(input="Wait", previous_response_id="resp_x")
        assert (await connection.recv()).type == "response.steer.failed"
        await connection.response.create(model="m", input="x", previous_response_id="resp_x", stream_id="a")
        error = await connection.recv()
        assert error.type == "error"
        assert (error.status, error.error.code, error.stream_id) == (400, "previous_response_not_found", "a")


async def test_the_official_client_without_asyncio(tmp_path: Path) -> None:
    def talk(url: str) -> list[str]:
        with (
            OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0) as client,
            client.responses.connect() as connection,
        ):
            connection.response.create(model="m", input="Hi")
            kinds = [connection.recv().type]
            while kinds[-1] != "response.completed":
                kinds.append(connection.recv().type)
            return kinds

    async with whole(tmp_path, **scripted(SAYS)) as served:
        async with asyncio.timeout(DEADLINE):
            kinds = await asyncio.to_thread(talk, served.url)
        assert kinds[0] == "response.created"


async def test_an_agent_of_openai_agents_uses_its_tool(tmp_path: Path) -> None:
    @function_tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    async with whole(tmp_path, **scripted(CALLS, SAYS)) as served:
        model = OpenAIResponsesWSModel("m", served.client)
        agent = Agent(name="a", instructions="be", tools=[add], model=model, model_settings=ModelSettings())
        async with asyncio.timeout(DEADLINE):
            result = await Runner.run(agent, "2+3?")
        await model.close()
        assert result.final_output == "Hello"
        assert len(model_of(served).asked) == 2


def recorded(pattern: str) -> list[Json]:
    """The messages that a real client sent, in order."""
    paths = sorted((SHARED / "client_requests").glob(pattern))
    return [json.loads(path.read_bytes())["body"] for path in paths]


@needs_shared
async def test_the_codex_cli(tmp_path: Path) -> None:
    """A warm-up, a turn that calls a tool, and its output, as a chain that nothing stores."""
    call = {"name": "exec_command", "arguments": '{"cmd": "echo hi"}', "id": "call_1"}
    steps = ({"acts": [{"act": "calls", "calls": [call]}]}, SAYS)
    async with whole(tmp_path, **scripted(*steps)) as served, connected(served.url) as socket:
        previous: Json = {}
        for message in recorded("codexws.ws*.json"):
            if "previous_response_id" in message:
                message["previous_response_id"] = previous["id"]
            await socket.raw(json.dumps(message))
            previous = (await socket.turn())[-1]["response"]
            assert previous["store"] is False
        assert text_of(previous) == "Hello"
        kinds = [type(entry.item).__name__ for entry in model_of(served).asked[-1].context]
        assert kinds == ["Message"] * 4 + ["FunctionCall", "FunctionCallOutput"]


@needs_shared
@pytest.mark.parametrize("pattern", ["openaiws.ws*.json", "agentsws.ws*.json"])
async def test_messages_of_other_clients(tmp_path: Path, pattern: str) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        for message in recorded(pattern):
            await socket.raw(json.dumps(message))
            await socket.turn()
