"""Lanes: work of one lane is done in the order in which it came, different lanes at the same time.

A lane exists while it has work: one task for each, none when nothing is to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")
Name: TypeAlias = str | None


class LaneLimits(Struct, frozen=True, kw_only=True):
    """Bounds: lanes at work at once, pieces of work that wait in all of them, and the bytes of these (a single piece
    may be larger)."""

    lanes: int = 8
    waiting: int = 64
    size: int = 64 * 1024 * 1024


class Lanes(Generic[T]):
    """The lanes of one connection. `perform` does a piece of work and raises nothing; `rest` is called whenever the
    last lane has ended."""

    def __init__(self, perform: Callable[[T], Awaitable[None]], rest: Callable[[], None], limits: LaneLimits) -> None:
        self._perform = perform
        self._rest = rest
        self._limits = limits
        self._gate = asyncio.Semaphore(limits.lanes)
        self._queues: dict[Name, deque[tuple[T, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._size = 0

    @property
    def idle(self) -> bool:
        """Whether there is no work."""
        return not self._queues

    def put(self, name: Name, work: T, size: int) -> bool:
        """Queue work of so many bytes behind what the lane has; False when too much waits already."""
        if self._waiting >= self._limits.waiting or (self._waiting and self._size + size > self._limits.size):
            return False
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = deque()
            task = asyncio.ensure_future(self._work(name, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append((work, size))
        self._waiting += 1
        self._size += size
        return True

    async def close(self) -> None:
        """Stop all work and wait until it has."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._queues.clear()  # a task that was cancelled before its first step has left its queue

    async def _work(self, name: Name, queue: deque[tuple[T, int]]) -> None:
        try:
            while queue:
                async with self._gate:
                    work, size = queue.popleft()
                    self._waiting -= 1
                    self._size -= size
                    await self._perform(work)
        finally:
            del self._queues[name]
            if not self._queues:
                self._rest()
