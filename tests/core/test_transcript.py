"""Chunks put together again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from antiphon.core.completion import Chunks, Head, completion
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.transcript import assembled, kept
from antiphon.core.usage import counted
from tests.recorded import chat_streams
from tests.schemas import validate
from tests.shared import needs_shared

HEAD = Head("chatcmpl-ours", 7, "m")


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "u", "choices": choices, **fields}


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish}


def message(*chunks: dict[str, Any]) -> dict[str, Any]:
    found = assembled(chunks, HEAD)
    ChatCompletion.model_validate(found)
    return found["choices"][0]["message"]


@pytest.mark.parametrize(
    "deltas",
    [
        [TextDelta("Hel"), TextDelta("lo"), StepEnded("stop", counted(1, 2))],
        [RefusalDelta("N"), RefusalDelta("o"), StepEnded("stop", counted(1, 2))],
        [ReasoningDelta("Hm"), ReasoningDelta("m"), TextDelta("Yes"), StepEnded("length", counted(1, 2))],
        [
            CallDelta(0, "call_1", "f", ""),
            CallDelta(1, "call_2", "g", "{"),
            CallDelta(0, None, None, '{"a":1}'),
            CallDelta(1, None, None, "}"),
            StepEnded("tool_calls", counted(1, 2)),
        ],
    ],
)
def test_a_stream_is_put_together_to_what_it_would_be_in_one_answer(deltas: list[Delta]) -> None:
    chunks = [json.loads(document) for document in Chunks(HEAD, usage=True).render(deltas)]
    whole = json.loads(completion(HEAD, deltas))
    whole["choices"][0]["message"].pop("annotations")
    assert assembled(chunks, HEAD) == whole


def test_every_choice_is_put_together_for_itself() -> None:
    found = assembled(
        [
            chunk(delta(1, role="assistant", content="b")),
            chunk(delta(0, role="assistant", content="a"), delta(1, content="B")),
            chunk(delta(0, finish="stop"), delta(1, finish="length")),
            chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        ],
        HEAD,
    )
    assert [choice["message"]["content"] for choice in found["choices"]] == ["a", "bB"]
    assert [choice["finish_reason"] for choice in found["choices"]] == ["stop", "length"]
    assert found["usage"]["total_tokens"] == 3
    assert (found["id"], found["object"], found["created"]) == ("chatcmpl-ours", "chat.completion", 7)


def test_fields_of_vendors_are_kept() -> None:
    details = [{"type": "reasoning.text", "index": 0, "text": "Hm"}]
    more = [{"type": "reasoning.text", "index": 0, "text": "m."}]
    found = message(
        chunk(delta(role="assistant", reasoning="Hm", reasoning_details=details), provider="p"),
        chunk(delta(reasoning="m.", reasoning_details=more, audio={"id": "a", "data": "QQ", "transcript": ""})),
        chunk(delta(audio={"data": "Qg", "expires_at": 5}, finish="stop")),
    )
    assert found["reasoning"] == "Hmm."
    assert found["reasoning_details"] == [{"type": "reasoning.text", "index": 0, "text": "Hmm."}]
    assert found["audio"] == {"id": "a", "data": "QQQg", "transcript": "", "expires_at": 5}
    assert assembled([chunk(provider="p", obfuscation="xx", system_fingerprint=None)], HEAD)["provider"] == "p"


@pytest.mark.parametrize(
    "pieces",
    [
        [{"index": 0, "id": "1", "name": "f"}, {"index": 0, "args": "{}"}, {"index": 1, "id": "2", "name": "f"}],
        [{"index": 0, "id": "1", "name": "f", "args": "{}"}, {"index": 0, "id": "2", "name": "f"}],
        [{"id": "1", "name": "f"}, {"id": "1", "args": "{}"}, {"id": "2", "name": "f"}],
        [{"id": "1", "name": "f"}, {"args": "{"}, {"args": "}"}, {"id": "2", "name": "f"}],
        [{"index": 0, "id": "1", "name": "f", "args": "{"}, {"index": 0, "id": "1", "args": "}"}, {"id": "2"}],
    ],
)
def test_calls_are_told_apart_however_they_are_numbered(pieces: list[dict[str, Any]]) -> None:
    calls = [
        {
            **{name: piece[name] for name in ("index", "id") if name in piece},
            "function": {"name": piece.get("name"), "arguments": piece.get("args")},
        }
        for piece in pieces
    ]
    found = message(*(chunk(delta(tool_calls=[call])) for call in calls))
    assert [call["id"] for call in found["tool_calls"]] == ["1", "2"]
    assert found["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert all("index" not in call and call["type"] == "function" for call in found["tool_calls"])


def test_log_probabilities_are_continued() -> None:
    def said(token: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}
        return {**delta(content=token), "logprobs": {"content": [entry], "refusal": None}}

    found = assembled([chunk(said("a")), chunk(said("b")), chunk(delta(finish="stop"))], HEAD)
    assert [entry["token"] for entry in found["choices"][0]["logprobs"]["content"]] == ["a", "b"]


def test_a_completion_in_one_answer_is_completed_and_named_anew() -> None:
    answered = {"id": "u", "choices": [{"message": {"content": "Hi"}}], "usage": None, "created": 0, "x": 1}
    assert kept(answered, HEAD) == {
        "id": "chatcmpl-ours",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "x": 1,
    }


@needs_shared
def test_recorded_streams_become_valid_completions() -> None:
    found = 0
    for recording in chat_streams():
        whole = assembled(recording.chunks, HEAD)
        if whole["choices"]:
            ChatCompletion.model_validate(whole)
            found += 1
            if whole.get("service_tier", "auto") in {"auto", "default"}:
                validate("CreateChatCompletionResponse", whole)
    assert found > 50
