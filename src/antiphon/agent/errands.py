"""Effects performed in threads, so that whoever waits for them can stop waiting at any time.

Law: an errand knows the box that its outcomes go to, and nothing of the turn. A stream is read one event at a time,
when one is wanted. All threads are daemons: what never returns costs a thread, and no exit of the program.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeAlias

from antiphon.agent.effects import Broken, Ended, Outcome, Streamed, Waited
from antiphon.agent.fields import field
from antiphon.agent.retries import fault_of
from antiphon.agent.workers import here

Box: TypeAlias = "SimpleQueue[tuple[Errand, Outcome] | None]"
GRACE = 0.25
"""Seconds that a thread is given to let go of its connection."""


class Errand:
    """One effect on its way."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._left = threading.Event()
        self._wanted = threading.Semaphore(0)
        self._stream: Any = None
        self._thread: threading.Thread | None = None

    def post(self, outcome: Outcome) -> None:
        """Tell what came of it, unless nobody wants to know any more."""
        if not self._left.is_set():
            self._box.put((self, outcome))

    def wanted(self) -> None:
        """The next event of the stream is wanted."""
        self._wanted.release()

    def run(self, body: Callable[[], Outcome]) -> None:
        """Something with one outcome."""

        def work() -> None:
            attempt = here(body)
            self.post(attempt.value if attempt.error is None else Broken(fault_of(attempt.error)))

        self._start(work)

    def rest(self, seconds: float) -> None:
        """A wait."""

        def work() -> None:
            if not self._left.wait(seconds):
                self.post(Waited())

        self._start(work)

    def stream(self, opened: Callable[[], Iterable[Any]]) -> None:
        """A request, and the events of its stream."""

        def work() -> None:
            attempt = here(lambda: self._read(opened()))
            here(lambda: _close(self._stream))
            self.post(Ended() if attempt.error is None else Broken(fault_of(attempt.error)))

        self._start(work)

    def _read(self, stream: Iterable[Any]) -> None:
        self._stream = stream
        for event in () if self._left.is_set() else stream:
            if self._left.is_set():
                return
            self.post(Streamed(event))
            self._wanted.acquire()

    def share(self, work: Iterable[Callable[[], Outcome]], lanes: int) -> None:
        """Many things, so many of them at a time as there are lanes."""
        left = deque(work)

        def lane() -> None:
            while left and not self._left.is_set():
                attempt = here(left.popleft)
                if attempt.error is not None:
                    return  # another lane was faster
                done = here(attempt.value)
                self.post(done.value if done.error is None else Broken(fault_of(done.error)))

        for _ in range(min(lanes, len(left))):
            self._start(lane)

    def _start(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=copy_context().run, args=(work,), name="errand", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Nothing more is wanted; the thread ends by itself."""
        self._left.set()
        self._wanted.release()

    def hang_up(self) -> None:
        """Nothing more is wanted, and the connection ends now, whatever the thread waits for."""
        self.leave()
        connection = _socket(self._stream)
        if connection is not None:
            here(lambda: connection.shutdown(socket.SHUT_RDWR))  # closing would not wake the thread

    def end(self, *, hard: bool) -> None:
        """Wait until the stream is closed, for a short time: `hard`, or where the server does not end it, by hanging
        up. A thread that is stuck even then has it closed under its feet."""
        self.leave()
        if self._stream is None or self._thread is None:
            return
        for cut in (self.hang_up if hard else self.leave, self.hang_up):
            cut()
            self._thread.join(GRACE)
            if not self._thread.is_alive():
                return
        here(lambda: _close(self._stream))


def _close(stream: Any) -> None:
    close = getattr(stream, "close", None)
    if callable(close):
        close()


def _socket(stream: Any) -> socket.socket | None:
    """The socket under a stream of httpx, where it can be reached."""
    extensions = getattr(getattr(stream, "response", None), "extensions", None)
    network: Any = field(extensions, "network_stream")
    found = None if network is None else network.get_extra_info("socket")
    return found if isinstance(found, socket.socket) else None
