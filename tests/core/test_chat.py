"""A generation as a chat completion request: what is asked is sent, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.chat import chat_body
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Entry, Generate, Offer
from antiphon.wire.content import InputText
from antiphon.wire.items import Message
from antiphon.wire.responses import (
    CreateResponse,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningConfig,
    TextConfig,
)
from antiphon.wire.tools import AllowedTools, NamedChoice, ToolChoice

OFFERS = (
    Offer("get_weather", "Weather", {"type": "object", "properties": {"city": {"type": "string"}}}, strict=True),
    Offer("web_search", tool=1),
)


def body(generate: dict[str, Any] | None = None, dialect: Dialect | None = None, **request: Any) -> dict[str, Any]:
    entry = Entry(Message(role="user", content=(InputText(text="Hi"),)))
    wanted = Generate("m", CreateResponse(model="e/m", **request), (entry,), **(generate or {}))
    return chat_body(wanted, dialect or Dialect())


def test_a_plain_request_has_nothing_that_was_not_asked_for() -> None:
    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_parameters_that_were_set_are_sent_also_when_they_are_zero() -> None:
    built = body(
        temperature=0.0,
        top_p=0.5,
        presence_penalty=0.0,
        frequency_penalty=1.0,
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
        reasoning=ReasoningConfig(effort="low"),
    )
    assert built["temperature"] == 0.0
    assert built["presence_penalty"] == 0.0
    assert (built["top_p"], built["frequency_penalty"]) == (0.5, 1.0)
    assert (built["user"], built["safety_identifier"], built["prompt_cache_key"]) == ("u", "s", "k")
    assert (built["service_tier"], built["reasoning_effort"]) == ("flex", "low")


def test_the_limit_is_what_is_left_under_the_name_that_the_endpoint_knows() -> None:
    assert body({"max_output_tokens": 7}, max_output_tokens=100)["max_completion_tokens"] == 7
    built = body({"max_output_tokens": 7}, Dialect(max_tokens_field="max_tokens"))
    assert built["max_tokens"] == 7
    assert "max_completion_tokens" not in built


def test_tools_are_functions_and_always_have_parameters() -> None:
    assert body({"offers": OFFERS})["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "web_search", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        (NamedChoice(type="function", name="f"), {"type": "function", "function": {"name": "f"}}),
        (AllowedTools(mode="required", tools=({"type": "function", "name": "get_weather"},)), "required"),
        (AllowedTools(mode="auto", tools=({"type": "function", "name": "get_weather"},)), None),
    ],
)
def test_the_choice_of_tools_is_sent_in_the_words_of_chat(choice: ToolChoice, sent: Any) -> None:
    assert body({"offers": OFFERS, "tool_choice": choice}).get("tool_choice") == sent


def test_without_tools_nothing_is_said_about_them() -> None:
    built = body({"tool_choice": "none"}, parallel_tool_calls=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & built.keys()


def test_parallel_calls_are_mentioned_only_to_forbid_them() -> None:
    assert "parallel_tool_calls" not in body({"offers": OFFERS})
    assert body({"offers": OFFERS}, parallel_tool_calls=False)["parallel_tool_calls"] is False


def test_the_form_of_the_answer_is_sent() -> None:
    assert body(text=TextConfig(format=JsonObjectFormat()))["response_format"] == {"type": "json_object"}
    schema = JsonSchemaFormat(name="n", schema={"type": "object"}, strict=True, description="d")
    assert body(text=TextConfig(format=schema))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"},
    }
    bare = JsonSchemaFormat(name="n", schema={})
    assert body(text=TextConfig(format=bare))["response_format"]["json_schema"] == {"name": "n", "schema": {}}


def test_verbosity_is_sent_when_it_is_not_the_default() -> None:
    assert "verbosity" not in body(text=TextConfig(verbosity="medium"))
    assert body(text=TextConfig(verbosity="low"))["verbosity"] == "low"


@pytest.mark.parametrize(
    ("request_fields", "sent"),
    [
        ({}, {}),
        ({"top_logprobs": 0}, {}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ("message.output_text.logprobs",)}, {"logprobs": True}),
    ],
)
def test_log_probabilities_are_asked_for_when_wanted(request_fields: dict[str, Any], sent: dict[str, Any]) -> None:
    built = body(**request_fields)
    assert {name: built[name] for name in ("logprobs", "top_logprobs") if name in built} == sent
