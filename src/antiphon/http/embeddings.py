"""`/v1/embeddings`: passed to the model's endpoint, and back in the form that was asked for."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from antiphon.core.embeddings import answered
from antiphon.http.operation import Operation
from antiphon.http.presence import Presence
from antiphon.http.relay import model_named
from antiphon.http.reply import Body, Reply
from antiphon.http.request import Request
from antiphon.wire.bodies import parse_embeddings
from antiphon.wire.embeddings import EmbeddingList, EmbeddingsParams

_LARGE: Final = 256 * 1024
"""Bytes from which on a document is read and written beside the loop."""


async def create(request: Request) -> Reply:
    """Embed."""
    wanted = parse_embeddings(await request.body())
    served = await model_named(request, wanted.model)
    wanted = replace(wanted, model=served.name, body={**wanted.body, "model": served.name})
    async with Presence(request.receive):
        document = await served.model.embed(wanted)
    if len(document) < _LARGE:
        return Body(answered(document, wanted))
    return Body(await asyncio.to_thread(answered, document, wanted))


OPERATIONS: Final = (
    Operation(
        id="createEmbedding",
        method="POST",
        path="/embeddings",
        about="Turn texts into vectors",
        asks="now",
        answer=create,
        body=EmbeddingsParams,
        result=EmbeddingList,
    ),
)
