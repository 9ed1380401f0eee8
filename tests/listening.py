"""An aiohttp application on a free port of this machine: the outside that a server under test talks to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def listening(app: web.Application, *, cancelling: bool = False) -> AsyncGenerator[str]:
    """Serve it; its origin, without a slash at the end. `cancelling`: requests end when their clients go away."""
    runner = web.AppRunner(app, handler_cancellation=cancelling, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
