"""What the fuzzers start from: requests of real clients where the shared folder is, and one of each kind of ours."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from tests.shared import SHARED

Json: TypeAlias = dict[str, Any]

_SCHEMA: Final[Json] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_FUNCTION: Final[Json] = {"name": "add", "description": "Add.", "parameters": _SCHEMA, "strict": True}
_IMAGE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgA"
    "AAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_RESPONSE: Final[Json] = {
    "model": "m",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "2+3?"}, {"type": "input_image", "image_url": _IMAGE}],
        },
        {"type": "function_call", "name": "add", "arguments": "{}", "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "5"},
    ],
    "instructions": "Be kind.",
    "tools": [{"type": "function", **_FUNCTION}, {"type": "web_search"}],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "City", "schema": _SCHEMA, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "metadata": {"a": "b"},
    "temperature": 0.5,
    "top_p": 0.9,
    "top_logprobs": 3,
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "truncation": "auto",
    "service_tier": "auto",
    "store": True,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
}
_CHAT: Final[Json] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": _IMAGE}}],
        },
    ],
    "tools": [{"type": "function", "function": _FUNCTION}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "City", "schema": _SCHEMA}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "store": True,
    "n": 1,
    "stop": ["x"],
    "logit_bias": {"1": 1},
}
_MESSAGES: Final[list[Json]] = [{"type": "message", "role": "user", "content": "Hi"}]
_BODIES: Final[tuple[tuple[str, Json], ...]] = (
    ("/v1/responses", _RESPONSE),
    (
        "/v1/responses",
        {
            "model": "antiphon-extractive",
            "input": "What is up? All is up.",
            "tools": [{"type": "function", **_FUNCTION}],
        },
    ),
    ("/v1/responses", {"model": "m", "input": "Hi", "background": True}),
    (
        "/v1/responses",
        {"model": "m", "input": "Hi", "prompt": {"id": "prompt_x", "version": "1", "variables": {"a": "b"}}},
    ),
    ("/v1/responses", {"model": "m", "input": "Hi", "conversation": {"id": "conv_x"}}),
    ("/v1/responses/compact", {"model": "m", "input": _MESSAGES, "instructions": "Be short."}),
    ("/v1/responses/input_tokens", {**_RESPONSE, "stream": None}),
    ("/v1/chat/completions", _CHAT),
    ("/v1/chat/completions", {**_CHAT, "stream": False, "model": "antiphon-extractive"}),
    ("/v1/chat/completions/{completion_id}", {"metadata": {"a": "b"}}),
    ("/v1/completions", {"model": "m", "prompt": ["Hi"], "max_tokens": 5, "stream": True}),
    ("/v1/embeddings", {"model": "m", "input": ["Hi"], "dimensions": 3, "encoding_format": "base64"}),
    ("/v1/conversations", {"metadata": {"a": "b"}, "items": _MESSAGES}),
    ("/v1/conversations/{conversation_id}", {"metadata": {"a": "b"}}),
    ("/v1/conversations/{conversation_id}/items", {"items": [*_MESSAGES, {"type": "reasoning", "summary": []}]}),
    ("/v1/conversations/{conversation_id}/fork", {"item_id": "msg_x", "metadata": {}}),
    ("/v1/prompts", {"name": "p", "prompt": "Be {{how}}.", "variables": ["how"], "model": "m", "metadata": {}}),
    ("/v1/prompts/{prompt_id}", {"prompt": "Be {{how}}!", "set_as_default": True}),
    ("/v1/prompts/{prompt_id}/default", {"version": "1"}),
)


def bodies() -> list[tuple[str, Json]]:
    """Paths, and a body for each; ids of the recorded requests are marks."""
    recorded: list[tuple[str, Json]] = []
    for path in sorted((SHARED / "client_requests").glob("*.json")):
        request = json.loads(path.read_bytes())
        if request["method"] == "POST":
            recorded.append((request["path"].replace("conv_1", "{conversation_id}"), request["body"] or {}))
    return [*_BODIES * (3 if recorded else 1), *recorded]


def messages() -> list[Json]:
    """Frames of WebSockets."""
    recorded = [
        json.loads(path.read_bytes())["body"] for path in sorted((SHARED / "client_requests").glob("*ws.ws*.json"))
    ]
    made = [
        {"type": "response.create", **{k: v for k, v in body.items() if k != "background"}}
        for path, body in _BODIES
        if path == "/v1/responses"
    ]
    steer: Json = {"type": "response.steer", "previous_response_id": "resp_x", "input": _MESSAGES}
    return [*recorded, *made, {**made[0], "stream_id": "a", "generate": False}, steer]
