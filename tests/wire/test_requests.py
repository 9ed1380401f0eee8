"""Requests: every parameter, its limits, what excludes what; what real clients send; and whatever else comes in."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire.codec import Unknown, encode
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.events import Created
from antiphon.wire.frames import encode_event
from antiphon.wire.items import ItemReference, Message
from antiphon.wire.pages import PageParams, parse_page
from antiphon.wire.requests import (
    echo,
    parse_conversation,
    parse_conversation_items,
    parse_conversation_update,
    parse_create,
    parse_frame,
    parse_include,
)
from antiphon.wire.responses import (
    ConversationRef,
    CreateResponse,
    JsonSchemaFormat,
    ReasoningConfig,
    TextConfig,
    parse_response,
)
from antiphon.wire.tools import FunctionTool
from tests.shared import SHARED, needs_shared

LEAST = {"model": "m", "input": "hi"}
F = {"type": "function", "name": "f"}


class Case(NamedTuple):
    fields: dict[str, Any]
    code: str
    param: str
    message: str = ""


def create(**fields: Any) -> CreateResponse:
    return parse_create(json.dumps({**LEAST, **fields}).encode())


def refused(body: bytes, **options: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_create(body, **options)
    return caught.value


def fault(body: bytes) -> InvalidRequestError | None:
    try:
        parse_create(body)
    except InvalidRequestError as error:
        return error
    return None


WRONG = [
    Case({"model": None}, "missing_required_parameter", "model", "Missing required parameter: 'model'."),
    Case({"model": 1}, "invalid_type", "model"),
    Case({"input": None}, "missing_required_parameter", "input"),
    Case({"input": []}, "missing_required_parameter", "input"),
    Case({"input": 1}, "invalid_type", "input"),
    Case({"input": [1]}, "invalid_type", "input[0]"),
    Case({"input": [{"role": "king", "content": "a"}]}, "invalid_value", "input[0].role"),
    Case({"input": "x" * 10_485_761}, "string_above_max_length", "input"),
    Case({"instructions": ["a"]}, "invalid_type", "instructions"),
    Case({"previous_response_id": "msg_1"}, "invalid_value", "previous_response_id"),
    Case(
        {"conversation": "resp_1"},
        "invalid_value",
        "conversation",
        "Invalid 'conversation': 'resp_1'. Expected an ID that begins with 'conv_'.",
    ),
    Case({"conversation": {"id": ""}}, "invalid_value", "conversation"),
    Case({"conversation": {}}, "missing_required_parameter", "conversation.id"),
    Case({"conversation": 3}, "invalid_type", "conversation"),
    Case(
        {"conversation": "conv_1", "previous_response_id": "resp_1"},
        "mutually_exclusive_parameters",
        "previous_response_id",
    ),
    Case({"store": "yes"}, "invalid_type", "store"),
    Case({"background": True, "store": False}, "unsupported_parameter", "background"),
    Case({"stream": 1}, "invalid_type", "stream"),
    Case({"stream_options": {"include_obfuscation": True}}, "unsupported_parameter", "stream_options"),
    Case({"include": ["everything"]}, "invalid_value", "include[0]"),
    Case({"include": "everything"}, "invalid_type", "include"),
    Case({"tools": {}}, "invalid_type", "tools"),
    Case({"tools": [{}]}, "missing_required_parameter", "tools[0].type"),
    Case({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
    Case({"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
    Case({"tool_choice": F}, "invalid_value", "tool_choice", "Tool choice 'f' not found in 'tools' parameter."),
    Case({"tool_choice": {"type": "function", "name": "g"}, "tools": [F]}, "invalid_value", "tool_choice"),
    Case({"tool_choice": {"type": "file_search"}, "tools": [F]}, "invalid_value", "tool_choice"),
    Case({"tool_choice": {"type": "mcp", "server_label": "a"}, "tools": [F]}, "invalid_value", "tool_choice"),
    Case(
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [F, {"type": "function", "name": "g"}]}}
        | {"tools": [F]},
        "invalid_value",
        "tool_choice",
        "Tool choice 'g' not found in 'tools' parameter.",
    ),
    Case({"tool_choice": "required"}, "invalid_value", "tool_choice"),
    Case({"parallel_tool_calls": "no"}, "invalid_type", "parallel_tool_calls"),
    Case({"max_tool_calls": 0}, "integer_below_min_value", "max_tool_calls"),
    Case(
        {"max_output_tokens": 15},
        "integer_below_min_value",
        "max_output_tokens",
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
    ),
    Case({"max_output_tokens": 16.5}, "invalid_type", "max_output_tokens"),
    Case(
        {"temperature": -1},
        "decimal_below_min_value",
        "temperature",
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    Case({"temperature": 2.01}, "decimal_above_max_value", "temperature"),
    Case({"temperature": "hot"}, "invalid_type", "temperature"),
    Case({"top_p": 1.1}, "decimal_above_max_value", "top_p"),
    Case({"top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
    Case({"top_logprobs": -1}, "integer_below_min_value", "top_logprobs"),
    Case({"presence_penalty": 3}, "decimal_above_max_value", "presence_penalty"),
    Case({"frequency_penalty": -3}, "decimal_below_min_value", "frequency_penalty"),
    Case({"text": {"format": {}}}, "missing_required_parameter", "text.format.type"),
    Case({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
    Case({"text": {"format": {"type": "json_schema", "schema": {}}}}, "missing_required_parameter", "text.format.name"),
    Case(
        {"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}, "invalid_value", "text.format.name"
    ),
    Case({"text": {"verbosity": "chatty"}}, "invalid_value", "text.verbosity"),
    Case({"reasoning": {"effort": "total"}}, "invalid_value", "reasoning.effort"),
    Case({"reasoning": "low"}, "invalid_type", "reasoning"),
    Case({"truncation": "some"}, "invalid_value", "truncation"),
    Case({"context_management": [{"type": "forgetting"}]}, "invalid_value", "context_management[0].type"),
    Case(
        {"context_management": [{"type": "compaction", "compact_threshold": 999}]},
        "integer_below_min_value",
        "context_management[0].compact_threshold",
    ),
    Case({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "metadata"),
    Case({"metadata": {"k" * 65: ""}}, "string_above_max_length", f"metadata.{'k' * 65}"),
    Case({"metadata": {"a": "", "k": "v" * 513}}, "string_above_max_length", "metadata.k"),
    Case({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    Case({"service_tier": "first class"}, "invalid_value", "service_tier"),
    Case({"safety_identifier": "s" * 65}, "string_above_max_length", "safety_identifier"),
    Case({"prompt_cache_key": "s" * 65}, "string_above_max_length", "prompt_cache_key"),
    Case({"prompt_cache_options": {"ttl": "1h"}}, "invalid_value", "prompt_cache_options.ttl"),
    Case({"prompt": {}}, "missing_required_parameter", "prompt.id"),
    Case({"user": 1}, "invalid_type", "user"),
    Case({"tempratur": 1}, "unknown_parameter", "tempratur", "Unknown parameter: 'tempratur'."),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case.param[:40]} {case.code}")
def test_a_wrong_parameter_is_told_with_its_code_and_place(case: Case) -> None:
    error = refused(json.dumps({**LEAST, **case.fields}).encode())
    assert (error.code, error.param, error.http_status) == (case.code, case.param, 400)
    assert case.message in {"", error.message}


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1, "top_logprobs": 20, "presence_penalty": -2, "frequency_penalty": 2},
        {"temperature": 2, "top_p": 0, "top_logprobs": 0, "max_output_tokens": 16, "max_tool_calls": 1},
        {"metadata": {"k" * 64: "v" * 512, **{str(n): "" for n in range(15)}}},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"background": True, "stream": True},
        {"tools": [{"type": "web_search_2025_08_26"}], "tool_choice": {"type": "web_search"}},
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search_preview_2025_03_11"}},
        {"tools": [{"type": "antiphon:odd"}], "tool_choice": {"type": "antiphon:odd"}},
        {"tools": [{"type": "namespace", "name": "n", "tools": [F]}], "tool_choice": F},
        {"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://a.b"}]}
        | {"tool_choice": {"type": "mcp", "server_label": "a", "name": "t"}},
        {"tools": [F], "tool_choice": "required", "text": {"format": {"type": "json_object"}}},
        {"include": [], "tools": [], "reasoning": {}, "text": {}, "metadata": {}},
        {"input": [{"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [F]}], "tool_choice": F},
    ],
)
def test_the_limits_themselves_are_allowed(fields: dict[str, Any]) -> None:
    assert create(**fields).model == "m"


def test_null_is_absent() -> None:
    nulls = {name: None for name in CreateResponse.__struct_fields__ if name not in LEAST}
    assert create(**nulls) == create()


def test_a_string_is_a_message_of_the_user() -> None:
    assert create().input == (Message(role="user", content=(InputText(text="hi"),)),)


@pytest.mark.parametrize(
    "fields", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}]
)
def test_input_may_be_absent_where_there_is_something_to_answer(fields: dict[str, Any]) -> None:
    assert parse_create(json.dumps({"model": "m", **fields}).encode()).input == ()


def test_items_come_as_messages_references_and_unknown_objects() -> None:
    request = create(
        input=[{"role": "assistant", "content": "hm"}, {"id": "msg_1"}, {"type": "antiphon:odd", "deep": {"a": None}}]
    )
    assert request.input == (
        Message(role="assistant", content=(OutputText(text="hm"),)),
        ItemReference(id="msg_1"),
        Unknown({"type": "antiphon:odd", "deep": {"a": None}}),
    )


def test_a_conversation_may_be_an_id_or_an_object() -> None:
    wanted = ConversationRef(id="conv_1")
    assert create(conversation="conv_1").conversation == create(conversation={"id": "conv_1"}).conversation == wanted


def test_settings_of_the_text_and_of_reasoning_take_their_defaults() -> None:
    assert create(text={"format": None, "verbosity": None}).text == TextConfig()
    schema = create(text={"format": {"type": "json_schema", "name": "a", "schema": {"$schema": "x"}, "strict": None}})
    assert schema.text.format == JsonSchemaFormat(name="a", schema={"$schema": "x"})
    assert create(reasoning={"effort": "low", "mode": None}).reasoning == ReasoningConfig(effort="low")


def test_tools_are_read_as_their_types() -> None:
    assert create(tools=[F]).tools == (FunctionTool(name="f"),)


def test_what_clients_are_known_to_add_is_tolerated() -> None:
    assert create(client_metadata={"session_id": "x"}) == create()


def test_unknown_parameters_are_ignored_when_not_strict() -> None:
    assert parse_create(json.dumps({**LEAST, "new": 1}).encode(), strict=False) == create()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": "m", "input": "\xff"}', b'{"input":' + b"[" * 10**5])
def test_a_body_that_cannot_be_read_is_invalid_json(body: bytes) -> None:
    assert refused(body).code == "invalid_json"


@pytest.mark.parametrize("depth", [100, 500, *range(700, 1000, 10), 20_000])
def test_a_body_is_refused_that_could_not_be_sent_back(depth: int) -> None:
    tool = b'{"type":"function","name":"f","parameters":{"a":' + b"[" * depth + b"]" * depth + b"}}"
    body = b'{"model":"m","input":"hi","tools":[' + tool + b"]}"
    if depth <= 500:
        assert fault(body) is None
    if fault(body) is None:
        made = echo(parse_create(body), id="resp_1", created_at=1, status="queued", model="m")
        assert parse_response(encode(made)) == made
        assert len(encode_event(Created(response=made))) > depth


# what real clients send

SENT = sorted((SHARED / "client_requests").glob("*.json"))


@needs_shared
def test_the_requests_of_real_clients_are_there() -> None:
    assert len(SENT) == 123


@needs_shared
@pytest.mark.parametrize("path", SENT, ids=lambda path: path.stem)
def test_what_a_real_client_sends_is_understood(path: Any) -> None:
    sent = json.loads(path.read_bytes())
    body = json.dumps(sent["body"]).encode()
    match (sent["method"], sent["path"].partition("?")[0].split("/")[1:]):
        case ("POST", ["v1", "responses"]):
            assert parse_create(body).model == sent["body"]["model"]
        case ("POST", ["v1", "conversations"]):
            assert len(parse_conversation(body).items) == len(sent["body"].get("items", ()))
        case ("POST", ["v1", "conversations", _, "items"]):
            assert len(parse_conversation_items(body)) == len(sent["body"]["items"])
        case ("GET", ["v1", "conversations", _, "items"]):
            assert sent["body"] is None
        case (None, [_, "v1", "responses"]):
            assert parse_frame(body).request.model == sent["body"]["model"]
        case other:
            pytest.fail(f"what is {other}?")


# whatever else comes in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
WORDS = st.sampled_from(
    "type id role content text name format schema tools mode function message user assistant input_text output_text "
    "json_schema allowed_tools mcp web_search".split()
)
LIKELY = st.recursive(
    JSON | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=15
)
BODIES = st.dictionaries(st.sampled_from(CreateResponse.__struct_fields__), LIKELY, max_size=8).map(
    lambda fields: {**LEAST, **fields}
)


@given(BODIES | JSON)
def test_whatever_json_comes_in_is_understood_or_refused(value: object) -> None:
    error = fault(json.dumps(value).encode())
    assert error is None or (error.code and error.message)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_bytes_come_in_are_refused(body: bytes) -> None:
    error = fault(body)
    assert error is not None
    assert error.code


# WebSocket


def frame(**fields: Any) -> Any:
    return parse_frame(json.dumps({"type": "response.create", **LEAST, **fields}).encode())


def test_a_frame_is_a_request_with_its_lane() -> None:
    found = frame(stream_id="a.b", stream=True, stream_options={}, generate=False)
    assert (found.request, found.stream_id, found.generate) == (create(stream=True), "a.b", False)
    assert frame().generate is True


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "other"}, "type"),
        ({"type": None}, "type"),
        ({"background": True}, "background"),
        ({"stream_id": "a b"}, "stream_id"),
        ({"stream_id": ""}, "stream_id"),
        ({"generate": 1}, "generate"),
    ],
)
def test_a_wrong_frame_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        frame(**fields)
    assert caught.value.param == param


# conversations


def test_a_conversation_may_be_made_of_nothing() -> None:
    for body in (b"", b"{}", b'{"items":null,"metadata":null}', b'{"items":[]}'):
        made = parse_conversation(body)
        assert (made.items, made.metadata) == ((), {})


def test_a_conversation_takes_items_that_a_response_does_not() -> None:
    made = parse_conversation(b'{"items":[{"type":"message","role":"critic","content":[{"type":"text","text":"a"}]}]}')
    assert len(made.items) == 1


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"items": [{"role": "user", "content": "a"}] * 21}, "array_above_max_length", "items"),
        ({"items": [{"role": "user", "content": "a"}, 1]}, "invalid_type", "items[1]"),
        ({"items": "a"}, "invalid_type", "items"),
        ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
        ({"item": []}, "unknown_parameter", "item"),
    ],
)
def test_a_wrong_conversation_is_refused(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_conversation(json.dumps(fields).encode())
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"items": []}, "empty_array"),
        ({"items": None}, "invalid_type"),
        ({"items": [{"role": "user", "content": "a"}] * 21}, "array_above_max_length"),
    ],
)
def test_added_items_are_one_to_twenty(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_conversation_items(json.dumps(fields).encode())
    assert (caught.value.code, caught.value.param) == (code, "items")


def test_metadata_is_required_to_update_and_may_be_null() -> None:
    assert parse_conversation_update(b'{"metadata":{"a":"b"}}').metadata == {"a": "b"}
    assert parse_conversation_update(b'{"metadata":null}').metadata == {}
    with pytest.raises(InvalidRequestError) as caught:
        parse_conversation_update(b"{}")
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "metadata")


# queries


def test_a_page_is_as_asked_or_by_default() -> None:
    assert parse_page({}) == PageParams(limit=20, order="desc")
    asked = {"limit": ["5", "7"], "order": "asc", "after": "msg_1", "before": ["msg_9"]}
    assert parse_page(asked) == PageParams(limit=7, order="asc", after="msg_1", before="msg_9")
    assert parse_page({"limit": "", "order": ""}, default=PageParams(order="asc")) == PageParams(order="asc")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "integer_below_min_value"),
        ({"limit": "101"}, "integer_above_max_value"),
        ({"limit": "many"}, "invalid_type"),
        ({"limit": "1.5"}, "invalid_type"),
        ({"limit": "9" * 5000}, "invalid_type"),
        ({"order": "up"}, "invalid_value"),
    ],
)
def test_a_wrong_page_is_refused(query: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_page(query)
    assert (caught.value.code, caught.value.param) == (code, next(iter(query)))


def test_include_may_be_spelled_in_all_ways_of_queries() -> None:
    a, b = "reasoning.encrypted_content", "file_search_call.results"
    for query in ({"include[]": [a, b]}, {"include": [a, b]}, {"include": f"{a},{b}"}, {"include[]": a, "include": b}):
        assert parse_include(query) == (a, b)
    assert parse_include({}) == ()
    with pytest.raises(InvalidRequestError) as caught:
        parse_include({"include[]": [a, "x"]})
    assert (caught.value.code, caught.value.param) == ("invalid_value", "include[1]")
