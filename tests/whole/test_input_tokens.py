"""Counting what a response would take in."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest

from antiphon.adapters.models.scripted import Scripted
from antiphon.core.counting import IMAGE, MESSAGE, REPLY, TILE, UNKNOWN
from tests.schemas import validate
from tests.shared import SHARED
from tests.whole.house import Json, Whole, whole

STEP = {"acts": [{"act": "says", "text": "Hello to you."}]}
EACH = MESSAGE + 1  # what a message costs beside its text: its role is one token
WEATHER = {"type": "function", "name": "weather", "description": "How it is outside.", "parameters": {"type": "object"}}

FORGED: Json = {"type": "reasoning", "summary": [], "encrypted_content": "x"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[Whole]:
    async with whole(tmp_path, models=[{"name": "s", "kind": "scripted", "steps": [STEP]}]) as found:
        yield found


async def count(served: Whole, **body: Any) -> int:
    status, answer = await served.ask("POST", "/responses/input_tokens", body)
    assert status == 200, answer
    assert list(answer) == ["object", "input_tokens"]
    if SHARED.is_dir():
        validate("TokenCountsResource", answer)
    return answer["input_tokens"]


async def test_the_official_client_counts(served: Whole) -> None:
    counted = await served.client.responses.input_tokens.count(model="scripted", input="Hello, world!")
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == REPLY + EACH + 4


async def test_nothing_is_started(served: Whole) -> None:
    await count(served, model="scripted", input="Hi")
    assert cast("Scripted", served.composition.catalog.endpoints["s"]).asked == []
    assert (await served.ask("GET", "/responses"))[1]["data"] == []


async def test_everything_may_be_left_out(served: Whole) -> None:
    assert await count(served) == REPLY
    assert await count(served, model=None, input=None, tools=None, conversation=None, text=None) == REPLY
    assert await count(served, input="Hello, world!", personality="friendly") == REPLY + EACH + 4


async def test_instructions_tools_and_formats_are_counted(served: Whole) -> None:
    plain = await count(served, input="Hi")
    assert await count(served, input="Hi", instructions="Be brief.") == plain + EACH + 3
    with_tool = await count(served, input="Hi", tools=[WEATHER])
    assert with_tool > plain + 10
    assert await count(served, input="Hi", tools=[WEATHER, {**WEATHER, "name": "other"}]) > with_tool + 10
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    form = {"format": {"type": "json_schema", "name": "answer", "schema": schema}}
    assert await count(served, input="Hi", text=form) > plain + 10


async def test_images_are_counted_by_their_size(served: Whole) -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 100, 100)
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"

    async def image(**part: Any) -> int:
        content = [{"type": "input_image", **part}]
        return await count(served, input=[{"role": "user", "content": content}]) - REPLY - EACH

    assert await image(image_url=url) == IMAGE + TILE
    assert await image(image_url=url, detail="low") == IMAGE
    assert await image(image_url="https://example.com/a.png") == UNKNOWN


async def test_files_of_text_are_counted_by_their_text(served: Whole) -> None:
    words = " ".join(["word"] * 500)
    file = {"type": "input_file", "filename": "a.txt", "file_data": base64.b64encode(words.encode()).decode()}
    assert await count(served, input=[{"role": "user", "content": [file]}]) == pytest.approx(500, abs=20)


async def test_the_chain_and_the_conversation_are_counted(served: Whole) -> None:
    first = await served.create(model="scripted", input="Hi")
    chain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello to you."}]
    whole_chain = await count(served, input=[*chain, {"role": "user", "content": "And?"}])
    assert await count(served, input="And?", previous_response_id=first["id"]) == whole_chain
    conversation = await served.client.conversations.create(items=cast("Any", chain))
    assert await count(served, input="And?", conversation=conversation.id) == whole_chain
    assert await count(served, input="And?", conversation={"id": conversation.id}) == whole_chain
    assert await count(served, previous_response_id=first["id"]) < whole_chain


async def test_a_long_input_is_counted_whole(served: Whole) -> None:
    assert await count(served, input="hello world " * 50_000, truncation="auto") == pytest.approx(100_000, abs=50)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": "nobody"}, "model", "model_not_found"),
        ({"previous_response_id": "resp_0"}, "previous_response_id", "previous_response_not_found"),
        ({"previous_response_id": "msg_0"}, "previous_response_id", "invalid_value"),
        (
            {"previous_response_id": "resp_0", "conversation": "conv_0"},
            "previous_response_id",
            "mutually_exclusive_parameters",
        ),
        ({"personality": "x" * 65}, "personality", "string_above_max_length"),
        ({"input": 3}, "input", "invalid_type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "invalid_value"),
        ({"stream": True}, "stream", "unknown_parameter"),
        ({"input": [FORGED]}, None, None),
    ],
)
async def test_what_could_not_be_sent_cannot_be_counted(
    served: Whole, body: Json, param: str | None, code: str | None
) -> None:
    status, answer = await served.ask("POST", "/responses/input_tokens", body)
    assert status == 400
    assert answer["error"]["param"] == (param or "input[0].encrypted_content")
    assert answer["error"]["code"] == (code or "invalid_encrypted_content")


async def test_an_unknown_conversation_is_not_found(served: Whole) -> None:
    status, _ = await served.ask("POST", "/responses/input_tokens", {"conversation": "conv_0"})
    assert status == 404
