"""The official Python client: every way in which it uses Responses and Conversations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import openai
import pytest
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.responses import Response
from pydantic import BaseModel

from tests.clients.stage import ADDS, MODEL, says, stage
from tests.patience import eventually
from tests.whole.house import DEADLINE, Json, Whole
from tests.whole.scripts import model_of, texts, waiting


class City(BaseModel):
    city: str


class Add(BaseModel):
    """Add two numbers."""

    a: int
    b: int


CITY = says('{"city": ', '"Paris"}', when="city")


async def ended(served: Whole, response_id: str) -> Response:
    """The background response once it is final."""

    async def final() -> bool:
        return (await served.client.responses.retrieve(response_id)).status not in {"queued", "in_progress"}

    await eventually(final, deadline=DEADLINE)
    return await served.client.responses.retrieve(response_id)


async def test_create_and_continue(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        create = served.client.responses.create
        first = await create(model=MODEL, input="Hi", instructions="Be kind.", metadata={"a": "b"}, temperature=0.5)
        assert (first.output_text, first.metadata, first.temperature) == ("Hello", {"a": "b"}, 0.5)
        second = await create(model=MODEL, input="And?", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        assert texts(served) == ["Hi", "Hello", "And?"]
        listed = [item async for item in served.client.responses.input_items.list(second.id, order="asc")]
        assert [item.type for item in listed] == ["message", "message", "message"]
        await served.client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await served.client.responses.retrieve(first.id)


async def test_a_stream_read_event_by_event(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        stream = await served.client.responses.create(model=MODEL, input="Hi", stream=True)
        events = [event async for event in stream]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello"
        assert events[-1].type == "response.completed"


async def test_the_stream_that_accumulates(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, CITY) as served,
        served.client.responses.stream(model=MODEL, input="A city?", text_format=City) as stream,
    ):
        text = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
        assert text[-1] == final.output_text
        assert final.output_parsed == City(city="Paris")


async def test_parse_gives_a_model(tmp_path: Path) -> None:
    async with stage(tmp_path, CITY) as served:
        response = await served.client.responses.parse(model=MODEL, input="A city?", text_format=City)
        assert response.output_parsed == City(city="Paris")


async def test_parse_gives_the_arguments_of_a_call(tmp_path: Path) -> None:
    async with stage(tmp_path, ADDS) as served:
        tool = openai.pydantic_function_tool(Add, name="add")
        function = tool["function"]
        offered: list[Any] = [{"type": "function", **function}]
        response = await served.client.responses.parse(model=MODEL, input="2+3?", tools=offered)
        call = response.output[0]
        assert call.type == "function_call"
        assert (call.name, call.call_id) == ("add", "call_add")
        output: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "5"}]
        after = await served.client.responses.create(
            model=MODEL, input=output, previous_response_id=response.id, tools=offered
        )
        assert after.output_text == "Hello"


async def test_background_polled_resumed_and_cancelled(tmp_path: Path) -> None:
    async with stage(tmp_path, waiting("slow", "Late"), waiting("never")) as served:
        responses = served.client.responses
        queued = await responses.create(model=MODEL, input="slow", background=True)
        assert queued.status == "queued"
        model_of(served).open("slow")
        assert (await ended(served, queued.id)).output_text == "Late"

        stream = await responses.create(model=MODEL, input="Hi", background=True, stream=True)
        created = await anext(aiter(stream))
        assert created.type == "response.created"
        await stream.close()
        rest = await responses.retrieve(created.response.id, stream=True, starting_after=created.sequence_number)
        events = [event async for event in rest]
        assert [event.sequence_number for event in events] == list(range(1, len(events) + 1))
        assert events[-1].type == "response.completed"
        async with responses.stream(response_id=created.response.id, starting_after=3) as following:
            assert (await following.get_final_response()).output_text == "Hello"

        running = await responses.create(model=MODEL, input="never", background=True)
        async with asyncio.timeout(DEADLINE):
            await model_of(served).reached("never")
        assert (await responses.cancel(running.id)).status == "cancelled"
        assert (await responses.retrieve(running.id)).status == "cancelled"


async def test_a_compacted_context_is_accepted_back(tmp_path: Path) -> None:
    async with stage(tmp_path, says("They greeted.", when="summar")) as served:
        first = await served.client.responses.create(model=MODEL, input="Hi")
        compacted = await served.client.responses.compact(model=MODEL, previous_response_id=first.id)
        assert compacted.object == "response.compaction"
        assert compacted.output[-1].type == "compaction"
        # its type has answers only, and a compacted context has the users' messages too
        window = [item.to_dict(warnings=False) for item in compacted.output]
        again: list[Any] = [*window, {"role": "user", "content": "And?"}]
        assert (await served.client.responses.create(model=MODEL, input=again)).output_text == "Hello"


async def test_input_tokens_are_counted(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        count = served.client.responses.input_tokens.count
        short = await count(model=MODEL, input="Hi")
        long = await count(model=MODEL, input="Hi, how are you?", instructions="Be kind.")
        assert 0 < short.input_tokens < long.input_tokens
        assert not model_of(served).asked


async def test_conversations_and_their_items(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        conversations = served.client.conversations
        made = await conversations.create(
            metadata={"a": "b"}, items=[{"type": "message", "role": "user", "content": "One"}]
        )
        assert (await conversations.update(made.id, metadata={"c": "d"})).metadata == {"c": "d"}
        added = await conversations.items.create(made.id, items=[{"type": "message", "role": "user", "content": "Two"}])
        item_id = added.data[0].id
        assert item_id is not None
        assert (await conversations.items.retrieve(item_id, conversation_id=made.id)).type == "message"
        answer = await served.client.responses.create(model=MODEL, input="Three", conversation=made.id)
        assert answer.conversation is not None
        assert texts(served) == ["One", "Two", "Three"]
        await conversations.items.delete(item_id, conversation_id=made.id)
        pages = conversations.items.list(made.id, order="asc", limit=2)
        listed = [item.to_dict() async for item in pages]
        told = [part["text"] for item in cast("list[Json]", listed) for part in item["content"]]
        assert told == ["One", "Three", "Hello"]
        assert (await conversations.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await conversations.retrieve(made.id)


async def completed(connection: AsyncResponsesConnection) -> Response:
    """The response whose events come next."""
    async with asyncio.timeout(DEADLINE):
        while (event := await connection.recv()).type != "response.completed":
            assert event.type != "error"
    return event.response


async def test_a_websocket_with_a_tool(tmp_path: Path) -> None:
    tools: list[Any] = [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}]
    output: list[Any] = [{"type": "function_call_output", "call_id": "call_add", "output": "5"}]
    async with stage(tmp_path, ADDS) as served, served.client.responses.connect() as connection:
        create = connection.response.create
        await create(model=MODEL, input="2+3?", tools=tools, store=False)
        first = await completed(connection)
        await create(model=MODEL, input=output, tools=tools, store=False, previous_response_id=first.id)
        assert (await completed(connection)).output_text == "Hello"


async def test_errors_are_the_types_of_the_client(tmp_path: Path) -> None:
    async with stage(tmp_path) as served:
        with pytest.raises(openai.BadRequestError) as refused:
            await served.client.responses.create(model=MODEL, input="Hi", temperature=3)
        assert refused.value.param == "temperature"
        with pytest.raises(openai.BadRequestError) as unknown:
            await served.client.responses.create(model="none", input="Hi")
        assert unknown.value.code == "model_not_found"
        assert unknown.value.request_id
