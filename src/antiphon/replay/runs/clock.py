"""Time and ids of a run that is told again: those that it had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from antiphon.ports.clock import Clock


class RetoldClock:
    """A clock (ports/clock.py) that gives these ids, each where one with its prefix is wanted, and then those of
    another clock. `moment` is the time (seconds since the epoch)."""

    def __init__(self, then: Clock, moment: float = 0.0) -> None:
        self.moment = moment
        self._then = then
        self._ids: dict[str, deque[str]] = {}

    def expect(self, ids: Iterable[str]) -> None:
        """Give these ids next, and no more of those that were expected before."""
        self._ids = {}
        for each in ids:
            self._ids.setdefault(prefix_of(each), deque()).append(each)

    def now(self) -> float:
        """See the port."""
        return self.moment

    def id(self, prefix: str, /) -> str:
        """See the port."""
        left = self._ids.get(prefix)
        return left.popleft() if left else self._then.id(prefix)


def prefix_of(made: str) -> str:
    """The prefix of an id: all up to its last underscore."""
    return made[: made.rfind("_") + 1]
