"""An MCP server in a process of its own, on the SDK: `/mcp` (streamable HTTP), `/sse` (the older form), or stdio.

`python -m tests.mcp.server http` prints its port. With `TOKEN` every request must carry it as a bearer token; `/calls`
counts what was asked of it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import EmbeddedResource, TextResourceContents, ToolAnnotations
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
COUNTS: dict[str, int] = {"posts": 0, "calls": 0}
SAID: dict[str, str] = {}
LOG: list[dict[str, Any]] = []
"""What `set_boiling_point` was called with."""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

server: MCPServer[Any] = MCPServer("boiling")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def get_boiling_point(liquid: str, celsius: bool = True) -> str:
    """The boiling point of a liquid."""
    COUNTS["calls"] += 1
    if liquid != "myawesomeliquid":
        raise ToolError(f"nobody knows {liquid}")
    return "-100" if celsius else "-148"


@server.tool(structured_output=False)
async def set_boiling_point(liquid: str, point: float) -> str:
    """Set a boiling point."""
    COUNTS["calls"] += 1
    LOG.append({"liquid": liquid, "point": point})
    return f"{liquid} boils at {point:g} now"


async def reset(liquid: str, point: float, pressure: float) -> str:
    """What `CHANGED` makes of a tool: it wants more."""
    LOG.append({"liquid": liquid, "point": point, "pressure": pressure})
    return "set"


@server.tool(structured_output=False)
async def sleep(seconds: float) -> str:
    """Sleep."""
    COUNTS["calls"] += 1
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        COUNTS["cancelled"] = COUNTS.get("cancelled", 0) + 1
        raise
    return "slept"


@server.tool(structured_output=False)
async def plod(ctx: Context[Any, Any], steps: int, pause: float) -> str:
    """Take steps, and tell of each."""
    COUNTS["calls"] += 1
    for step in range(steps):
        await asyncio.sleep(pause)
        await ctx.report_progress(step + 1, steps, "on the way")
    return f"{steps} steps"


@server.tool(structured_output=False)
def flood(size: int) -> str:
    """A lot of text."""
    return "x" * size


@server.tool(structured_output=False)
def echo(ctx: Context[Any, Any], fail: bool = False) -> str:
    """Say who asks."""
    request = ctx.request_context.request
    assert request is not None
    said = f"{request.url.query} {SAID.get('path')} {dict(request.headers)}"
    if fail:
        raise ToolError(said)
    return said


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A picture and a note."""
    note = EmbeddedResource(type="resource", resource=TextResourceContents(uri="note://1", text="a note"))
    return ["here", Image(data=PIXEL, format="png"), note]


@server.tool(structured_output=False)
def die() -> str:
    """End the process."""
    os._exit(1)


@server.tool(structured_output=False)
async def grow(ctx: Context[Any, Any]) -> str:
    """Offer one tool more."""

    def grown() -> str:
        """A tool that was not there."""
        return "grown"

    server.add_tool(grown, structured_output=False)
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "there is one more tool"


class Gate:
    """Lets in who has the token, and counts."""

    def __init__(self, app: Any, token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _meant(scope) if scope["type"] == "http" else ""
        if path in {"/mcp", "/sse", "/messages/"}:
            headers = dict(scope["headers"])
            if self.token and headers.get(b"authorization") != f"Bearer {self.token}".encode():
                said = headers.get(b"authorization", b"").decode()
                await PlainTextResponse(f"who is {said}?", status_code=401)(scope, receive, send)
                return
            COUNTS["posts"] += scope["method"] == "POST"
        await self.app(scope, receive, send)


async def counts(request: Request) -> Response:
    return JSONResponse(COUNTS)


async def log(request: Request) -> Response:
    return JSONResponse(LOG)


async def garbage(request: Request) -> Response:
    return PlainTextResponse("<html>not what you think</html>", media_type="text/html")


async def junk(request: Request) -> Response:
    return Response('{"jsonrpc": "2.0", "oops', media_type="application/json")


async def loop(request: Request) -> Response:
    return RedirectResponse("/loop", status_code=307)


async def slow(request: Request) -> Response:
    await asyncio.sleep(30)
    return PlainTextResponse("late")


async def failing(request: Request) -> Response:
    return PlainTextResponse("secret details", status_code=500)


def app(token: str | None) -> Any:
    streamable = server.streamable_http_app()
    older = server.sse_app()
    odd = {"garbage": garbage, "junk": junk, "loop": loop, "slow": slow, "failing": failing}
    routes = [
        Route("/calls", counts),
        Route("/log", log),
        *(Route(f"/{name}", one, methods=["GET", "POST"]) for name, one in odd.items()),
        *streamable.routes,
        *(route for route in older.routes if isinstance(route, Route | Mount)),
    ]

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncGenerator[None]:
        async with streamable.router.lifespan_context(streamable):
            yield

    return Gate(Starlette(routes=routes, lifespan=living), token)


def _meant(scope: Scope) -> str:
    """The path without what stands before it in `/secret/...`."""
    path = str(scope["path"])
    if path.startswith("/secret/"):
        SAID["path"] = path
        path = "/" + path.rpartition("/")[2]
        scope["path"] = path
        scope["raw_path"] = path.encode()
    return path


def serve(made: Any) -> None:
    """Say the port and serve."""
    listening = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(made, log_level="critical", timeout_graceful_shutdown=0)
    uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    if sys.argv[1:] == ["stdio"]:
        server.run("stdio")
        return
    if (gone := os.environ.get("GONE")) is not None:
        server.remove_tool(gone)
    if (changed := os.environ.get("CHANGED")) is not None:
        server.remove_tool(changed)
        server.add_tool(reset, changed, structured_output=False)
    serve(app(os.environ.get("TOKEN")))


if __name__ == "__main__":
    main()
