"""Time and ids: the real ones, and a sequence that repeats.

An id is its prefix, 12 hex digits of milliseconds since the epoch and 36 random ones, so that later ids sort later.
"""

from __future__ import annotations

import os
import random
import time
from typing import Final

_RANDOM: Final = 18
"""Random bytes in an id."""
_POOL: Final = 256
"""Ids whose random part is fetched with one system call."""


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
