"""Effects performed in tasks, so that whoever waits for them can stop waiting at any time.

Law: an errand knows the box that its outcomes go to, and nothing of the turn. A stream is read one event at a time,
when one is wanted.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from antiphon.agent.effects import Broken, Ended, Outcome, Streamed
from antiphon.agent.retries import fault_of
from antiphon.agent.workers import Attempt

GRACE = 0.25
"""Seconds that a task is given to let go of its connection."""


class Errand:
    """One effect on its way, in a task; its outcomes go to the box. A stream is read one event at a time."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._wanted = asyncio.Semaphore(0)
        self._left = False
        self._task: asyncio.Task[None] | None = None

    def post(self, outcome: Outcome) -> None:
        """Tell what came of it, unless nobody wants to know any more."""
        if not self._left:
            self._box.put_nowait((self, outcome))

    def wanted(self) -> None:
        """The next event of the stream is wanted."""
        self._wanted.release()

    def run(self, work: Work) -> None:
        """Something with one outcome."""
        self._start(self._once(work))

    async def _once(self, work: Work) -> None:
        attempt = await tried(called(work))
        self.post(attempt.value if attempt.error is None else Broken(fault_of(attempt.error)))

    def stream(self, opened: Callable[[], Any]) -> None:
        """A request, and the events of its stream."""
        self._start(self._read(opened))

    async def _read(self, opened: Callable[[], Any]) -> None:
        stream: Any = None
        try:
            attempt = await tried(called(opened))
            stream = attempt.value
            if attempt.error is None:
                attempt = await tried(self._pass(stream))
        finally:
            await tried(closed(stream))
        self.post(Ended() if attempt.error is None else Broken(fault_of(attempt.error)))

    async def _pass(self, stream: AsyncIterable[Any]) -> None:
        async for event in stream:
            if self._left:
                return
            self.post(Streamed(event))
            await self._wanted.acquire()

    def share(self, work: Sequence[Work], lanes: int) -> None:
        """Many things, so many of them at a time as there are lanes."""
        self._start(self._lanes(deque(work), lanes))

    async def _lanes(self, left: deque[Work], lanes: int) -> None:
        async def lane() -> None:
            while left and not self._left:
                await self._once(left.popleft())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(lanes, len(left))):
                group.create_task(lane())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def leave(self) -> None:
        """Nothing more is wanted; the task ends by itself."""
        self._left = True
        self._wanted.release()

    def hang_up(self) -> None:
        """Nothing more is wanted, and the task ends now."""
        self.leave()
        if self._task is not None and not self._task.done() and not self._task.get_loop().is_closed():
            self._task.cancel()

    async def end(self, *, hard: bool) -> None:
        """Wait until the task has ended, for a short time: `hard`, or where the server does not end its stream, by
        cancelling it."""
        for cut in (self.hang_up if hard else self.leave, self.hang_up):
            cut()
            if self._task is None or (await asyncio.wait({self._task}, timeout=GRACE))[0]:
                return


Work: TypeAlias = Callable[[], Awaitable[Outcome]]
Box: TypeAlias = "asyncio.Queue[tuple[Errand, Outcome] | None]"


async def tried(work: Awaitable[Any]) -> Attempt:
    """What came of it; what is meant to end the task or the program goes through."""
    with Attempt() as attempt:
        attempt.value = await work
    if attempt.error is not None and not isinstance(attempt.error, Exception):
        raise attempt.error
    return attempt


async def called(call: Callable[[], Any]) -> Any:
    """The value of a function or coroutine function."""
    found = call()
    return await found if inspect.isawaitable(found) else found


async def closed(stream: Any) -> None:
    """Close a stream of any library."""
    for name in ("close", "aclose"):
        if callable(close := getattr(stream, name, None)):
            await called(close)
            return
