"""What is passed to a model's endpoint and back as it answers: the part that such resources share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from antiphon.engine.catalog import UnknownModelError
from antiphon.http.presence import Presence
from antiphon.http.reply import Body, Reply
from antiphon.http.request import Request
from antiphon.http.services import Served
from antiphon.http.sse import EventStream
from antiphon.wire.errors import AntiphonError, ModelError, NotFoundError
from antiphon.wire.frames import data_frames


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


async def passed(request: Request, documents: AsyncGenerator[Sequence[bytes]], *, stream: bool) -> Reply:
    """The documents as a stream, or the one there is. What fails before the first byte is an HTTP error."""
    streamed = False
    try:
        async with Presence(request.receive):
            first = await _first(documents)
        streamed = stream
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
