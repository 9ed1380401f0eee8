"""The journal of a background run: what is committed together."""

from __future__ import annotations

import asyncio
from typing import cast

from antiphon.adapters.clock import SeededClock
from antiphon.core.deltas import StepEnded, TextDelta
from antiphon.core.plan import Plan
from antiphon.core.run import Run
from antiphon.core.state import RunState
from antiphon.core.usage import counted
from antiphon.engine.ledger import Ledger
from antiphon.ports.runs import Checkpoint, ClaimedRun, Runs
from antiphon.ports.store import Finished
from antiphon.wire.responses import CreateResponse, Response
from tests.core.plays import counted_ids, user

RESPONSE = Response(id="resp_1", created_at=1, status="in_progress", model="m", background=True)


class Slow:
    """A store whose first checkpoint takes until the test lets it end."""

    def __init__(self) -> None:
        self.writing = asyncio.Event()
        self.gate = asyncio.Event()
        self.written: list[bytes] = []
        self.ended: list[bytes] = []

    async def checkpoint(self, project: str, checkpoint: Checkpoint) -> bool:
        self.writing.set()
        await self.gate.wait()
        self.written.append(b"" if checkpoint.batch is None else checkpoint.batch.frames)
        return False

    async def finish_run(self, project: str, checkpoint: Checkpoint, finished: Finished) -> None:
        self.ended.append(b"" if checkpoint.batch is None else checkpoint.batch.frames)


async def test_no_checkpoint_takes_the_end_with_it() -> None:
    """One that did would tell of a terminal response that is not stored yet."""
    clock = SeededClock(1)
    store = Slow()
    claim = ClaimedRun(
        project="p",
        response=RESPONSE,
        request=b"{}",
        input=(),
        output=(),
        state=None,
        last=-1,
        fence=1,
        recoveries=0,
        cancel=False,
    )
    plan = Plan(request=CreateResponse(model="m"), response=RESPONSE, model="m", context=(user("Hi"),))
    run = Run(plan, counted_ids(), clock.now)
    ledger = Ledger(cast("Runs", store), clock, claim, streamed=True, lease=10.0)
    ledger.attach(run, RunState())
    ledger.append(run.begin())
    first = asyncio.ensure_future(ledger.commit())
    await store.writing.wait()
    ledger.append(run.receive([TextDelta("Hel")]))
    second = asyncio.ensure_future(ledger.commit())
    await asyncio.sleep(0)  # it waits behind the first one
    last = run.receive([TextDelta("lo"), StepEnded("stop", counted(1, 1))])
    end = asyncio.ensure_future(ledger.finish(last, Finished(run.response, (), run.output, None)))
    await asyncio.sleep(0)
    store.gate.set()
    async with asyncio.timeout(5.0):
        await asyncio.gather(first, second, end)
    assert not [frames for frames in store.written if b"response.completed" in frames]
    assert len(store.ended) == 1
    assert b"Hel" in store.ended[0]
    assert b"response.completed" in store.ended[0]
