"""CORS: which sites' pages may read the answers. Off unless the settings list sites.

`Cors` stands outside of the edge, so that errors carry its headers too; `Preflight` stands inside, so that its answers
carry a request id. Neither asks for a key: a browser sends none before the preflight is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.http.errors import named
from antiphon.http.reply import Body, Header
from antiphon.http.sites import Origins

EXPOSED: Final = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "openai-organization",
    "retry-after",
    "x-should-retry",
    "idempotent-replayed",
    "x-antiphon-warning",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
"""The headers that a page may read besides those that it always may."""

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_MAX_AGE: Final = b"600"
_ALLOW: Final = b"access-control-allow-origin"
_VARY: Final = (b"vary", b"origin")
_ASKED: Final = b"access-control-request-headers"
_PRIVATE: Final = b"access-control-request-private-network"


class Cors:
    """Tells browsers who may read an answer: any answer, also of an error or a stream."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins
        self._exposed = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, with the headers that this request's origin gets."""
        headers = self._headers(scope) if scope["type"] == "http" else ()
        if not headers:
            await self._app(scope, receive, send)
            return

        def sending(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            return send(message)

        await self._app(scope, receive, sending)

    def _headers(self, scope: Scope) -> tuple[Header, ...]:
        origin = named(scope, b"origin")
        if self._origins.any:
            return ((_ALLOW, b"*"), self._exposed) if origin else ()
        if origin and self._origins.allow(origin):
            return (_ALLOW, origin.encode("latin-1")), self._exposed, _VARY
        return (_VARY,)


class Preflight:
    """Answers what a browser asks before it sends a page's request. Credentials in cookies are not used here, so any
    header may be sent; who asks is told by the key."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight of a listed site; pass on everything else."""
        if not self._is_for_us(scope):
            await self._app(scope, receive, send)
            return
        headers: list[Header] = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", _MAX_AGE),
            (b"vary", _ASKED),
        ]
        if asked := named(scope, _ASKED):
            headers.append((b"access-control-allow-headers", asked.encode("latin-1")))
        if named(scope, _PRIVATE):
            headers.append((b"access-control-allow-private-network", b"true"))
        await Body(b"", 200, tuple(headers)).send(receive, send)

    def _is_for_us(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and bool(named(scope, b"access-control-request-method"))
            and self._origins.allow(named(scope, b"origin"))
        )
