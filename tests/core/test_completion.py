"""Chat completions of models that we run: the request read, the answer rendered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from antiphon.core.chat import chat_body
from antiphon.core.completion import Chunks, Head, completion
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.inquiry import generate_of
from antiphon.wire.chat import ChatRequest
from antiphon.wire.content import LogProb
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.responses import JsonObjectFormat, JsonSchemaFormat, Usage
from antiphon.wire.tools import NamedChoice

HEAD = Head("chatcmpl-1", 17, "m")
USAGE = Usage(input_tokens=1, output_tokens=2, total_tokens=3)


def rendered(*deltas: Delta, usage: bool = False) -> list[dict[str, Any]]:
    chunks = Chunks(HEAD, usage=usage)
    return [json.loads(document) for delta in deltas for document in chunks.render([delta])]


def whole(*deltas: Delta) -> dict[str, Any]:
    return json.loads(completion(HEAD, deltas))


def request(messages: list[dict[str, Any]], **fields: Any) -> ChatRequest:
    return ChatRequest(model="m", stream=False, body={"model": "m", "messages": messages, **fields})


def user(content: Any = "Hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_the_first_chunk_has_the_role_and_the_last_the_finish_word() -> None:
    first, second, last = rendered(TextDelta("a"), TextDelta("b"), StepEnded("length"))
    assert first == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 17,
        "model": "m",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "a"}, "logprobs": None, "finish_reason": None}
        ],
    }
    assert second["choices"][0]["delta"] == {"content": "b"}
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}


def test_usage_is_a_chunk_of_its_own_when_asked_for() -> None:
    first, last, usage = rendered(TextDelta("a"), StepEnded("stop", USAGE), usage=True)
    assert first["usage"] is None
    assert last["usage"] is None
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (1, 2)
    assert all("usage" not in document for document in rendered(TextDelta("a"), StepEnded("stop", USAGE)))


def test_calls_keep_their_index_and_tell_id_and_name_once() -> None:
    found = rendered(CallDelta(1, "c", "f", ""), CallDelta(1, None, None, "{}"), StepEnded(None))
    assert [document["choices"][0]["delta"].get("tool_calls") for document in found] == [
        [{"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 1, "function": {"arguments": "{}"}}],
        None,
    ]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_whole_completion_joins_the_pieces() -> None:
    found = whole(
        ReasoningDelta("hm"),
        TextDelta("a", (LogProb(token="a", logprob=-1.0),)),
        TextDelta("b"),
        CallDelta(0, "c", "f", '{"x":'),
        CallDelta(0, None, None, "1}"),
        CallDelta(0, "d", "g", None),
        StepEnded(None, USAGE),
    )
    (choice,) = found["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "ab",
        "refusal": None,
        "annotations": [],
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert choice["logprobs"]["content"][0]["token"] == "a"
    assert found["usage"]["total_tokens"] == 3


def test_a_refusal_has_no_content() -> None:
    message = whole(RefusalDelta("No"), StepEnded("stop"))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "No")


def test_messages_become_items_that_give_the_same_messages_again() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    messages = [
        {"role": "system", "content": "Be kind"},
        {"role": "developer", "content": "Be brief"},
        user([{"type": "text", "text": "Look"}, image]),
        {"role": "assistant", "content": "I see", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        {"role": "assistant", "content": None, "refusal": "No"},
        user(),
    ]
    wanted = generate_of(request(messages))
    assert chat_body(wanted, Dialect())["messages"] == messages


def test_parameters_tools_and_choice_are_read() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    wanted = generate_of(
        request(
            [user()],
            tools=[{"type": "function", "function": function}],
            tool_choice={"type": "function", "function": {"name": "f"}},
            parallel_tool_calls=False,
            max_tokens=9,
            temperature=0.5,
            n=1,
            unknown={"is": "left alone"},
        )
    )
    (offer,) = wanted.offers
    assert (offer.name, offer.description, offer.parameters, offer.strict) == ("f", "d", {"type": "object"}, True)
    assert wanted.tool_choice == NamedChoice(type="function", name="f")
    assert wanted.max_output_tokens == 9
    assert (wanted.request.temperature, wanted.request.parallel_tool_calls) == (0.5, False)


def test_other_forms_of_choice_and_format_are_read() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    allowed = {"mode": "required", "tools": tools[:1]}
    wanted = generate_of(
        request([user()], tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    )
    assert [offer.name for offer in wanted.offers] == ["f"]
    assert wanted.tool_choice == "required"
    assert generate_of(request([user()], tool_choice="none")).tool_choice == "none"
    assert generate_of(request([user()], tool_choice={"type": "custom"})).tool_choice == NamedChoice(
        type="custom", name=UNSET
    )
    plain = generate_of(request([user()], response_format={"type": "json_object"}))
    assert plain.request.text.format == JsonObjectFormat()
    schema: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    strict = generate_of(request([user()], response_format=schema))
    assert strict.request.text.format == JsonSchemaFormat(name="n", schema={})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [user([{"type": "hologram"}])]}, "messages[0].content[0].type"),
        ({"messages": [user()], "n": 2}, "n"),
        ({"messages": [user()], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_is_no_chat_request_is_refused_with_its_place(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        generate_of(ChatRequest(model="m", stream=False, body=body))
    assert caught.value.param == param
