"""Background runs: accepted as rows, claimed under a lease, driven, and taken up again when their process has died.

The rows are the checkpoint (law 6). A run is driven by whoever holds its lease, this process or another one on the same
store; it ends when its last transaction has committed, and nobody hears of anything before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal

import msgspec

from antiphon.core.effects import Broken, Call, Entry
from antiphon.core.limits import Limits
from antiphon.core.plan import Plan
from antiphon.core.run import Run
from antiphon.core.state import unpack
from antiphon.core.status import RESPONSE, final
from antiphon.engine.course import course, expiry, finished
from antiphon.engine.driver import Driver
from antiphon.engine.intake import Accepted, Intake, Turn
from antiphon.engine.ledger import Ledger, Window, cut_front
from antiphon.engine.sealing import kept, taken
from antiphon.ports.clock import Clock
from antiphon.ports.runs import ClaimedRun, FenceError, QueuedRun
from antiphon.ports.seal import SealError
from antiphon.ports.storage import Storage
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError, StoreError
from antiphon.wire.responses import CreateResponse, Response, ResponseError

LOGGER = logging.getLogger(__name__)

POLL = 0.025
"""Seconds between looks at a run that another process drives, while somebody waits for it."""
SEARCH = 2.0
"""Seconds between looks for runs that nobody drives."""


class _Live(msgspec.Struct):
    """A run that this process holds."""

    claim: ClaimedRun
    ledger: Ledger
    task: asyncio.Task[None] | None = None
    phase: Literal["starting", "running", "ending"] = "starting"
    lost: ResponseError | None = None
    """Why its request cannot be read."""

    def stop(self) -> None:
        """Cancel the run. One that is being looked up finds its ledger's flags; one that is being stored has ended."""
        if self.task is not None and self.phase == "running":
            self.task.cancel()


class Queued:
    """A background response as its creator holds it: answered at once, and followed from its beginning on demand."""

    def __init__(self, turn: Turn, follow: Callable[[], AsyncGenerator[bytes]]) -> None:
        self.response_id = turn.response.id
        self.warnings = turn.warnings
        self.follow = follow
        self.context: Sequence[Entry] = ()
        """Known once the run has ended, to whoever reads it from the store."""
        self._response = turn.response

    async def last(self) -> Response:
        """The response as it was accepted."""
        return self._response

    def abandon(self) -> None:
        """The reader went away: the run goes on."""


class Background:
    """The background runs of this process."""

    def __init__(
        self, *, store: Storage, clock: Clock, intake: Intake, limits: Limits, retention: float | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._intake = intake
        self._limits = limits
        self._retention = retention
        self._owner = clock.id("proc_")
        self._live: dict[str, _Live] = {}
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # accepting and following

    async def queue(self, turn: Turn) -> Queued:
        """Accept the turn: from here on it will be run, whatever happens to this process."""
        run = QueuedRun(
            response=turn.response,
            input=turn.input,
            request=kept(turn.request, self._intake.seal, turn.project),
            expires_at=expiry(self._clock, self._retention),
            streamed=turn.request.stream,
            # it may wait for its turn, here or elsewhere: its conversation stays locked until its end
            locked_until=self._clock.now() + self._limits.background_seconds,
        )
        await self._store.queue_run(turn.project, run)
        self.wake()
        return Queued(turn, lambda: self.follow(turn.project, turn.response.id, -1))

    async def follow(self, project: str, response_id: str, after: int) -> AsyncGenerator[bytes]:
        """The events behind `after`, to the end of the run, wherever it runs."""
        over = False
        while True:
            # what is committed may not be in the window yet
            window = None if over else self._window(project, response_id)
            batches = window.behind(after) if window is not None else None
            if batches is None:
                batches = await self._store.batches(project, response_id, after) or ()
            for batch in batches:
                yield cut_front(batch, after)
                after = batch.last
            if batches:
                continue
            if over:
                return
            if window is not None and not window.ended:
                await window.news()
            elif not (over := await self._over(project, response_id)):  # what came before the end is read once more
                await asyncio.sleep(POLL)

    async def _over(self, project: str, response_id: str) -> bool:
        status = await self._store.status(project, response_id)
        return status is None or final(RESPONSE, status)

    def _window(self, project: str, response_id: str) -> Window | None:
        live = self._live.get(response_id)
        return live.ledger.window if live is not None and live.claim.project == project else None

    # cancelling

    async def cancel(self, project: str, response_id: str) -> Response:
        """Cancel a run, whoever drives it; the response when it has ended."""
        await self._store.cancel_run(project, response_id)
        until = self._clock.now() + self._limits.lease * 2
        while self._clock.now() < until and not await self._over(project, response_id):
            live = self._live.get(response_id)
            if live is not None and live.task is not None:
                live.ledger.cancelled = True
                live.stop()
                await asyncio.wait([live.task])
            else:
                now = self._clock.now()
                claim = await self._store.claim_run(project, response_id, self._owner, now, now + self._limits.lease)
                if claim is not None:
                    await self._settle(claim)
                else:
                    await asyncio.sleep(POLL)  # another process drives it, and sees the flag at its next commit
        found = await self._store.response(project, response_id)
        if found is None:
            raise NotFoundError(f"Response with id '{response_id}' not found.", param="response_id")
        return found

    async def release(self, project: str, response_id: str) -> None:
        """Stop a run of this process whose row is about to be deleted."""
        live = self._live.get(response_id)
        if live is not None and live.claim.project == project and live.task is not None:
            live.ledger.lost = True
            live.stop()
            await asyncio.wait([live.task])

    # serving

    def open(self) -> None:
        """Look for runs from now on, and keep the leases of those that are held."""
        self._tasks = [asyncio.ensure_future(self._serve()), asyncio.ensure_future(self._renew())]

    def wake(self) -> None:
        """There may be a run to claim."""
        self._wanted.set()

    async def close(self) -> None:
        """Let go of every run as it stands: the next process takes it up at once."""
        for task in self._tasks:
            task.cancel()
        lives = list(self._live.values())
        for live in lives:
            await self._let_go(live)
        tasks = [live.task for live in lives if live.task is not None]
        await asyncio.gather(*self._tasks, *tasks, return_exceptions=True)

    async def _let_go(self, live: _Live) -> None:
        try:
            if live.phase == "running":
                await live.ledger.release()
        except (FenceError, StoreError) as error:
            LOGGER.warning("the lease of run %s was not given back: %s", live.claim.response.id, error)
        live.ledger.lost = True
        live.stop()

    async def _serve(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._claim()
            except StoreError as error:
                LOGGER.warning("background runs could not be looked for: %s", error.message)
            except Exception:  # a row of a newer version, say: the other runs must not wait for it
                LOGGER.exception("background runs could not be claimed")
            try:
                async with asyncio.timeout(SEARCH):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _claim(self) -> None:
        room = self._limits.background_runs - len(self._live)
        if room <= 0:
            return
        now = self._clock.now()
        per_project = self._limits.background_runs_project
        for claim in await self._store.claim_runs(self._owner, now, now + self._limits.lease, room, per_project):
            self._start(claim)

    def _start(self, claim: ClaimedRun) -> _Live:
        lost: ResponseError | None = None
        try:
            request = taken(claim.request, self._intake.seal, claim.project)
        except SealError:
            request = CreateResponse(model=claim.response.model)
            lost = ResponseError(code="server_error", message="The request cannot be read any more: its key is gone.")
        ledger = Ledger(self._store, self._clock, claim, streamed=request.stream, lease=self._limits.lease)
        live = _Live(claim, ledger, lost=lost)
        ledger.stop = live.stop
        former = self._live.get(claim.response.id)
        if former is not None:  # this process was suspended for longer than its lease, and has claimed its own run
            former.ledger.lost = True
            former.stop()
        self._live[claim.response.id] = live
        live.task = asyncio.ensure_future(self._go(live, request))
        return live

    async def _settle(self, claim: ClaimedRun) -> None:
        """End a run that was claimed to be cancelled."""
        live = self._start(msgspec.structs.replace(claim, cancel=True))
        assert live.task is not None
        await asyncio.wait([live.task])

    async def _go(self, live: _Live, request: CreateResponse) -> None:
        try:
            await self._run(live, request)
        except FenceError:
            LOGGER.info("run %s is no longer ours", live.claim.response.id)
        except StoreError as error:
            LOGGER.error("run %s was not stored: %s", live.claim.response.id, error.message)  # noqa: TRY400
        finally:
            live.ledger.close()
            if self._live.get(live.claim.response.id) is live:
                del self._live[live.claim.response.id]
            self.wake()

    async def _run(self, live: _Live, request: CreateResponse) -> None:
        claim, ledger = live.claim, live.ledger
        turn, fault = (None, live.lost) if live.lost else await self._turn(claim, request)
        fresh = claim.state is None and claim.last < 0
        response = msgspec.structs.replace(claim.response, status="queued" if fresh else "in_progress", output=())
        run = Run(_plan(request, response, turn, self._limits), self._clock.id, self._clock.now)
        state = unpack(claim.state)
        ledger.attach(run, state)
        driver = Driver(claim.project, turn.served.model, turn.tools, turn.fitter) if turn is not None else None
        if not fresh:
            ledger.append(run.resume(state, dict(claim.output), _repeatable(turn)))
        if ledger.cancelled or ledger.lost:
            last = run.cancel()
        elif fault is not None or driver is None:
            if fresh:
                ledger.append(run.begin())
            last = run.receive([Broken(fault or ResponseError(code="server_error", message="The run is lost."))])
        elif run.finished:
            last = []
        else:
            live.phase = "running"
            last = await course(driver, run, ledger, self._limits.background_seconds)
        live.phase = "ending"
        if ledger.lost:
            return
        await ledger.finish(last, finished(run, claim.input, expiry(self._clock, self._retention)))

    async def _turn(self, claim: ClaimedRun, request: CreateResponse) -> tuple[Turn | None, ResponseError | None]:
        """The turn of a claimed run, or why it cannot be run (any more)."""
        if claim.recoveries > self._limits.recoveries:
            words = f"The run was interrupted {claim.recoveries} times and is not tried again."
            return None, ResponseError(code="server_error", message=words)
        try:
            return await self._intake.again(Accepted(claim.project, request, claim.response, claim.input)), None
        except AntiphonError as error:
            code = "invalid_prompt" if isinstance(error, InvalidRequestError | NotFoundError) else "server_error"
            return None, ResponseError(code=code, message=error.message)

    async def _renew(self) -> None:
        """Give a sign of life for every run that is held, also while it waits for a slow tool."""
        while True:
            await asyncio.sleep(self._limits.lease / 3)
            for live in list(self._live.values()):
                if live.phase != "running":
                    continue
                try:
                    await live.ledger.commit()
                except FenceError:
                    live.stop()
                except StoreError as error:
                    LOGGER.warning("the lease of a run was not renewed: %s", error.message)


def _plan(request: CreateResponse, response: Response, turn: Turn | None, limits: Limits) -> Plan:
    if turn is None:
        return Plan(request=request, response=response, model="", context=(), limits=limits)
    return turn.plan(response, limits)


def _repeatable(turn: Turn | None) -> Callable[[Call], bool]:
    def repeatable(call: Call) -> bool:
        served = turn.tools.get(call.offer.tool) if turn is not None else None
        return served is not None and served[0].repeatable

    return repeatable
