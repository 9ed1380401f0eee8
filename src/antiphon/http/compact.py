"""`/v1/responses/compact`."""

from __future__ import annotations

from typing import Final

from antiphon.http.operation import Operation
from antiphon.http.presence import Presence
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.compact import CompactedResponse, CompactRequest
from antiphon.wire.requests import parse_compact


async def compact(request: Request) -> Reply:
    """Compact a context; a client that leaves drops the model's answer."""
    wanted = parse_compact(await request.body(), strict=request.strict)
    contexts = request.services.contexts
    assert contexts is not None
    async with Presence(request.receive):
        return json(await contexts.compact(request.project, wanted))


OPERATIONS: Final = (
    Operation(
        id="compactResponse",
        method="POST",
        path="/responses/compact",
        about="Compact a conversation",
        asks="now",
        answer=compact,
        body=CompactRequest,
        result=CompactedResponse,
    ),
)
