"""An MCP server in a process of its own whose tools and results stand in a file: `PLAY` names it.

The file is JSON: `tools` as functions of a chat completion request, `results` as `[name, arguments, text]`, and `page`,
how many tools stand on a page of the list. It is served as `tests.mcp.server` is: `/mcp`, `/sse`, `TOKEN`, `/calls`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from tests.mcp.server import COUNTS, Gate, Receive, Scope, Send, counts, serve

PLAY: dict[str, Any] = json.loads(Path(os.environ["PLAY"]).read_bytes())
TOOLS = [
    Tool(name=each["name"], description=each.get("description"), input_schema=each["parameters"])
    for each in PLAY["tools"]
]


async def listed(_: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
    """A page; its cursor is the place of the next one."""
    start = int(params.cursor) if params and params.cursor else 0
    end = start + (PLAY.get("page") or len(TOOLS))
    COUNTS["lists"] = COUNTS.get("lists", 0) + 1
    return ListToolsResult(tools=TOOLS[start:end], next_cursor=str(end) if end < len(TOOLS) else None)


async def called(_: Any, params: CallToolRequestParams) -> CallToolResult:
    COUNTS["calls"] += 1
    for name, arguments, text in PLAY["results"]:
        if (name, arguments) == (params.name, params.arguments or {}):
            return CallToolResult(content=[TextContent(type="text", text=text)])
    words = f"nobody knows {params.name}({json.dumps(params.arguments)})"
    return CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)


server: Server[Any] = Server("played", on_list_tools=listed, on_call_tool=called)
older = SseServerTransport("/messages/")


class Sse:
    """The older form."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with older.connect_sse(scope, receive, send) as (read, write):
            await server.run(read, write, server.create_initialization_options())


def main() -> None:
    streamable = server.streamable_http_app()
    routes = [
        Route("/calls", counts),
        Route("/sse", Sse(), methods=["GET"]),
        Mount("/messages/", app=older.handle_post_message),
        *streamable.routes,
    ]

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        async with streamable.router.lifespan_context(streamable):
            yield

    app = Starlette(routes=routes, lifespan=living)
    serve(Gate(app, os.environ.get("TOKEN")))


if __name__ == "__main__":
    main()
