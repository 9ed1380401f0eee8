"""`/health`: the process answers. `/ready`: what it needs answers too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, Literal

from msgspec import Struct

from antiphon.http.operation import Operation
from antiphon.http.reply import Body, Reply, json
from antiphon.http.request import Request
from antiphon.wire.codec import encode
from antiphon.wire.errors import AntiphonError


class NotReadyError(AntiphonError):
    """Something that requests need does not answer."""

    http_status, default_code = 503, "not_ready"


class Health(Struct, frozen=True, kw_only=True):
    """The server answers."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True, kw_only=True):
    """The server can serve requests."""

    status: Literal["ready"] = "ready"


_ALIVE: Final = Body(encode(Health()))


async def health(_request: Request) -> Reply:
    """Always the same: it costs nothing."""
    return _ALIVE


async def ready(request: Request) -> Reply:
    """Ask the stores and the models, at once, with a deadline. Parts that fail are named, their errors are not told."""
    services = request.services
    parts: dict[str, Awaitable[object]] = {
        "store": services.store.check(),
        "files": services.files.check(),
        "index": services.vector_stores.check(),
        "models": services.catalog.cards(),
    }
    waits = [asyncio.wait_for(part, services.limits.ready_timeout) for part in parts.values()]
    answers = dict(zip(parts, await asyncio.gather(*waits, return_exceptions=True), strict=True))
    failed = [name for name, answer in answers.items() if _failed(answer)]
    if failed:
        raise NotReadyError(f"Not ready: {', '.join(failed)}.")
    if not answers["models"]:
        raise NotReadyError("Not ready: models (there are none).")
    return json(Readiness())


def _failed(answer: object) -> bool:
    """An error that can be expected; any other is raised."""
    if isinstance(answer, AntiphonError | TimeoutError):
        return True
    if isinstance(answer, BaseException):
        raise answer
    return False


OPERATIONS: Final = (
    Operation(
        id="health",
        method="GET",
        path="/health",
        about="Whether the server is alive",
        answer=health,
        result=Health,
        open=True,
    ),
    Operation(
        id="ready",
        method="GET",
        path="/ready",
        about="Whether the stores and the models answer",
        answer=ready,
        result=Readiness,
        open=True,
    ),
)
