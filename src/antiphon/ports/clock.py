"""Time and identity: the only sources of what cannot be computed twice."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Contract: `now` never goes back within a process; `id` never gives the same id twice; ids made later sort later
    (at the resolution of a millisecond); a seeded clock gives the same sequence again."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def id(self, prefix: str, /) -> str:
        """A fresh id: the prefix (`resp_`, `msg_`, ...) and 48 hex digits that begin with the time."""
        ...
