"""MCP servers: their tools are listed and called. How a session is made and kept is the adapter's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from antiphon.wire.items import ListedTool


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server: at a `url`, or as a process of ours that is started by a `command`. `headers` are secrets. `own`: the
    operator's, from the settings, so that it may stand at an address that is not public."""

    url: str | None = None
    headers: Mapping[str, str] = {}
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    own: bool = False


class McpConnector(msgspec.Struct, frozen=True, kw_only=True):
    """A server of the settings, which requests name by `connector_id`. `read_only`: only tools that say that they
    change nothing are offered."""

    server: McpServer
    read_only: bool = False


Failure: TypeAlias = Literal["http", "protocol"]


class McpError(Exception):
    """Nothing came of it. The words are for the client and the model: they name the server's host and no secret. `code`
    is the HTTP status or the code of the protocol; `lost`: the server does not know the session, and did nothing."""

    def __init__(self, message: str, kind: Failure = "protocol", code: int = -32000, *, lost: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.kind: Failure = kind
        self.code = code
        self.lost = lost


class McpListing(msgspec.Struct, frozen=True):
    """The tools of a server, in its order. `left`: there are more than are taken."""

    tools: tuple[ListedTool, ...]
    left: bool = False


class McpResult(msgspec.Struct, frozen=True):
    """What a tool gave, in words; `content` are its parts as the protocol has them. `failed` is what the tool says."""

    text: str
    content: tuple[dict[str, Any], ...] = ()
    failed: bool = False


class McpServers(Protocol):
    """Contract: sessions are kept from call to call, apart for each project and for each set of headers; one that died
    is made again once. A call is never sent twice, except when the server said that it does not know the session.
    Cancelling a call tells the server. May be called concurrently."""

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        """The tools, at most some minutes old. McpError."""
        ...

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        """Call a tool. McpError."""
        ...

    async def close(self) -> None:
        """End all sessions."""
        ...
