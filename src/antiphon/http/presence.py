"""Whether the client is still there. One watcher per request that waits for something; nothing per event.

ASGI says that a client is gone only to who calls `receive`, so one task sits in that call while the answer is made. It
also breaks the silence: after `idle` seconds without `touch` it writes a comment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeAlias

from starlette.types import Receive

Ping: TypeAlias = Callable[[], Awaitable[None]]

FOREVER: Final = 86_400.0


class GoneError(Exception):
    """The client went away; there is nobody to answer."""


class Presence:
    """While its body runs the client is watched; when it goes away the body is cancelled and leaves as GoneError."""

    __slots__ = ("_idle", "_loop", "_ping", "_receive", "_scope", "_touched", "_watcher")

    def __init__(self, receive: Receive, *, idle: float = FOREVER, ping: Ping | None = None) -> None:
        self._receive = receive
        self._idle = idle
        self._ping = ping
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._touched = 0.0
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.touch()
        await self._scope.__aenter__()
        self._watcher = self._loop.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise GoneError from None

    def touch(self) -> None:
        """Something was written."""
        self._touched = self._loop.time()

    def leave(self) -> None:
        """Cancel the body: the client is gone."""
        self._scope.reschedule(self._loop.time())

    async def _watch(self) -> None:
        gone = False
        while not gone:
            try:
                async with asyncio.timeout_at(self._touched + self._idle):
                    gone = (await self._receive())["type"] == "http.disconnect"
            except TimeoutError:
                gone = not await self._pinged()
        self.leave()

    async def _pinged(self) -> bool:
        """Break the silence, if it still is one; False when the client cannot be reached."""
        if self._loop.time() < self._touched + self._idle:
            return True
        try:
            if self._ping is not None:
                await self._ping()
        except OSError:
            return False
        self.touch()
        return True
