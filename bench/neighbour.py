"""An MCP server for load, on the SDK: one tool that waits as long as it is told to. `python -m bench.neighbour` prints
its port; `/counts` tells how many sessions were begun, lists given and calls made.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

server: MCPServer[Any] = MCPServer("neighbour", log_level="CRITICAL")


@server.tool(structured_output=False)
async def wait(ms: int = 0) -> str:
    """Wait."""
    if ms:
        await asyncio.sleep(ms / 1000)
    return "waited"


class Counted:
    """The server's application; counts what the protocol asks for, by method."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or tell the counts."""
        if scope["type"] == "http" and scope["path"] == "/counts":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(self._counts).encode()})
            return

        async def counted() -> MutableMapping[str, Any]:
            message = await receive()
            if message.get("type") == "http.request" and message.get("body"):
                self._counts[str(json.loads(message["body"]).get("method"))] += 1
            return message

        await self._app(scope, counted, send)


def main() -> None:
    """Serve on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        app = Counted(server.streamable_http_app())
        uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=0)).run(sockets=[listener])


if __name__ == "__main__":
    main()
