"""The response object: keys, order, nulls; stored and read back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response as ClientResponse

from antiphon.wire.codec import Unknown, builtins, encode
from antiphon.wire.content import OutputText
from antiphon.wire.items import FunctionCall, Item, Message
from antiphon.wire.requests import echo, parse_create
from antiphon.wire.responses import Response, ResponseDeleted, Usage, pack, parse_response, unpack
from tests.schemas import validate
from tests.shared import needs_shared

RECORDED = """
id object created_at status background completed_at error frequency_penalty incomplete_details instructions
max_output_tokens max_tool_calls model moderation output parallel_tool_calls presence_penalty previous_response_id
prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier store temperature text tool_choice
tool_usage tools top_logprobs top_p truncation usage user metadata
"""

BODIES: dict[str, dict[str, Any]] = {
    "the least": {"model": "m", "input": "hi"},
    "the most": {
        "model": "m",
        "input": "hi",
        "instructions": "be kind",
        "previous_response_id": "resp_0",
        "max_output_tokens": 100,
        "max_tool_calls": 3,
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 2,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "parallel_tool_calls": False,
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
            {"type": "web_search"},
            {
                "type": "custom",
                "name": "patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "s:"},
            },
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "out", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "auto",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "user": "u",
    },
    "a conversation": {"model": "m", "input": "hi", "conversation": {"id": "conv_1"}, "tool_choice": "none"},
    "a prompt": {"model": "m", "prompt": {"id": "pmpt_1", "variables": {"a": "b"}}},
    "allowed tools": {
        "model": "m",
        "input": "hi",
        "tools": [{"type": "function", "name": "f", "strict": False, "description": "d"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    },
}
OUTPUT: tuple[Item, ...] = (
    Message(id="msg_1", role="assistant", content=(OutputText(text="hello"),)),
    FunctionCall(id="fc_1", call_id="call_1", name="f", arguments="{}"),
)
USAGE = Usage(input_tokens=3, output_tokens=4, total_tokens=7)


def response(name: str, **more: Any) -> Response:
    request = parse_create(json.dumps(BODIES[name]).encode())
    made = echo(request, id="resp_1", created_at=12, status="in_progress", model="endpoint/m")
    return Response(**{key: getattr(made, key) for key in made.__struct_fields__} | more)


def finished(name: str) -> Response:
    return response(name, status="completed", completed_at=13, output=OUTPUT, usage=USAGE, service_tier="default")


def test_the_keys_are_the_recorded_ones_in_their_order() -> None:
    keys = list(builtins(finished("the least")))
    assert keys == [key for key in RECORDED.split() if key != "tool_usage"]


def test_what_was_not_asked_for_is_null_or_a_default_and_never_left_out() -> None:
    made = builtins(response("the least"))
    nulls = {key for key, value in made.items() if value is None}
    assert nulls == {
        *("completed_at", "error", "incomplete_details", "instructions", "max_output_tokens", "max_tool_calls"),
        *("moderation", "previous_response_id", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
        *("usage", "user"),
    }
    assert made["reasoning"] == {"effort": None, "summary": None}
    assert made["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert (made["temperature"], made["top_p"], made["top_logprobs"]) == (1.0, 1.0, 0)
    assert (made["service_tier"], made["metadata"], made["output"]) == ("auto", {}, [])


def test_every_parameter_is_echoed() -> None:
    made = builtins(response("the most"))
    sent = {key: value for key, value in BODIES["the most"].items() if key not in {"input", "model", "tools", "text"}}
    sent["prompt_cache_options"] = {"ttl": "30m", "mode": "explicit"}
    assert {key: made[key] for key in sent} == sent
    assert made["model"] == "endpoint/m"
    assert made["tools"][0]["strict"] is True
    assert made["text"]["format"]["schema"] == {"type": "object"}


def test_a_conversation_is_echoed_as_an_object_and_left_out_otherwise() -> None:
    assert builtins(response("a conversation"))["conversation"] == {"id": "conv_1"}
    assert "conversation" not in builtins(response("the least"))


@needs_shared
@pytest.mark.parametrize("name", BODIES)
def test_a_response_is_what_the_document_of_openai_says(name: str) -> None:
    validate("Response", builtins(response(name)))
    validate("Response", builtins(finished(name)))


@pytest.mark.parametrize("name", BODIES)
def test_a_response_is_one_of_the_official_client(name: str) -> None:
    parsed = ClientResponse.model_validate(builtins(finished(name)), strict=False)
    assert (parsed.id, parsed.status, parsed.output_text) == ("resp_1", "completed", "hello")


@pytest.mark.parametrize("name", BODIES)
def test_a_response_is_read_back_equal(name: str) -> None:
    assert parse_response(encode(finished(name))) == finished(name)


@pytest.mark.parametrize("name", BODIES)
def test_a_packed_response_with_its_output_is_the_response(name: str) -> None:
    whole = finished(name)
    assert unpack(pack(whole), whole.output) == whole
    assert encode(unpack(pack(whole), whole.output)) == encode(whole)


def test_a_packed_response_holds_neither_defaults_nor_output() -> None:
    assert json.loads(pack(response("the least", output=OUTPUT))) == {
        "id": "resp_1",
        "created_at": 12,
        "status": "in_progress",
        "model": "endpoint/m",
        "service_tier": "auto",
    }


def test_objects_of_unknown_types_survive_packing() -> None:
    odd = Unknown({"type": "antiphon:odd", "id": "odd_1", "deep": {"null": None}})
    whole = response("the least", tools=(odd,), output=(odd,))
    assert unpack(pack(whole), whole.output) == whole
    assert parse_response(encode(whole)) == whole


def test_a_deleted_response_says_so() -> None:
    assert encode(ResponseDeleted(id="resp_1")) == b'{"id":"resp_1","object":"response","deleted":true}'
