"""Requests to replayed models, and recordings written for one test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from antiphon.core.deltas import CallDelta, Delta, TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.replay.model import ReplayModel
from antiphon.wire.chat import ChatRequest
from antiphon.wire.content import InputText
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse

DEADLINE = 10.0
Json = dict[str, Any]


def body(text: str = "Hi", **fields: Any) -> Json:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "stream": True, **fields}


def wanted(text: str = "Hi", **fields: Any) -> Generate:
    return Generate(
        "m", CreateResponse(model="m"), (Entry(Message(role="user", content=(InputText(text=text),))),), **fields
    )


def request(asked: Mapping[str, Any]) -> ChatRequest:
    return ChatRequest(model=asked["model"], stream=bool(asked.get("stream")), body=dict(asked))


def chunk(content: str | None = None, *, finish: str | None = None, calls: Sequence[Json] | None = None) -> Json:
    delta = {"content": content, "tool_calls": calls}
    return {
        "id": "rec-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
    }


def said(*pieces: str) -> list[Json]:
    return [*(chunk(piece) for piece in pieces), chunk(finish="stop")]


def write(folder: Path, name: str, asked: Json, answer: Any, *, case: str | None = None) -> Path:
    """A recording in the recorded form: `answer` is a list of chunks, an object, or an exception as `Exception_`."""
    response: Json
    if isinstance(answer, list):
        response = {"body": [{"__type__": "c", "__data__": one} for one in answer], "is_streaming": True}  # pyright: ignore[reportUnknownVariableType] - JSON
    elif "status_code" in answer:
        response = {"body": None, "is_exception": True, "exception_data": answer, "exception_message": "refused"}
    else:
        response = {"body": {"__type__": "o", "__data__": answer}, "is_streaming": False}
    described = asked if "tool_name" in asked else {"endpoint": "/v1/chat/completions", "model": "m", "body": asked}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"test_id": case, "request": described, "response": response}))
    return path


async def heard(model: ReplayModel, generate: Generate) -> list[Delta]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(generate)) as batches:
        return [delta async for batch in batches for delta in batch]


async def relayed(model: ReplayModel, asked: Mapping[str, Any]) -> list[Json]:
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(request(asked))) as batches:
        return [json.loads(document) async for batch in batches for document in batch]


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def arguments_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.arguments or "" for delta in deltas if isinstance(delta, CallDelta))
