"""`/v1/completions`, the older endpoint: passed to the model's endpoint as it came, and back as it answered."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from antiphon.http.operation import Operation
from antiphon.http.relay import model_named, passed
from antiphon.http.reply import Reply
from antiphon.http.request import Request
from antiphon.wire.bodies import parse_completion
from antiphon.wire.completions import Completion, CompletionParams


async def create(request: Request) -> Reply:
    """Relay."""
    wanted = parse_completion(await request.body())
    served = await model_named(request, wanted.model)
    wanted = replace(wanted, model=served.name, body={**wanted.body, "model": served.name})
    return await passed(request, served.model.complete(wanted), stream=wanted.stream)


OPERATIONS: Final = (
    Operation(
        id="createCompletion",
        method="POST",
        path="/completions",
        about="Continue a text",
        asks="now",
        answer=create,
        body=CompletionParams,
        result=Completion,
        events=Completion,
    ),
)
