"""Time and ids: the real ones, and a sequence that repeats.

An id is its prefix, 12 hex digits of milliseconds since the epoch and 36 random ones, so that later ids sort later.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Final

_RANDOM: Final = 18
"""Random bytes in an id."""
_POOL: Final = 256
"""Ids whose random part is fetched with one system call."""
_TRACES: Final = frozenset({"req_", "proc_"})
"""Prefixes of ids that nothing which is kept refers to."""


class SystemClock:
    """The machine's clock and its source of randomness. May be used from several threads."""

    def __init__(self) -> None:
        self._latest = 0.0
        self._pool: list[str] = []

    def now(self) -> float:
        """Seconds since the epoch; stands still while the machine's clock is set back."""
        now = time.time()
        if now < self._latest:
            return self._latest
        self._latest = now
        return now

    def id(self, prefix: str, /) -> str:
        """A fresh id."""
        try:
            drawn = self._pool.pop()  # one step for the interpreter: two threads never draw the same
        except IndexError:
            drawn = self._draw()
        return f"{prefix}{int(self.now() * 1000):012x}{drawn}"

    def _draw(self) -> str:
        digits = os.urandom(_RANDOM * _POOL).hex()
        width = 2 * _RANDOM
        self._pool.extend([digits[at : at + width] for at in range(width, len(digits), width)])
        return digits[:width]


class SeededClock:
    """The same times and ids again for the same seed. `now` goes on by `tick` seconds each time it is asked."""

    def __init__(self, seed: int = 0, *, start: float = 1_700_000_000.0, tick: float = 0.001) -> None:
        self._random = random.Random(seed)  # noqa: S311  # repeatable is the point
        self._now = start
        self._tick = tick

    def now(self) -> float:
        """Seconds since the epoch."""
        self._now += self._tick
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def id(self, prefix: str, /) -> str:
        """The next id of the sequence."""
        return f"{prefix}{int(self.now() * 1000):012x}{self._random.getrandbits(8 * _RANDOM):0{2 * _RANDOM}x}"


class StillClock:
    """As SeededClock, but time passes only where an id is made: what looks at the clock in the background changes
    nothing. Thread-safe. Ids of requests and processes are a sequence of their own, in which no time passes: how often
    a client polls changes nothing either."""

    def __init__(self, seed: int = 0, *, start: float = 1_700_000_000.0) -> None:
        self._drawn = random.Random(seed), random.Random(seed + 1)  # noqa: S311  # repeatable is the point
        self._lock = threading.Lock()
        self._start = start
        self._ticks = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return round(self._start + self._ticks / 1000, 3)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._start += seconds

    def id(self, prefix: str, /) -> str:
        """The next id of the sequence, a millisecond later."""
        with self._lock:
            traces = prefix in _TRACES
            self._ticks += not traces
            drawn = self._drawn[traces].getrandbits(8 * _RANDOM)
            return f"{prefix}{int(self.now() * 1000):012x}{drawn:0{2 * _RANDOM}x}"
