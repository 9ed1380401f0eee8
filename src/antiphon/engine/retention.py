"""Retention: what has expired is deleted, every few minutes while the server runs.

Between its time and the next sweep an expired response can still be read. Every process sweeps; the store makes sure
that each row goes once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from antiphon.engine.rounds import Rounds
from antiphon.ports.clock import Clock
from antiphon.wire.errors import StoreError

LOGGER: Final = logging.getLogger(__name__)


class Expiring(Protocol):
    """What holds things that expire."""

    async def expire(self, now: float, /) -> int:
        """Delete some or all that has expired; how many, 0 when there is nothing left."""
        ...


class Retention(Rounds):
    """Sweeps these every `seconds`, beginning with `open`. What is being deleted when it is closed is deleted or stays,
    never half."""

    def __init__(self, *swept: Expiring, clock: Clock, seconds: float) -> None:
        super().__init__(seconds, self._round)
        self._swept = swept
        self._clock = clock

    async def sweep(self) -> int:
        """Delete what has expired by now, a call at a time; how many. Raises StoreError."""
        now, deleted = self._clock.now(), 0
        for each in self._swept:
            while gone := await each.expire(now):
                deleted += gone
                await asyncio.sleep(0)  # others write in between
        return deleted

    async def _round(self) -> None:
        try:
            if deleted := await self.sweep():
                LOGGER.info("%d objects had expired and were deleted", deleted)
        except StoreError as error:
            LOGGER.warning("what has expired could not be deleted: %s", error.message)
