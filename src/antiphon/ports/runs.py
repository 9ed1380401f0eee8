"""Background runs as rows: queued, claimed under a lease, checkpointed, finished (law 6).

A run belongs to whoever holds its lease; every write names the fence that its claim was given, and a writer whose fence
is no longer the row's has lost the run: FenceError, and nothing of its transaction is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.core.effects import Entry
from antiphon.ports.store import Finished
from antiphon.wire.responses import Response


class FenceError(Exception):
    """Another process has claimed the run."""


class QueuedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A background response as it is accepted: its echo (status `queued`), its new input (all with ids), the request
    as it has to be read again, when the stored response expires (epoch seconds, None: never), whether its events are
    journaled for readers, and until when it keeps the lock of its conversation, if it holds that (None: as it is)."""

    response: Response
    input: tuple[Entry, ...]
    request: bytes
    expires_at: float | None = None
    streamed: bool = True
    locked_until: float | None = None


class ClaimedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its new owner finds it. `response` is in the status `in_progress` and without output.

    `output` holds the finished entries by output index, `state` what the last checkpoint left (None before the first),
    `last` the number of the last journaled event (-1: none), `recoveries` how often it was claimed from an owner whose
    lease had passed, `cancel` whether a cancel was asked.
    """

    project: str
    response: Response
    request: bytes
    input: tuple[Entry, ...]
    output: tuple[tuple[int, Entry], ...]
    state: bytes | None
    last: int
    fence: int
    recoveries: int
    cancel: bool


class Batch(msgspec.Struct, frozen=True):
    """Encoded events (SSE frames, whole) numbered `first` to `last`."""

    first: int
    last: int
    frames: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction adds to a run: events, newly finished entries by output index, the run's state, and the
    lease's new end (`until` <= 0: the lease is given back, and the next claim is no recovery)."""

    response_id: str
    fence: int
    batch: Batch | None
    entries: tuple[tuple[int, Entry], ...] = ()
    state: bytes
    until: float


class Runs(Protocol):
    """Contract: as of Store; a claim is given to one claimant only, also among processes."""

    async def queue_run(self, project: str, run: QueuedRun, /) -> None:
        """Store the accepted run; it can be claimed, retrieved, listed and deleted from now on."""
        ...

    async def claim_runs(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedRun]:
        """Claim at most `most` runs, oldest first: those that wait, and those of others whose lease has passed. A
        project never holds more than `per_project` unexpired leases, over all owners. Each claim raises the fence, sets
        the owner and the lease, and the status `in_progress`."""
        ...

    async def claim_run(
        self, project: str, response_id: str, owner: str, now: float, until: float, /
    ) -> ClaimedRun | None:
        """Claim this run whatever the limits, to settle it; None when it is terminal, unknown, or held under a lease
        that has not passed."""
        ...

    async def checkpoint(self, project: str, checkpoint: Checkpoint, /) -> bool:
        """Commit progress; whether a cancel has been asked. FenceError when the run is lost or deleted. What came
        before (its caller may not have heard of the commit) takes the place of what is there: an entry at its index, a
        batch that begins where the last one does."""
        ...

    async def finish_run(self, project: str, checkpoint: Checkpoint, finished: Finished, /) -> None:
        """Commit the end: the last events and the terminal response, as save_response does it; its input is what was
        queued, its output what `finished` says. The run is forgotten, the journal stays with the response. FenceError.
        """
        ...

    async def cancel_run(self, project: str, response_id: str, /) -> bool:
        """Ask for a cancel; False when there is no background run of this id that is not terminal. Its owner is told at
        its next checkpoint, the claimant of one that waits with the claim."""
        ...

    async def batches(self, project: str, response_id: str, after: int, /) -> Sequence[Batch] | None:
        """The journaled batches that hold events behind `after`, in order (the first may begin before it), at most
        1 MB of frames a call. None: no such response, or its events are not journaled."""
        ...
