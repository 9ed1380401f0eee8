"""`/v1/chat/completions`: passed to the model's endpoint as it came, and back as it answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from antiphon.engine.catalog import UnknownModelError
from antiphon.http.operation import Operation
from antiphon.http.presence import Presence
from antiphon.http.reply import Body, Reply
from antiphon.http.request import Request
from antiphon.http.services import Served
from antiphon.http.sse import EventStream
from antiphon.wire.chat import ChatCompletion, ChatCompletionChunk, ChatParams
from antiphon.wire.errors import AntiphonError, ModelError, NotFoundError
from antiphon.wire.frames import data_frames
from antiphon.wire.requests import parse_chat


async def create(request: Request) -> Reply:
    """Relay. What fails before the first byte is an HTTP error."""
    wanted = parse_chat(await request.body())
    served = await model_named(request, wanted.model)
    wanted = replace(wanted, model=served.name, body={**wanted.body, "model": served.name})
    documents = served.model.relay(wanted)
    streamed = False
    try:
        async with Presence(request.receive):
            first = await _first(documents)
        streamed = wanted.stream
    finally:
        if not streamed:
            await documents.aclose()
    if streamed:
        return EventStream(lines(first, documents), request.services.limits.keepalive)
    return Body(first[0])


async def _first(documents: AsyncGenerator[Sequence[bytes]]) -> Sequence[bytes]:
    async for batch in documents:
        if batch:
            return batch
    raise ModelError("The model's endpoint gave no answer.")


async def model_named(request: Request, name: str) -> Served:
    """The model; NotFoundError in the words of the endpoints that look models up."""
    try:
        return await request.services.catalog.resolve(name)
    except UnknownModelError:
        raise NotFoundError(
            f"The model `{name}` does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        ) from None


async def lines(first: Sequence[bytes], rest: AsyncGenerator[Sequence[bytes]]) -> AsyncGenerator[bytes]:
    """The documents as events without a name, a batch at a time; what fails on the way is told as one of them."""
    try:
        async with aclosing(rest):
            yield data_frames(first)
            async for documents in rest:
                if documents:
                    yield data_frames(documents)
    except AntiphonError as error:
        yield data_frames((error.body(),))


OPERATIONS: Final = (
    Operation(
        id="createChatCompletion",
        method="POST",
        path="/chat/completions",
        about="Create a chat completion",
        answer=create,
        body=ChatParams,
        result=ChatCompletion,
        events=ChatCompletionChunk,
    ),
)
