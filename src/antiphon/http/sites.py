"""Which names this server goes by, and which sites' pages may ask it.

A server without keys on loopback trusts whoever reaches it, and pages of any site do: under a name that the site lets
resolve to loopback (DNS rebinding), by requests whose answer they cannot read, by a WebSocket, which CORS does not
cover. A browser says in `Host` and `Origin` whose page it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.http.errors import refuse_websocket
from antiphon.wire.errors import AntiphonError

ANY: Final = "*"

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\s]+)(?::[0-9]*)?")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(.+)")


class ForbiddenError(AntiphonError):
    """Not for this server, or not for pages of this site."""

    http_status, type, default_code = 403, "invalid_request_error", "forbidden"


class Origins:
    """The sites that the operator lists (`https://app.example`, `null`, or `*` for all)."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(one.rstrip("/").lower() for one in listed)
        self.any = ANY in self._listed

    def allow(self, origin: str) -> bool:
        """Whether this value of the header is one of them."""
        return self.any or origin.lower() in self._listed


class Guard:
    """Refuses what was not sent to this machine by this machine. `hosts`: names that are served besides loopback's own
    (`*`: every name)."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Origins) -> None:
        self._app = app
        self._hosts = frozenset(host.strip("[]").lower() for host in hosts)
        self._origins = origins
        self._refusal = lru_cache(maxsize=256)(self._judged)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse with 403."""
        if scope["type"] in {"http", "websocket"}:
            host = origin = b""
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
            if words := self._refusal(host, origin):
                error = ForbiddenError(words[1], code=words[0])
                if scope["type"] == "http":
                    raise error
                await refuse_websocket(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _judged(self, host: bytes, origin: bytes) -> tuple[str, str] | None:
        """Code and message of the refusal, None when there is none. Without `Host` it is no browser."""
        named, page = host.decode("latin-1").lower(), origin.decode("latin-1").lower()
        if host and not self._ours(named):
            return "host_not_allowed", (
                f"This server has no API keys and answers to names of this machine only, not to '{named[:100]}'. "
                "List the name in server.trusted_hosts, or set server.api_keys."
            )
        if origin and not (self._origins.allow(page) or self._same(page, named)):
            return "origin_not_allowed", (
                f"This server has no API keys and does not answer pages of '{page[:100]}'. "
                "List the site in server.cors_origins, or set server.api_keys."
            )
        return None

    def _ours(self, host: str) -> bool:
        """Whether a Host names this server."""
        if ANY in self._hosts:
            return True
        name = _name(host)
        return name is not None and (name in self._hosts or local(name))

    def _same(self, origin: str, host: str) -> bool:
        """Whether the page comes from this machine, or from the name that it asks."""
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            return False
        name = _name(found[1])
        return name is not None and (local(name) or name == _name(host))


def local(name: str) -> bool:
    """Whether a name or address is loopback's own."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name(authority: str) -> str | None:
    """The name or address in `name:port`; None for what is none."""
    found = _HOST.fullmatch(authority)
    return found[1].strip("[]").rstrip(".") if found else None
