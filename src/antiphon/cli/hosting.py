"""A server beside a program that blocks: in a thread of this process, with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from antiphon.cli.serving import served
from antiphon.settings import Settings


@contextmanager
def hosted(settings: Settings, environ: Mapping[str, str]) -> Generator[str]:
    """Its URL; it is stopped at the end. Raises RefusalError, SettingsError."""
    begun: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with served(settings, environ) as url:
            begun.set_result((url, asyncio.get_running_loop(), over))
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told to whoever waits for the server
            if begun.done():
                raise
            begun.set_exception(error)

    thread = threading.Thread(target=run, name="antiphon-server", daemon=True)
    thread.start()
    url, loop, over = begun.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
