"""The application: the table of operations becomes routes, behind the edge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.http import chat, conversations, health, models, openapi, responses
from antiphon.http.errors import Edge, unknown_route
from antiphon.http.operation import Operation, routes
from antiphon.http.services import Services

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[None]]

_SERVED: Final = (
    *responses.OPERATIONS,
    *chat.OPERATIONS,
    *conversations.OPERATIONS,
    *models.OPERATIONS,
    *health.OPERATIONS,
)

OPERATIONS: Final[tuple[Operation, ...]] = (*_SERVED, *openapi.operations(_SERVED))
"""Everything that is served."""


def build(services: Services, lifespan: Lifespan | None = None) -> ASGIApp:
    """The ASGI application; `lifespan` is entered when the server starts and left when it stops."""
    router = Router(routes(services, OPERATIONS), redirect_slashes=False, default=unknown_route, lifespan=lifespan)
    return Edge(unprefixed(router), services.clock)


def unprefixed(app: ASGIApp) -> ASGIApp:
    """The application under `/v1` and without it: clients are given either as base URL."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        root: str = scope.get("root_path", "") + "/v1"
        if scope.get("path", "").startswith(root + "/"):
            scope = {**scope, "root_path": root}
        await app(scope, receive, send)

    return serve
