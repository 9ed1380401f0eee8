"""MCP servers that are not there, for tests of what uses them."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from antiphon.ports.mcp import McpError, McpListing, McpResult, McpServer
from antiphon.wire.items import ListedTool

SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


class Servers:
    """The port: two tools that want a query; a URL with `401` or `down` in it refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, McpServer, str]] = []
        self.closed = False

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        self.asked.append((project, server, ""))
        if "401" in (server.url or ""):
            raise McpError("lab.example answered with HTTP 401.", "http", 401)
        if "down" in (server.url or ""):
            raise McpError("lab.example could not be reached.")
        read = ListedTool(name="read", description="Reads.", input_schema=SCHEMA, annotations={"readOnlyHint": True})
        return McpListing((read, ListedTool(name="write", description=UNSET, input_schema=SCHEMA)))

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        self.asked.append((project, server, name))
        query = arguments.get("query")
        if not isinstance(query, str) or not query:
            return McpResult("A query is needed.", ({"type": "text", "text": "A query is needed."},), failed=True)
        return McpResult(f"{name}: {query}")

    async def close(self) -> None:
        self.closed = True
