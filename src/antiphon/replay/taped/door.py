"""The door out with a tape: files and images that requests name by URL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

from antiphon.ports.door import Answer, Ask, Door, DoorError, DoorLimits, Fetched
from antiphon.replay.tape import Deck, Mode, Place, typed
from antiphon.wire.codec import encode

FETCH: Final = Place("door")


class TapedDoor:
    """A door. Whole documents are recorded; what is read piece by piece is not, and is refused where recordings are
    replayed."""

    def __init__(self, door: Door, deck: Deck) -> None:
        self._door = door
        self._deck = deck

    def open(self, ask: Ask, limits: DoorLimits, /) -> AbstractAsyncContextManager[Answer]:
        """See the port."""
        tape = self._deck.tape
        if tape is not None and tape.mode is Mode.REPLAY:
            raise DoorError("Recordings are replayed: nothing is fetched.", refused=True)
        return self._door.open(ask, limits)

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._door.fetch(url, limits)

        async def live() -> bytes:
            return encode(await self._door.fetch(url, limits))

        return typed(await tape.value(FETCH, {"url": url, "limit": limits.size}, live), Fetched)

    async def close(self) -> None:
        """See the port."""
        await self._door.close()
