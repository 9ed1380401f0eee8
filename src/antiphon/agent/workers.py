"""Where the code of tools runs: here, in a thread of its own, or on a loop of its own.

Law: whatever the code does, it is an `Attempt` afterwards. Nobody waits longer than asked: threads are daemons, so a
tool that never returns costs a thread and no exit of the program. The context variables of the caller are seen inside.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import Any, Self


class Attempt:
    """`with Attempt() as attempt: attempt.value = ...` keeps what was raised inside, of any class."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.error = error
        return True


def here(body: Callable[[], Any]) -> Attempt:
    """Run it now, in this thread."""
    with Attempt() as attempt:
        attempt.value = body()
    return attempt


def in_thread(body: Callable[[], Any]) -> Future[Attempt]:
    """Run it in a thread of its own (a pool would wait for its threads when the program ends)."""
    future: Future[Attempt] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody cancels it: the thread always finds it open
    context = copy_context()
    threading.Thread(target=lambda: future.set_result(context.run(here, body)), name="tool", daemon=True).start()
    return future


async def awaited(body: Callable[[], Awaitable[Any]]) -> Attempt:
    """Run it on the loop that is running."""
    with Attempt() as attempt:
        attempt.value = await body()
    return attempt


class Loop:
    """An event loop in a thread, for coroutines under a caller that has none."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="tools", daemon=True)
        self.thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, Attempt]) -> Future[Attempt]:
        """Run it there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


_loops: list[Loop] = []
_lock = threading.Lock()
_level: ContextVar[int] = ContextVar("level", default=0)


def on_loop(body: Callable[[], Awaitable[Any]]) -> Future[Attempt]:
    """Run it on a loop that is kept for this, so that what a tool opens on it (a client, a pool) lives on.

    A tool that runs there and itself blocks on coroutine tools (an agent inside it does) would wait for a loop that
    waits for the tool: such calls go to the next loop.
    """
    level = _level.get()

    async def deeper() -> Attempt:
        _level.set(level + 1)
        return await awaited(body)

    with _lock:
        if level == len(_loops):
            _loops.append(Loop())
        elif not _loops[level].thread.is_alive():  # this process was forked from the one that had it
            _loops[level] = Loop()
        return _loops[level].submit(deeper())


def failed(error: BaseException) -> Attempt:
    """As if the code had raised it."""
    attempt = Attempt()
    attempt.error = error
    return attempt
