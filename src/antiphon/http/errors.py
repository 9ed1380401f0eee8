"""The ASGI edge: whatever goes wrong inside becomes an answer here and nowhere else (law 10).

It also gives every answer its request id, the time it took, and the version of the API that it follows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from math import ceil
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.http.presence import GoneError
from antiphon.http.reply import JSON, Body, Header
from antiphon.ports.clock import Clock
from antiphon.wire.errors import AntiphonError, MethodNotAllowedError, NotFoundError, ServerError

LOG: Final = logging.getLogger("antiphon.http")

VERSION: Final = (b"openai-version", b"2020-10-01")

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BUSY: Final = frozenset({429, 503})


class Edge:
    """Wraps the whole application; the only place of `except Exception` in this room."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = self._clock.id("req_")
        started = False

        def sending(message: Message) -> Awaitable[None]:
            nonlocal started
            if not started:
                started = True
                spent = ceil((perf_counter() - began) * 1000)
                message["headers"] += (
                    (b"x-request-id", request_id.encode()),
                    (b"openai-processing-ms", b"%d" % spent),
                    VERSION,
                )
            return send(message)

        try:
            await self._app(scope, receive, sending)
        except GoneError:
            return
        except Exception as error:
            if not isinstance(error, AntiphonError):
                said = named(scope, b"x-client-request-id")[:200]
                LOG.exception("%s failed (the client calls it %r)", request_id, said)
            if not started:
                await rendered(error, scope["method"]).send(receive, sending)
            elif isinstance(error, AntiphonError):
                LOG.warning("%s broke off: %s", request_id, error.message)


def rendered(error: Exception, method: str, headers: tuple[Header, ...] = ()) -> Body:
    """The answer to a request that failed. Of an exception that is not ours nothing is told."""
    told = error if isinstance(error, AntiphonError) else ServerError("The server had an error. It has been logged.")
    status = told.http_status
    if status in _BUSY or told.retry_after is not None:
        headers += ((b"retry-after", b"%d" % ceil(told.retry_after or 1)),)
    if (status == 409 and told.retry_after is None) or (status == 500 and method not in _SAFE):
        # the official clients repeat these by themselves; what half happened must not happen twice
        headers += ((b"x-should-retry", b"false"),)
    return Body(told.body(), status, (JSON, *headers))


async def unknown_route(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind every path that is not served."""
    if scope["type"] == "websocket":
        await refuse_websocket(
            NotFoundError("WebSockets are not served here.", code="unknown_url"), scope, receive, send
        )
        return
    raise NotFoundError(f"Invalid URL: {scope['method']} {scope['path']} is not served.", code="unknown_url")


def wrong_method(method: str, path: str, allowed: str) -> Body:
    """The answer to a method that the path does not have."""
    error = MethodNotAllowedError(f"{method} is not allowed on {path}; allowed: {allowed}.")
    return rendered(error, method, ((b"allow", allowed.encode()),))


def named(scope: Scope, name: bytes) -> str:
    """The value of a header, "" when it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found.decode("latin-1")
    return ""


async def refuse_websocket(
    error: AntiphonError, scope: Scope, receive: Receive, send: Send, headers: tuple[Header, ...] = ()
) -> None:
    """Answer before the upgrade, so that clients see why and fall back to POST; servers that cannot say so close."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    answer = rendered(error, "GET", headers)
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": [*answer.headers]})
    await send({"type": "websocket.http.response.body", "body": answer.content})
