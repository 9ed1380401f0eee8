"""Approvals that were used. Law: an approval is good for one call, in whatever turns it is given, also by a client that
sends its request again, and after this process died."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from antiphon.ports.clock import Clock
from antiphon.ports.idempotency import FirstAnswer, Idempotency

KEPT: Final = 90 * 24 * 3600
"""Seconds that a used approval is remembered."""


class Approvals:
    """Remembers, durably, which requests have had their call."""

    def __init__(self, keys: Idempotency, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def spend(self, project: str, request_id: str, item_id: str) -> bool:
        """Take the approval of this request for the call `item_id`; False when it was taken before."""
        now = self._clock.now()
        taken = FirstAnswer(key=_key(request_id), digest=sha256(item_id.encode()).digest(), until=now + KEPT)
        return await self._keys.begin(project, taken, now) is None

    async def give_back(self, project: str, request_id: str) -> None:
        """The server refused to hear of the call."""
        await self._keys.forget(project, _key(request_id))


def _key(request_id: str) -> str:
    return f"\napproval {request_id}"  # which no header can say
