"""Chat completions from a model that only streams deltas."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias, cast

from antiphon.core.completion import Chunks, Head, completion
from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate
from antiphon.core.inquiry import generate_of
from antiphon.ports.clock import Clock
from antiphon.wire.chat import ChatRequest

Stream: TypeAlias = Callable[[Generate], AsyncGenerator[Sequence[Delta]]]


async def relayed(stream: Stream, request: ChatRequest, clock: Clock) -> AsyncGenerator[Sequence[bytes]]:
    """What `relay` of the model port gives, rendered from what `stream` gives."""
    wanted = generate_of(request)
    head = Head(clock.id("chatcmpl-"), int(clock.now()), request.model)
    async with aclosing(stream(wanted)) as batches:
        if request.stream:
            chunks = Chunks(head, usage=_usage_wanted(request))
            async for batch in batches:
                yield chunks.render(batch)
        else:
            yield [completion(head, [delta async for batch in batches for delta in batch])]


def _usage_wanted(request: ChatRequest) -> bool:
    options = request.body.get("stream_options")
    return isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage") is True
