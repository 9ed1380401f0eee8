"""`/v1/responses/input_tokens`."""

from __future__ import annotations

from typing import Final

from antiphon.http.operation import Operation
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.compact import CountRequest, InputTokens
from antiphon.wire.requests import parse_count


async def count(request: Request) -> Reply:
    """Count what a response would take in; nothing is started."""
    wanted = parse_count(await request.body(), strict=request.strict)
    contexts = request.services.contexts
    assert contexts is not None
    return json(await contexts.count(request.project, wanted))


OPERATIONS: Final = (
    Operation(
        id="countInputTokens",
        method="POST",
        path="/responses/input_tokens",
        about="Count the input tokens of a response",
        asks="now",
        answer=count,
        body=CountRequest,
        result=InputTokens,
    ),
)
