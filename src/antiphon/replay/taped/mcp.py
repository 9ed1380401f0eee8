"""The port of MCP servers with a tape. Headers are no part of a request: they are secrets."""

from __future__ import annotations

from typing import Any, Final

from antiphon.ports.mcp import McpListing, McpResult, McpServer, McpServers
from antiphon.replay.tape import Deck, Place, typed
from antiphon.replay.taped.tool import TOOL
from antiphon.wire.codec import encode
from antiphon.wire.tools import masked_url

TOOLS: Final = Place("mcp.tools")
CALL: Final = Place("mcp.call")


class TapedMcp:
    """Sessions with MCP servers."""

    def __init__(self, servers: McpServers, deck: Deck) -> None:
        self._servers = servers
        self._deck = deck

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._servers.tools(project, server)

        async def live() -> bytes:
            return encode(await self._servers.tools(project, server))

        return typed(await tape.value(TOOLS, self._named(server), live), McpListing)

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._servers.call(project, server, name, arguments)

        async def live() -> bytes:
            return encode(await self._servers.call(project, server, name, arguments))

        asked = {**self._named(server), "name": name, "arguments": arguments}
        return typed(await tape.value(CALL, asked, live), McpResult)

    async def close(self) -> None:
        """See the port."""
        await self._servers.close()

    def _named(self, server: McpServer) -> dict[str, Any]:
        """What a server is known by. The store keeps of a URL only where it leads: so it is in a run out of it."""
        tape = self._deck.tape
        if server.url is None:
            return {"server": list(server.command)}
        return {"server": masked_url(server.url) if tape is not None and tape.tells(TOOL.port) else server.url}
