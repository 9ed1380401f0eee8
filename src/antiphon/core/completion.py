"""Chat completions that we answer ourselves: deltas rendered as chunks, or as one completion.

For models that are no chat completions endpoint (built in, scripted); an endpoint's own answer passes unrendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.deltas import (
    AnnotationDelta,
    CallDelta,
    Delta,
    ReasoningDelta,
    RefusalDelta,
    StepEnded,
    Structure,
    TextDelta,
)
from antiphon.wire.chat import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from antiphon.wire.codec import builtins, encode
from antiphon.wire.content import LogProb
from antiphon.wire.responses import Usage


class Head(msgspec.Struct, frozen=True):
    """What every document of one answer repeats; `created` is epoch seconds."""

    id: str
    created: int
    model: str


class Chunks:
    """Renders one streamed answer. `usage`: whether the client asked for `include_usage`."""

    def __init__(self, head: Head, *, usage: bool) -> None:
        self._head = head
        self._usage = usage
        self._role: dict[str, Any] = {"role": "assistant"}
        self._called = False

    def render(self, deltas: Sequence[Delta]) -> list[bytes]:
        """One document per delta that chat completions can tell; the first has the role, the end also gives the
        usage."""
        documents: list[bytes] = []
        for delta in deltas:
            if isinstance(delta, StepEnded):
                finish = delta.finish or ("tool_calls" if self._called else "stop")
                documents.append(self._chunk({}, finish=finish))
                if self._usage:
                    documents.append(self._document([], chat_usage(delta.usage)))
            elif isinstance(delta, AnnotationDelta) or not isinstance(delta, Structure):
                self._called = self._called or isinstance(delta, CallDelta)
                documents.append(self._chunk(_piece(delta), logprobs=_logprobs(delta)))
        return documents

    def _chunk(self, piece: dict[str, Any], *, logprobs: Any = None, finish: str | None = None) -> bytes:
        role, self._role = self._role, {}
        choice = {"index": 0, "delta": {**role, **piece}, "logprobs": logprobs, "finish_reason": finish}
        return self._document([choice], None)

    def _document(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        head = self._head
        document: dict[str, Any] = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
            "choices": choices,
        }
        if self._usage:
            document["usage"] = usage
        return encode(document)


def completion(head: Head, deltas: Sequence[Delta]) -> bytes:
    """The whole answer as one `chat.completion`."""
    texts = [delta for delta in deltas if isinstance(delta, TextDelta)]
    refusal = "".join(delta.text for delta in deltas if isinstance(delta, RefusalDelta))
    reasoning = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    calls = _calls(deltas)
    ended = next((delta for delta in deltas if isinstance(delta, StepEnded)), StepEnded(None))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(delta.text for delta in texts) if texts else None,
        "refusal": refusal or None,
        "annotations": [_annotation(delta) for delta in deltas if isinstance(delta, AnnotationDelta)],
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    logprobs = [logprob for delta in texts for logprob in delta.logprobs]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _shown(logprobs) if logprobs else None,
        "finish_reason": ended.finish or ("tool_calls" if calls else "stop"),
    }
    document: dict[str, Any] = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [choice],
    }
    if ended.usage is not None:
        document["usage"] = chat_usage(ended.usage)
    return encode(document)


def chat_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Usage in the words of chat completions."""
    if usage is None:
        return None
    counted = CompletionUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.input_tokens_details.cached_tokens),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=usage.output_tokens_details.reasoning_tokens
        ),
    )
    return builtins(counted)


def _piece(delta: TextDelta | RefusalDelta | ReasoningDelta | CallDelta | AnnotationDelta) -> dict[str, Any]:
    match delta:
        case TextDelta():
            return {"content": delta.text}
        case RefusalDelta():
            return {"refusal": delta.text}
        case ReasoningDelta():
            return {"reasoning_content": delta.text}
        case CallDelta():
            return {"tool_calls": [_call(delta)]}
        case AnnotationDelta():
            return {"annotations": [_annotation(delta)]}


def _annotation(delta: AnnotationDelta) -> dict[str, Any]:
    """The annotation with its fields under the name of its type, as chat completions have it."""
    fields = builtins(delta.annotation)
    kind = str(fields.pop("type"))
    return {"type": kind, kind: fields}


def _call(delta: CallDelta) -> dict[str, Any]:
    call: dict[str, Any] = {"index": delta.index}
    if delta.id is not None:
        call |= {"id": delta.id, "type": "function"}
    function = {"name": delta.name, "arguments": delta.arguments}
    call["function"] = {name: value for name, value in function.items() if value is not None}
    return call


class _Called(msgspec.Struct):
    id: str = ""
    name: str = ""
    arguments: str = ""


def _calls(deltas: Sequence[Delta]) -> list[dict[str, Any]]:
    """The pieces of calls put together; another id under the same index is another call."""
    calls: list[_Called] = []
    by_index: dict[int, _Called] = {}
    for delta in deltas:
        if not isinstance(delta, CallDelta):
            continue
        call = by_index.get(delta.index)
        if call is None or (delta.id and call.id and call.id != delta.id):
            call = by_index[delta.index] = _Called()
            calls.append(call)
        call.id = call.id or delta.id or ""
        call.name += delta.name or ""
        call.arguments += delta.arguments or ""
    return [
        {
            "id": call.id or f"call_{place}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for place, call in enumerate(calls)
    ]


def _logprobs(delta: Delta) -> dict[str, Any] | None:
    return _shown(delta.logprobs) if isinstance(delta, TextDelta) and delta.logprobs else None


def _shown(logprobs: Sequence[LogProb]) -> dict[str, Any]:
    return {"content": builtins(logprobs), "refusal": None}
