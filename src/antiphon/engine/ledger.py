"""The journal of a background run: an event is heard only after it is durable (law 6).

Events gather and are committed together with the items they finish and the run's state: when an item is finished,
before a tool runs, when there are 64 KB of them, and otherwise ten times a second; all runs of the process at the same
tick, so that they share a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from antiphon.core.effects import Execute
from antiphon.core.run import Run
from antiphon.core.state import OpenItem, RunState
from antiphon.ports.clock import Clock
from antiphon.ports.runs import Batch, Checkpoint, ClaimedRun, FenceError, Runs
from antiphon.ports.store import Finished
from antiphon.wire.errors import StoreError
from antiphon.wire.events import Event, OutputItemAdded, OutputItemDone
from antiphon.wire.frames import encode_frames
from antiphon.wire.items import Item

TICK = 0.1
"""Seconds between commits of a run that says nothing worth a commit of its own."""
HEAVY = 64 * 1024
"""Bytes of events that are not left to wait."""


class Ledger:
    """Events and progress of one background run that this process holds.

    `stop` is called when the run must not go on: a cancel was asked, or the run is lost (`lost`) to another process or
    deleted.
    """

    def __init__(self, runs: Runs, clock: Clock, claim: ClaimedRun, *, streamed: bool, lease: float) -> None:
        self.claim = claim
        self.next_number = claim.last + 1
        self.lost = False
        self.cancelled = claim.cancel
        self.stop: Callable[[], None] = lambda: None
        self._runs = runs
        self._clock = clock
        self._streamed = streamed
        self._lease = lease
        self._run: Run | None = None
        self._open: dict[int, Item] = {}
        self._finished: list[int] = []
        self._pending: list[bytes] = []
        self._size = 0
        self._due = False
        self._kept = claim.last + 1  # the number of the first event that is not durable yet
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.window = Window()

    def attach(self, run: Run, state: RunState) -> None:
        """Keep this run; `state` is what it was resumed from."""
        self._run = run
        self._open = {opened.index: opened.item for opened in state.open}

    # as a log of the driver

    @property
    def full(self) -> bool:
        """Whether what was appended should be durable before the run goes on."""
        return self._due or self._size > HEAVY

    def append(self, events: Sequence[Event]) -> None:
        """Number a batch and keep it until the next commit."""
        if not events:
            return
        for event in events:
            if isinstance(event, OutputItemAdded):
                self._open[event.output_index] = event.item
            elif isinstance(event, OutputItemDone):
                self._open.pop(event.output_index, None)
                self._finished.append(event.output_index)
                self._due = True
        frames = encode_frames(events, self.next_number) if self._streamed else b""
        self.next_number += len(events)
        self._pending.append(frames)
        self._size += len(frames)
        assert self._run is not None
        self._due = self._due or isinstance(self._run.effect, Execute)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at((loop.time() // TICK + 1) * TICK, self._tick)

    async def room(self) -> None:
        """Commit."""
        await self.commit()

    # committing

    async def commit(self) -> None:
        """Make everything that was appended durable, and renew the lease. FenceError: the run is lost."""
        cancel = False

        async def write(checkpoint: Checkpoint) -> None:
            nonlocal cancel
            cancel = await self._runs.checkpoint(self.claim.project, checkpoint)

        await self._write(write)
        if cancel and not self.cancelled:
            self.cancelled = True
            self.stop()

    async def release(self) -> None:
        """Commit, and give the lease back: the run goes on in whatever process looks first."""
        self._lease = 0.0
        await self.commit()
        self.lost = True

    async def finish(self, last: Sequence[Event], finished: Finished) -> None:
        """Commit the end of the run together with everything that waits."""
        self.append(last)
        self._quiet()
        await self._write(lambda checkpoint: self._runs.finish_run(self.claim.project, checkpoint, finished), end=True)
        self.window.end()

    async def _write(self, write: Callable[[Checkpoint], Awaitable[None]], *, end: bool = False) -> None:
        """Write a checkpoint of all there is now; what is not written stays for the next one."""
        async with self._lock:
            assert self._run is not None
            if self._run.finished and not end:
                return  # the last events are told in the transaction that ends the run, and in no other
            pieces, items = len(self._pending), len(self._finished)
            checkpoint = self._checkpoint()
            self._due = False
            try:
                await write(checkpoint)
            except FenceError:
                self.lost = True
                raise
            self._size -= sum(map(len, self._pending[:pieces]))
            del self._pending[:pieces]
            del self._finished[:items]
            if checkpoint.batch is not None:
                self._kept = checkpoint.batch.last + 1
                self.window.add(checkpoint.batch)

    def close(self) -> None:
        """Nothing more comes from here."""
        self._quiet()
        self.window.end()

    def _checkpoint(self) -> Checkpoint:
        assert self._run is not None
        frames = b"".join(self._pending)
        state = self._run.state(OpenItem(index, item) for index, item in sorted(self._open.items()))
        return Checkpoint(
            response_id=self.claim.response.id,
            fence=self.claim.fence,
            batch=Batch(self._kept, self.next_number - 1, frames) if frames else None,
            entries=tuple((index, self._run.entry(index)) for index in self._finished if self._run.holds(index)),
            state=state.pack(),
            until=self._clock.now() + self._lease if self._lease else 0.0,
        )

    def _tick(self) -> None:
        self._timer = None
        self._ticking = asyncio.ensure_future(self._commit_quietly())

    async def _commit_quietly(self) -> None:
        """A commit that nobody awaits: what it finds out is told through `stop`."""
        try:
            if self._pending:
                await self.commit()
        except FenceError:
            self.stop()
        except StoreError:
            self._due = True  # the run meets the same error at its next commit, and ends with it

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Window:
    """The last durable batches of a run, for followers in this process; older ones are read from the store."""

    def __init__(self, bound: int = 1024 * 1024) -> None:
        self.ended = False
        self._bound = bound
        self._batches: list[Batch] = []
        self._size = 0
        self._news: asyncio.Future[None] | None = None

    def add(self, batch: Batch) -> None:
        """Keep a batch, letting go of the oldest beyond the bound; wake the followers."""
        self._batches.append(batch)
        self._size += len(batch.frames)
        while self._size > self._bound and len(self._batches) > 1:
            self._size -= len(self._batches.pop(0).frames)
        self._wake()

    def end(self) -> None:
        """Nothing comes any more."""
        self.ended = True
        self._wake()

    def behind(self, after: int) -> list[Batch] | None:
        """The batches behind this event; None when the window begins later."""
        if self._batches and self._batches[0].first > after + 1:
            return None
        return [batch for batch in self._batches if batch.last > after]

    async def news(self) -> None:
        """Wait for more, or for the end."""
        if self.ended:
            return
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)


def cut_front(batch: Batch, after: int) -> bytes:
    """The frames of the batch behind this event."""
    at = 0
    for _ in range(max(0, after - batch.first + 1)):
        at = batch.frames.index(b"\n\n", at) + 2
    return batch.frames[at:]
