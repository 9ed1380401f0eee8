"""The application: the table of operations becomes routes, behind the edge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.http import (
    chat,
    compact,
    completions,
    conversations,
    embeddings,
    files,
    health,
    models,
    openapi,
    prompts,
    rerank,
    responses,
    tokens,
    uploads,
    vector_stores,
    websocket,
)
from antiphon.http.cors import Cors, Preflight
from antiphon.http.errors import Edge, unknown_route
from antiphon.http.operation import Operation, routes
from antiphon.http.services import Services
from antiphon.http.sites import Guard, Origins

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[None]]

_SERVED: Final = (
    *compact.OPERATIONS,  # before the paths with an id in this place
    *tokens.OPERATIONS,
    *responses.OPERATIONS,
    *chat.OPERATIONS,
    *completions.OPERATIONS,
    *embeddings.OPERATIONS,
    *conversations.OPERATIONS,
    *prompts.OPERATIONS,
    *files.OPERATIONS,
    *uploads.OPERATIONS,
    *vector_stores.OPERATIONS,
    *rerank.OPERATIONS,
    *models.OPERATIONS,
    *health.OPERATIONS,
)

OPERATIONS: Final[tuple[Operation, ...]] = (*_SERVED, *openapi.operations(_SERVED))
"""Everything that is served."""


def build(services: Services, lifespan: Lifespan | None = None) -> ASGIApp:
    """The ASGI application; `lifespan` is entered when the server starts and left when it stops."""
    served = [*routes(services, OPERATIONS), WebSocketRoute("/responses", websocket.Upgrade(services))]
    router = Router(served, redirect_slashes=False, default=unknown_route, lifespan=lifespan)
    return edged(unprefixed(router), services)


def edged(app: ASGIApp, services: Services) -> ASGIApp:
    """The application behind the edge, and behind the rules for browsers that the settings ask for."""
    limits = services.limits
    origins = Origins(limits.cors_origins)
    if limits.cors_origins:
        app = Preflight(app, origins)
    if limits.guarded:
        app = Guard(app, limits.trusted_hosts, origins)
    app = Edge(app, services.clock)
    return Cors(app, origins) if limits.cors_origins else app


def unprefixed(app: ASGIApp) -> ASGIApp:
    """The application under `/v1` and without it: clients are given either as base URL."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        root: str = scope.get("root_path", "") + "/v1"
        if scope.get("path", "").startswith(root + "/"):
            scope = {**scope, "root_path": root}
        await app(scope, receive, send)

    return serve
