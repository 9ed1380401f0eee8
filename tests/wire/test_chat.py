"""Chat completions: what is refused, that the rest is kept whole, and what the answers look like."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion as ClientCompletion
from openai.types.chat import ChatCompletionChunk as ClientChunk

from antiphon.wire import chat
from antiphon.wire.codec import builtins, decode
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.models import Model, ModelList
from antiphon.wire.requests import parse_chat
from tests.recorded import chat_streams
from tests.schemas import validate
from tests.shared import needs_shared

LEAST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def parsed(**fields: Any) -> chat.ChatRequest:
    return parse_chat(json.dumps({**LEAST, **fields}).encode())


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "empty_array", "messages"),
    ({"messages": None}, "invalid_type", "messages"),
    ({"messages": "hi"}, "invalid_type", "messages"),
    ({"messages": [{"content": "hi"}]}, "missing_required_parameter", "messages[0].role"),
    ({"messages": [{"role": "king", "content": "hi"}]}, "invalid_value", "messages[0].role"),
    ({"messages": [{"role": "user", "content": 1}]}, "invalid_type", "messages[0].content"),
    ({"model": ""}, "empty_string", "model"),
    ({"model": None}, "invalid_type", "model"),
    ({"n": 0}, "integer_below_min_value", "n"),
    ({"n": 129}, "integer_above_max_value", "n"),
    ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
    ({"top_p": -1}, "decimal_below_min_value", "top_p"),
    ({"presence_penalty": 3}, "decimal_above_max_value", "presence_penalty"),
    ({"frequency_penalty": -3}, "decimal_below_min_value", "frequency_penalty"),
    ({"top_logprobs": 21, "logprobs": True}, "integer_above_max_value", "top_logprobs"),
    ({"top_logprobs": 2}, "unsupported_parameter", "top_logprobs"),
    ({"stream_options": {}}, "unsupported_parameter", "stream_options"),
    ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
    ({"tools": [TOOL] * 129}, "array_above_max_length", "tools"),
    ({"tools": [{}]}, "missing_required_parameter", "tools[0].type"),
    ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
    ({"max_completion_tokens": 0}, "integer_below_min_value", "max_completion_tokens"),
    ({"reasoning_effort": "total"}, "invalid_value", "reasoning_effort"),
]


@pytest.mark.parametrize(("fields", "code", "param"), WRONG)
def test_a_wrong_parameter_is_told_with_its_code_and_place(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize("missing", LEAST)
def test_model_and_messages_are_required(missing: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_chat(json.dumps({key: value for key, value in LEAST.items() if key != missing}).encode())
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", missing)


def test_the_body_is_kept_whole_with_what_nobody_knows() -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}, "chat_template_kwargs": {"a": [None]}, "n": 2}
    request = parsed(**fields)
    assert (request.model, request.stream) == ("m", True)
    assert request.body == {**LEAST, **fields}


def test_null_is_absent() -> None:
    nulls = dict.fromkeys(set(chat.ChatParams.__struct_fields__) - set(LEAST))
    assert parsed(**nulls).stream is False


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}'])
def test_a_body_that_cannot_be_read_is_invalid_json(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_chat(body)
    assert caught.value.code == "invalid_json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["role", "content", "type"]), inner, max_size=3)
    ),
    max_leaves=10,
)


def fault(value: object) -> InvalidRequestError | None:
    try:
        parse_chat(json.dumps(value).encode())
    except InvalidRequestError as error:
        return error
    return None


@given(st.dictionaries(st.sampled_from(chat.ChatParams.__struct_fields__), JSON).map(lambda more: {**LEAST, **more}))
def test_whatever_json_comes_in_is_understood_or_refused(value: object) -> None:
    error = fault(value)
    assert error is None or (error.code and error.message)


ANSWER = chat.ChatCompletion(
    id="chatcmpl-1",
    created=1,
    model="m",
    choices=(
        chat.ChatChoice(
            message=chat.ChatAnswer(
                tool_calls=(chat.ChatToolCall(id="call_1", function=chat.ChatFunction(name="f", arguments="{}")),)
            ),
            finish_reason="tool_calls",
        ),
    ),
    usage=chat.CompletionUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
)
CHUNK = chat.ChatCompletionChunk(
    id="chatcmpl-1",
    created=1,
    model="m",
    choices=(chat.ChatChunkChoice(delta=chat.ChatPiece(role="assistant", content="")),),
    usage=None,
)


@needs_shared
def test_the_answers_are_what_the_document_of_openai_says() -> None:
    validate("CreateChatCompletionResponse", builtins(ANSWER))
    validate("CreateChatCompletionStreamResponse", builtins(CHUNK))


def test_the_answers_are_those_of_the_official_client() -> None:
    assert ClientCompletion.model_validate(builtins(ANSWER)).choices[0].finish_reason == "tool_calls"
    assert ClientChunk.model_validate(builtins(CHUNK)).choices[0].delta.role == "assistant"


@needs_shared
def test_recorded_chunks_are_read_with_all_their_nulls() -> None:
    for recording in chat_streams()[:40]:
        for chunk in recording.chunks:
            read = decode(msgspec.json.encode(chunk), chat.ChatChunk)
            assert [choice.delta and choice.delta.content for choice in read.choices or ()] == [
                choice["delta"].get("content") for choice in chunk["choices"]
            ]


@needs_shared
def test_models_are_what_the_document_of_openai_says() -> None:
    models = ModelList(data=(Model(id="m"), Model(id="e/m", created=1, owned_by="e", shutdown_date="2027-01-01")))
    validate("ListModelsResponse", builtins(models))
    assert "shutdown_date" not in builtins(models)["data"][0]
