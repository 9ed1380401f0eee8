"""The egress door, opened when something first goes out: its HTTP client is a third of the server's start."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from antiphon.adapters.egress.addresses import Rules
from antiphon.ports.door import Answer, Ask, Door, DoorLimits, Fetched

CONNECTIONS: Final = 64
"""At once; 0: any number."""


class Doorway:
    """The port, over a door that is made at the first use."""

    def __init__(self, rules: Rules, connections: int = CONNECTIONS) -> None:
        self._rules = rules
        self._connections = connections
        self._door: Door | None = None

    @asynccontextmanager
    async def open(self, ask: Ask, limits: DoorLimits, /) -> AsyncGenerator[Answer]:
        """See the port."""
        async with self._made().open(ask, limits) as answer:
            yield answer

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        """See the port."""
        return await self._made().fetch(url, limits)

    async def close(self) -> None:
        """See the port."""
        if self._door is not None:
            await self._door.close()

    def _made(self) -> Door:
        if self._door is None:
            from antiphon.adapters.egress.door import HttpDoor  # noqa: PLC0415  # see the module

            self._door = HttpDoor(self._rules, connections=self._connections)
        return self._door
