"""First answers by Idempotency-Key, so that a repeated POST is answered again and not done again."""

from __future__ import annotations

from typing import Protocol

import msgspec


class FirstAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a key stands for: the digest of the request (method, path, body), and the answer once there is one
    (`status` 0 before: the first request is still being answered). `until` (epoch seconds) the key is kept."""

    key: str
    digest: bytes
    status: int = 0
    content_type: str = ""
    body: bytes = b""
    until: float = 0.0


class Idempotency(Protocol):
    """Contract: as of Store; of two concurrent `begin` with one key one gets None."""

    async def begin(self, project: str, answer: FirstAnswer, now: float, /) -> FirstAnswer | None:
        """Take the key for this request; None when it was free (or its `until` has passed), otherwise what it stands
        for."""
        ...

    async def complete(self, project: str, answer: FirstAnswer, /) -> None:
        """Keep the answer; with `status` 0, the key for longer. Nothing when it is answered already, or another request
        (by its digest) has taken it meanwhile."""
        ...

    async def forget(self, project: str, key: str, /) -> None:
        """Free a key whose request was not done; nothing when it is answered."""
        ...
