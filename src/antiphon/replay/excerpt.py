"""Exchanges as people read them: a line that says what one is, and an answer with its pieces joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.replay.exchange import Answer, Exchange, RecordingError
from antiphon.replay.taped import deltas
from antiphon.replay.taped.model import STREAM

Json: TypeAlias = dict[str, Any]

WORDS: Final = 60
"""Characters of the words that name a request."""
_TELLING: Final = ("text", "query", "url", "name", "input", "prompt", "server", "endpoint")
"""What says most about a request that has no messages, in order."""


class Line(Struct, frozen=True):
    """An exchange in a list. `size` is in bytes; `chunks` 0: the answer came whole."""

    name: str
    port: str
    model: str
    words: str
    chunks: int
    size: int
    failure: str = ""


def line(name: str, exchange: Exchange, size: int) -> Line:
    """What a list says of an exchange."""
    answer = exchange.answer
    model = str(exchange.request.get("model") or "")
    named = f"{exchange.endpoint}/{model}" if exchange.endpoint and model else exchange.endpoint or model
    failure = "" if answer.failure is None else answer.failure.error
    return Line(name, exchange.port, named, words(exchange.request), len(answer.chunks or ()), size, failure)


def words(request: Mapping[str, Any]) -> str:
    """The first words of what was asked: of the last message that has some, else of what says most."""
    messages = request.get("messages")
    if isinstance(messages, list):
        held = cast("Sequence[Json]", messages)
        said = next((text for one in reversed(held) if (text := _content(one.get("content")))), "")
        return _short(said)
    return _short(next((text for field in _TELLING if (text := _content(request.get(field)))), ""))


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        texts = [str(cast("Json", part).get("text", "")) if isinstance(part, dict) else str(part) for part in parts]
        return " ".join(text for text in texts if text)
    return ""


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= WORDS else f"{plain[: WORDS - 1]}…"


def told(exchange: Exchange) -> str:
    """The answer as text: a stream as what it says, anything else as JSON. Raises RecordingError."""
    answer = exchange.answer
    lines = list(_said(exchange.port, answer))
    if answer.value is not None:
        lines.append(_laid(bytes(answer.value)))
    if answer.failure is not None:
        lines.append(f"[failed: {answer.failure.error}: {answer.failure.message}]")
    return "\n".join(lines)


def _said(port: str, answer: Answer) -> Iterator[str]:
    if answer.chunks is None:
        return
    documents = [bytes(document) for chunk in answer.chunks for document in _documents(chunk.content)]
    if port == STREAM:
        yield from _generated(deltas.read(documents))
        return
    parts = [_object(document) for document in documents]
    if parts and not any("delta" in choice for part in parts for choice in _choices(part)):
        yield from (_laid(document) for document in documents)
        return
    yield from _relayed(parts)


def _documents(content: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(content, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise RecordingError("A recording holds a chunk that is no list.") from error


def _object(document: bytes) -> Json:
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _choices(part: Json) -> list[Json]:
    found = part.get("choices")
    return cast("list[Json]", found) if isinstance(found, list) else []


def _generated(said: Sequence[Delta]) -> Iterator[str]:
    if thought := "".join(delta.text for delta in said if isinstance(delta, ReasoningDelta)):
        yield f"[reasoning] {thought}"
    if text := "".join(delta.text for delta in said if isinstance(delta, TextDelta | RefusalDelta)):
        yield text
    calls: dict[int, list[str]] = {}
    for delta in said:
        if isinstance(delta, CallDelta):
            held = calls.setdefault(delta.index, ["", ""])
            held[0] += delta.name or ""
            held[1] += delta.arguments or ""
    yield from (f"[call] {name}({arguments})" for name, arguments in calls.values())
    yield from (f"[{delta.finish or 'ended'}]" for delta in said if isinstance(delta, StepEnded))


def _relayed(parts: Sequence[Json]) -> Iterator[str]:
    """The first choice of a streamed chat completion."""
    found = [choice for part in parts for choice in _choices(part)[:1]]
    changes = [cast("Json", choice.get("delta") or {}) for choice in found]
    if text := "".join(str(change.get("content") or "") for change in changes):
        yield text
    calls: dict[int, list[str]] = {}
    for change in changes:
        for call in cast("list[Json]", change.get("tool_calls") or []):
            held = calls.setdefault(int(call.get("index") or 0), ["", ""])
            function = cast("Json", call.get("function") or {})
            held[0] += str(function.get("name") or "")
            held[1] += str(function.get("arguments") or "")
    yield from (f"[call] {name}({arguments})" for name, arguments in calls.values())
    yield from (f"[{choice['finish_reason']}]" for choice in found if choice.get("finish_reason"))


def _laid(document: bytes) -> str:
    try:
        return msgspec.json.format(document, indent=2).decode("utf-8", "replace")
    except msgspec.DecodeError as error:
        raise RecordingError("A recording holds what is no JSON.") from error
