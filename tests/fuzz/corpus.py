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
_STATIC: Final[Json] = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
_FILTERS: Final[Json] = {
    "type": "and",
    "filters": [
        {"type": "gte", "key": "year", "value": 1990},
        {
            "type": "or",
            "filters": [{"type": "in", "key": "kind", "value": ["a", 1]}, {"type": "eq", "key": "b", "value": True}],
        },
    ],
}
_SEARCH: Final[Json] = {
    "query": ["mill", "Where does the river flow?"],
    "filters": _FILTERS,
    "max_num_results": 5,
    "ranking_options": {
        "ranker": "auto",
        "score_threshold": 0.1,
        "hybrid_search": {"embedding_weight": 0.7, "text_weight": 0.3},
    },
    "rewrite_query": True,
    "search_mode": "hybrid",
}
_STORE: Final[Json] = {
    "name": "s",
    "description": "d",
    "file_ids": ["{file_id}"],
    "chunking_strategy": _STATIC,
    "expires_after": {"anchor": "last_active_at", "days": 7},
    "metadata": {"a": "b"},
    "embedding_model": "meaning",
    "embedding_dimension": 256,
    "provider_id": "p",
}
_ATTACH: Final[Json] = {"file_id": "{file_id}", "attributes": {"year": 1991, "b": True}, "chunking_strategy": _STATIC}
_FILE_SEARCH: Final[Json] = {
    "type": "file_search",
    "vector_store_ids": ["{vector_store_id}"],
    "filters": _FILTERS,
    "max_num_results": 3,
    "ranking_options": {"ranker": "auto", "score_threshold": 0.0},
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
    (
        "/v1/responses",
        {"model": "m", "input": "2+3?", "tools": [_FILE_SEARCH], "include": ["file_search_call.results"]},
    ),
    ("/v1/uploads", {"bytes": 4, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}),
    ("/v1/uploads/{upload_id}/complete", {"part_ids": ["part_x"], "md5": "0" * 32}),
    ("/v1/vector_stores", _STORE),
    ("/v1/vector_stores/{vector_store_id}", {"name": "t", "expires_after": None, "metadata": {}}),
    ("/v1/vector_stores/{vector_store_id}/search", _SEARCH),
    ("/v1/vector_stores/{vector_store_id}/search", {"query": '"the" mill* NEAR'}),
    ("/v1/vector_stores/{vector_store_id}/files", _ATTACH),
    ("/v1/vector_stores/{vector_store_id}/files/{file_id}", {"attributes": {"year": 1992}}),
    ("/v1/vector_stores/{vector_store_id}/file_batches", {"files": [_ATTACH, {"file_id": "{file_id}"}]}),
    ("/v1/vector_stores/{vector_store_id}/file_batches", {"file_ids": ["{file_id}"], "attributes": {"kind": "a"}}),
    ("/v1/rerank", {"model": "m", "query": "a", "documents": ["b", {"text": "c"}], "top_n": 1}),
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
