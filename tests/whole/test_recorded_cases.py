"""Recorded cases of api.openai.com models, through the whole server and the official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.shared import SHARED, needs_shared
from tests.whole.house import text_of, whole

pytestmark = needs_shared
MODEL = "recorded/gpt-4o"


def recorded(data: Path, case: str) -> Any:
    return whole(data, recordings={"dir": SHARED / "recordings", "case": case})


async def text_streamed(client: AsyncOpenAI, **body: Any) -> str:
    """The text as the official client accumulates it."""
    async with client.responses.stream(**body) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[0] == "response.created"
    return final.output_text


@pytest.mark.parametrize("provider", ["openai", "azure"])
async def test_conversation_multi_turn_and_streaming(tmp_path: Path, provider: str) -> None:
    case = f"test_conversation_multi_turn_and_streaming[txt={provider}/gpt-4o]"
    async with recorded(tmp_path, case) as served:
        client = served.client
        conversation = await client.conversations.create()
        first = await client.responses.create(model=MODEL, input="Say hello", conversation=conversation.id)
        assert "hello" in first.output_text.lower()
        assert first.conversation is not None
        assert first.conversation.id == conversation.id
        second = await text_streamed(client, model=MODEL, input="Say goodbye", conversation=conversation.id)
        assert "goodbye" in second.lower()
        listed = await client.conversations.items.list(conversation.id, order="asc")
        texts = [part.text for item in listed.data for part in item.content]
        assert texts == ["Say hello", first.output_text, "Say goodbye", second]


@pytest.mark.parametrize("client", ["openai_client", "client_with_models"])
async def test_response_non_streaming_web_search(tmp_path: Path, client: str) -> None:
    case = f"test_response_non_streaming_web_search[{client}-txt=openai/gpt-4o-llama_experts]"
    async with recorded(tmp_path, case) as served:
        question = "How many experts does the Llama 4 Maverick model have?"
        response = await served.create(model=MODEL, input=question, tools=[{"type": "web_search"}])
        assert [item["type"] for item in response["output"]] == ["web_search_call", "message"]
        search = response["output"][0]
        assert search["status"] == "completed"
        assert search["action"]["type"] == "search"
        assert "Llama 4 Maverick" in search["action"]["query"]
        assert "sources" not in search["action"]
        assert "128" in text_of(response)


async def test_the_streaming_twin_has_the_recorded_shape(tmp_path: Path) -> None:
    case = "test_response_non_streaming_web_search[openai_client-txt=openai/gpt-4o-llama_experts]"
    async with recorded(tmp_path, case) as served:
        events = await served.stream(
            model=MODEL,
            input="How many experts does the Llama 4 Maverick model have?",
            tools=[{"type": "web_search"}],
            include=["web_search_call.action.sources"],
        )
        kinds = list(dict.fromkeys(event["type"].removeprefix("response.") for event in events))
        assert kinds == [
            "created",
            "in_progress",
            "output_item.added",
            "web_search_call.in_progress",
            "web_search_call.searching",
            "web_search_call.completed",
            "output_item.done",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "completed",
        ]
        added = next(event for event in events if event["type"] == "response.output_item.added")
        assert "action" not in added["item"]
        response = events[-1]["response"]
        assert response["output"][0]["action"]["sources"][0]["url"].startswith("http")
        assert "128" in text_of(response)


async def test_response_streaming_web_search_with_the_dated_tool(tmp_path: Path) -> None:
    async with recorded(tmp_path, "test_response_streaming_web_search[openai_client-txt=openai/gpt-4o") as served:
        question = "What is the latest version of Python?"
        tools = [{"type": "web_search_2025_08_26"}]
        status, answer = await served.ask(
            "POST", "/responses", {"model": MODEL, "input": question, "tools": tools, "stream": False}
        )
        # the search itself was not recorded for this case; the model's side was, and is told that the search failed
        assert status == 200
        assert answer["tools"][0]["type"] == "web_search_2025_08_26"
        assert answer["output"][0]["type"] == "web_search_call"


@pytest.mark.parametrize(
    ("case", "question", "expected"),
    [
        ("earth", "Which planet do humans live on?", "earth"),
        ("saturn", "Which planet has rings around it with a name starting with letter S?", "saturn"),
    ],
)
async def test_a_plain_question_in_both_forms(tmp_path: Path, case: str, question: str, expected: str) -> None:
    async with recorded(tmp_path, f"[openai_client-txt=openai/gpt-4o-{case}]") as served:
        response = await served.create(model=MODEL, input=question)
        assert expected in text_of(response).lower()
        assert response["usage"]["total_tokens"] > 0
        streamed = await served.stream(model=MODEL, input=question)
        assert expected in text_of(streamed[-1]["response"]).lower()
        stored = await served.client.responses.retrieve(response["id"])
        assert stored.output_text == text_of(response)


def structured() -> list[tuple[str, dict[str, Any]]]:
    """The recorded requests with a schema: test id and body."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((SHARED / "recordings" / "responses").glob("*.json")):
        exchange: dict[str, Any] = json.loads(path.read_bytes())
        body: dict[str, Any] = exchange["request"].get("body") or {}
        case = exchange["test_id"] or ""
        if body.get("response_format") and "txt=openai/gpt-4o" in case:
            found.setdefault(case.rpartition("::")[2], body)
    return sorted(found.items())


@pytest.mark.parametrize(("case", "asked"), structured() if SHARED.is_dir() else [])
async def test_structured_output(tmp_path: Path, case: str, asked: dict[str, Any]) -> None:
    given = asked["response_format"]
    wanted = {"type": given["type"], **given.get("json_schema", {})}
    messages = [{"role": m["role"], "content": plain(m["content"])} for m in asked["messages"]]
    async with recorded(tmp_path, case) as served:
        response = await served.create(model=MODEL, input=messages, text={"format": wanted})
        assert json.loads(text_of(response))
        assert response["text"]["format"]["type"] == given["type"]


def plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


async def test_a_request_that_was_never_recorded_is_a_loud_miss(tmp_path: Path) -> None:
    async with recorded(tmp_path, "") as served:
        status, answer = await served.ask("POST", "/responses", {"model": MODEL, "input": "Nobody ever asked this."})
        assert status == 400
        assert answer["error"]["code"] == "replay_miss"


CLIENTS = pytest.mark.parametrize(
    "client", [f"{one}-txt={two}" for one in ("openai_client", "client_with_models") for two in ("openai", "azure")]
)


def declared(case: str) -> list[dict[str, Any]]:
    """The functions that a recorded case shows the model, as a client declares them."""
    for path in sorted((SHARED / "recordings" / "responses").glob("*.json")):
        exchange: dict[str, Any] = json.loads(path.read_bytes())
        if f"::{case}[" in (exchange["test_id"] or ""):
            return [
                {"strict": False, **each["function"], "type": "function"}
                for each in exchange["request"]["body"]["tools"]
            ]
    raise AssertionError(case)


@CLIENTS
async def test_function_call_output_list_file(tmp_path: Path, client: str) -> None:
    case = "test_function_call_output_list_file"
    async with recorded(tmp_path, f"{case}[{client}/gpt-4o]") as served:
        question = {"role": "user", "content": "Get the latest quarterly report for Acme Corp and summarize it."}
        tools = declared(case)
        first = await served.create(model=MODEL, input=[question], tools=tools)
        (call,) = first["output"]
        assert (call["type"], call["name"]) == ("function_call", "get_report")
        assert json.loads(call["arguments"]) == {"company": "Acme Corp"}
        report = "Q3 2024 Report: Revenue was $50M, up 12% YoY. Net income was $8M."
        output = {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": [{"type": "input_text", "text": report}],
        }
        second = await served.create(model=MODEL, input=[question, call, output], tools=tools)
        assert "50" in text_of(second)
        third = await served.create(model=MODEL, input=[output], tools=tools, previous_response_id=first["id"])
        assert text_of(third) == text_of(second)


@CLIENTS
async def test_response_function_call_ordering(tmp_path: Path, client: str) -> None:
    case = "test_response_function_call_ordering_1"
    async with recorded(tmp_path, f"{case}[{client}/gpt-4o") as served:
        question = {"role": "user", "content": "What's the weather like in San Francisco?"}
        tools = declared(case)
        first = await served.create(model=MODEL, input=[question], tools=tools, stream=False)
        (call,) = first["output"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "It is raining."}
        second = await served.create(model=MODEL, input=[question, call, output], tools=tools)
        assert "rain" in text_of(second)


@pytest.mark.parametrize("provider", ["openai", "azure"])
async def test_openai_response_with_parallel_tool_calls_disabled(tmp_path: Path, provider: str) -> None:
    case = "test_openai_response_with_parallel_tool_calls_disabled"
    async with recorded(tmp_path, f"{case}[txt={provider}/gpt-4o]") as served:
        question = "What is the weather in Paris and the current time in London?"
        response = await served.create(model=MODEL, input=question, tools=declared(case), parallel_tool_calls=False)
        assert [item["name"] for item in response["output"]] == ["get_weather"]
        assert response["parallel_tool_calls"] is False
