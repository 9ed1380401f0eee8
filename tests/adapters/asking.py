"""Asking a model, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from antiphon.adapters.models.openai_chat import OpenAIChat
from antiphon.core.deltas import Delta, TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.wire.chat import ChatRequest
from antiphon.wire.content import InputText
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse
from tests.upstream import DONE, Part, sse

KEY = "secret-key-of-the-endpoint"
DEADLINE = 5.0
Connect: TypeAlias = Callable[..., OpenAIChat]


def wanted(text: str = "Hello", **fields: Any) -> Generate:
    item = Message(role="user", content=(InputText(text=text),))
    return Generate("upstream-model", CreateResponse(model="local/upstream-model", **fields), (Entry(item),))


def asked(*, stream: bool, **fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "local/upstream-model", "messages": messages, "stream": stream, **fields}
    return ChatRequest(model="upstream-model", stream=stream, body=body)


async def batches(model: OpenAIChat, generate: Generate | None = None) -> list[Sequence[Delta]]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(generate or wanted())) as stream:
        return [batch async for batch in stream]


async def deltas(model: OpenAIChat) -> list[Delta]:
    return [delta for batch in await batches(model) for delta in batch]


async def relayed(model: OpenAIChat, request: ChatRequest) -> list[bytes]:
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(request)) as stream:
        return [document async for batch in stream for document in batch]


def text(found: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in found if isinstance(delta, TextDelta))


def parts(*documents: Any, end: bytes = DONE) -> list[Part]:
    return [*(sse(document) for document in documents), end]
