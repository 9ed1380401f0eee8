"""The whole server in front of an endpoint that speaks Responses: what that thinks survives, whoever keeps it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai.types.responses import ResponseFunctionToolCall

from tests.native import Told, spoken
from tests.upstream import Upstream, refusal
from tests.whole.house import Whole, fast, text_of, whole

SEALED = "gAAAAABo/of+the+upstream=="
ENCRYPTED = "reasoning.encrypted_content"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
CITATION = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5}


@pytest.fixture
async def server(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Whole]:
    async with whole(tmp_path, models=[fast(upstream, kind="openai_responses")]) as served:
        yield served


def asks_for_weather(sealed: str = SEALED) -> Told:
    told = Told().reasoning(summary=["I need the weather."], sealed=sealed)
    return told.call("get_weather", '{"city":', '"Oslo"}', call_id="call_up").end()


def sent(upstream: Upstream, exchange: int = -1) -> list[dict[str, Any]]:
    return upstream.exchanges[exchange].json["input"]


async def test_reasoning_travels_with_a_client_that_keeps_it_and_comes_back_unchanged(
    server: Whole, upstream: Upstream
) -> None:
    upstream.reply(asks_for_weather().reply, Told().message("Sunny", " in Oslo.").end().reply)
    turn: dict[str, Any] = {"model": "m", "store": False, "include": [ENCRYPTED], "tools": [WEATHER]}
    events = await server.stream(**turn, input="Weather in Oslo?")
    output = events[-1]["response"]["output"]
    reasoning, call = output
    assert reasoning["summary"] == [{"type": "summary_text", "text": "I need the weather."}]
    assert reasoning["encrypted_content"]
    assert SEALED not in json.dumps(events)  # the client holds it under our seal
    answer = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    question = {"type": "message", "role": "user", "content": "Weather in Oslo?"}
    second = await server.create(**turn, input=[question, *output, answer])
    assert text_of(second) == "Sunny in Oslo."
    items = sent(upstream)
    assert [item["type"] for item in items] == ["message", "reasoning", "function_call", "function_call_output"]
    assert items[1]["encrypted_content"] == SEALED
    assert items[1]["summary"] == reasoning["summary"]
    assert (items[2]["call_id"], items[3]["output"]) == ("call_up", "sunny")
    assert not any("id" in item for item in items)
    assert all(exchange.json["store"] is False for exchange in upstream.exchanges)


async def test_reasoning_is_kept_here_for_a_client_that_keeps_nothing(server: Whole, upstream: Upstream) -> None:
    upstream.reply(asks_for_weather().reply, spoken("Sunny."))
    first = await server.create(model="m", input="Weather in Oslo?", tools=[WEATHER])
    assert "encrypted_content" not in first["output"][0]
    call_id = first["output"][1]["call_id"]
    answer = {"type": "function_call_output", "call_id": call_id, "output": "sunny"}
    second = await server.create(model="m", previous_response_id=first["id"], input=[answer], tools=[WEATHER])
    assert text_of(second) == "Sunny."
    assert [item["type"] for item in sent(upstream)] == [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert sent(upstream)[1]["encrypted_content"] == SEALED


async def test_reasoning_stays_when_the_server_is_started_again(tmp_path: Path, upstream: Upstream) -> None:
    settings: dict[str, Any] = {"models": [fast(upstream, kind="openai_responses")]}
    upstream.reply(Told().reasoning(sealed=SEALED).message("Hi.").end().reply, spoken("Again."))
    async with whole(tmp_path, **settings) as server:
        first = await server.create(model="m", input="Hello")
    async with whole(tmp_path, **settings) as server:
        await server.create(model="m", input="And?", previous_response_id=first["id"])
    assert [item["type"] for item in sent(upstream)] == ["message", "reasoning", "message", "message"]
    assert sent(upstream)[1]["encrypted_content"] == SEALED


async def test_another_endpoint_is_not_given_what_it_cannot_read(tmp_path: Path, upstream: Upstream) -> None:
    one = fast(upstream, kind="openai_responses")
    other = {**one, "name": "other", "models": ["n"]}
    upstream.reply(Told().reasoning(sealed=SEALED).message("Hi.").end().reply, spoken("Again."))
    async with whole(tmp_path, models=[one, other]) as server:
        first = await server.create(model="m", input="Hello")
        await server.create(model="n", input="And?", previous_response_id=first["id"])
    assert [item["type"] for item in sent(upstream)] == ["message", "message", "message"]


async def test_phases_and_citations_reach_the_client_and_the_next_turn(server: Whole, upstream: Upstream) -> None:
    told = Told().message("Looking.", phase="commentary")
    told.message("There", " it is.", phase="final_answer", annotations=[CITATION])
    upstream.reply(told.end().reply, spoken("Bye."))
    events = await server.stream(model="m", input="Where?")
    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [(event["annotation"], event["annotation_index"]) for event in added] == [(CITATION, 0)]
    output = events[-1]["response"]["output"]
    assert [item["phase"] for item in output] == ["commentary", "final_answer"]
    assert output[1]["content"][0]["annotations"] == [CITATION]
    await server.create(model="m", input="Thanks", previous_response_id=events[-1]["response"]["id"])
    assert [item.get("phase") for item in sent(upstream)] == [None, "commentary", "final_answer", None]


async def test_a_custom_tool_is_one_on_both_sides(server: Whole, upstream: Upstream) -> None:
    upstream.reply(Told().custom("run", 'print("é', '")\n', call_id="call_up").end().reply, spoken("Done."))
    tool = {"type": "custom", "name": "run", "description": "Runs code"}
    events = await server.stream(model="m", input="Print", tools=[tool])
    assert upstream.exchanges[0].json["tools"] == [{**tool, "format": {"type": "text"}}]
    (call,) = events[-1]["response"]["output"]
    assert (call["type"], call["input"]) == ("custom_tool_call", 'print("é")\n')
    told = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(told) == call["input"]
    answer = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "é"}
    await server.create(model="m", previous_response_id=events[-1]["response"]["id"], input=[answer], tools=[tool])
    assert [item["type"] for item in sent(upstream)] == ["message", "custom_tool_call", "custom_tool_call_output"]


async def test_a_failure_in_the_middle_ends_the_response_as_failed(server: Whole, upstream: Upstream) -> None:
    told = Told().message("Half")
    told.event("response.failed", response={"status": "failed", "error": {"code": "server_error", "message": "secret"}})
    upstream.reply(told.reply)
    events = await server.stream(model="m", input="Hello")
    assert events[-1]["type"] == "response.failed"
    assert "secret" not in json.dumps(events)


async def test_a_refusal_before_the_stream_is_an_error_with_our_names(server: Whole, upstream: Upstream) -> None:
    too_long = {"message": "Your input exceeds the context window of this model.", "code": "context_length_exceeded"}
    upstream.reply(refusal(400, {"error": too_long}))
    status, found = await server.ask("POST", "/responses", {"model": "m", "input": "Hello"})
    assert (status, found["error"]["code"], found["error"]["param"]) == (400, "context_length_exceeded", "input")


async def test_an_agent_that_keeps_its_own_history_thinks_on(server: Whole, upstream: Upstream) -> None:
    @function_tool
    def get_weather(city: str) -> str:
        return f"sunny in {city}"

    upstream.reply(asks_for_weather().reply, spoken("Sunny."))
    agent = Agent(
        "Weather",
        tools=[get_weather],
        model=OpenAIResponsesModel("m", server.client),
        model_settings=ModelSettings(store=False, response_include=[ENCRYPTED]),
    )
    result = await Runner.run(agent, "Weather in Oslo?", run_config=RunConfig(tracing_disabled=True))
    assert result.final_output == "Sunny."
    assert any(isinstance(item.raw_item, ResponseFunctionToolCall) for item in result.new_items)
    items = sent(upstream)
    assert [item["type"] for item in items] == ["message", "reasoning", "function_call", "function_call_output"]
    assert items[1]["encrypted_content"] == SEALED
    assert items[3]["output"] == "sunny in Oslo"
