"""Runs, live and finished: starts them, cancels them, tells how they stand.

Foreground differs from background in one line: a reader that goes away cancels its run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from typing import Literal

import msgspec
from msgspec import UnsetType

from antiphon.core.fitting import Bounds
from antiphon.core.limits import Limits
from antiphon.core.pruning import truncated
from antiphon.core.run import Run
from antiphon.core.status import RESPONSE, final
from antiphon.engine.admission import Admission
from antiphon.engine.background import Background, Queued
from antiphon.engine.course import course, expiry, finished
from antiphon.engine.driver import Driver
from antiphon.engine.fitter import Speaker
from antiphon.engine.intake import Intake, Memory, Turn
from antiphon.engine.journal import Journal
from antiphon.engine.warmup import Silence
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServerError,
    StoreError,
)
from antiphon.wire.events import ErrorEvent, Event, Failed
from antiphon.wire.responses import CreateResponse, Response, ResponseError

LOGGER = logging.getLogger(__name__)

LOCK_SECONDS = 60.0
"""How long a conversation stays locked by a process that has died; a live run renews its lock in time."""


class _Live(msgspec.Struct):
    """A run of this process."""

    turn: Turn
    run: Run
    driver: Driver
    journal: Journal
    place: ExitStack
    """What it holds until its end."""
    task: asyncio.Task[None] | None = None
    phase: Literal["starting", "running", "ending"] = "starting"
    stopped: bool = False
    unstored: AntiphonError | None = None
    """Why its end could not be stored, for a caller who is answered with an HTTP status."""

    def stop(self) -> None:
        """Cancel the run, unless it is already being stored; one that has not begun finds `stopped`."""
        self.stopped = True
        if self.task is not None and self.phase == "running":
            self.task.cancel()


class Runner:
    """The runs of this process, over one store."""

    def __init__(
        self,
        *,
        store: Storage,
        clock: Clock,
        intake: Intake,
        limits: Limits | None = None,
        retention: float | None = None,
    ) -> None:
        """`retention`: seconds that stored responses are kept; None: for ever."""
        self._store = store
        self._clock = clock
        self._limits = limits or Limits()
        self._intake = intake
        self._retention = retention
        self._background = Background(
            store=store, clock=clock, intake=self._intake, limits=self._limits, retention=retention
        )
        self._live: dict[str, _Live] = {}
        self._admission = Admission(self._limits)
        self._renewal: asyncio.Task[None] | None = None
        self._draining = False

    def open(self) -> None:
        """Drive background runs from now on, those of processes that died among them."""
        self._background.open()

    # starting

    async def start(
        self,
        project: str,
        request: CreateResponse,
        /,
        memory: Memory | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        generate: bool = True,
    ) -> Journal | Queued:
        """Check the request against what is stored and served, and start its run. Raises before anything is started;
        afterwards everything that happens is told by the journal. `memory` knows chains that are not stored; `keys`
        are those that the request brings for tools, by header; without `generate` the response holds its input and has
        no output."""
        if self._draining:
            raise OverloadedError("The server is shutting down.", retry_after=5)
        with ExitStack() as place:
            place.enter_context(self._admission.place(project))
            turn = await self._turn(project, request, memory, keys)
            if isinstance(turn, Queued):
                return turn
            return self._launch(turn, turn.served.model if generate else Silence(), place)

    async def _turn(
        self, project: str, request: CreateResponse, memory: Memory | None, keys: Mapping[str, str] | None
    ) -> Turn | Queued:
        """The turn to be run now, or the one that is queued; its conversation is locked."""
        response_id = self._clock.id("resp_")
        locked = await self._lock(project, request, response_id)
        try:
            turn = await self._intake.turn(project, request, response_id, memory, keys=keys)
            return await self._background.queue(turn) if request.background else turn
        except BaseException:
            if locked:
                await self._unlock(project, locked, response_id)
            raise

    async def _lock(self, project: str, request: CreateResponse, owner: str) -> str | None:
        """Take the conversation for this run: turns of one conversation come one after another."""
        if request.conversation is None:
            return None
        conversation_id = request.conversation.id
        # not for longer, also in the background: until its run is queued nobody would know to release the lock
        until = self._clock.now() + LOCK_SECONDS
        taken = await self._store.lock_conversation(project, conversation_id, owner, until)
        if taken is None:
            raise NotFoundError(f"Conversation with id '{conversation_id}' not found.", param="conversation")
        if not taken:
            raise InvalidRequestError(
                "Another process is currently operating on this conversation. Please retry in a few seconds.",
                param="conversation",
                code="conversation_locked",
            )
        if self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew())
        return conversation_id

    def _launch(self, turn: Turn, speaker: Speaker, place: ExitStack) -> Journal:
        plan = turn.plan(turn.response, self._limits)
        if isinstance(speaker, Silence):
            plan = msgspec.structs.replace(plan, bounds=Bounds())  # nobody is there to compact
        run = Run(plan, self._clock.id, self._clock.now)
        journal = Journal(
            turn.response.id,
            streamed=turn.request.stream,
            bound=self._limits.journal,
            on_abandon=lambda: live.stop(),  # noqa: PLW0108 - the run is made below
            warnings=turn.warnings,
        )
        live = _Live(turn, run, Driver(turn.project, speaker, turn.tools, turn.fitter), journal, place.pop_all())
        self._live[turn.response.id] = live
        live.task = asyncio.ensure_future(self._go(live))
        return journal

    # running

    async def _go(self, live: _Live) -> None:
        run, journal = live.run, live.journal
        try:
            live.phase = "running"
            stopped = live.stopped
            last = run.cancel() if stopped else await course(live.driver, run, journal, self._limits.run_seconds)
            live.phase = "ending"
            response, last = await self._stored(live, last)
            journal.append(last)
            journal.context = (*live.turn.history, *live.turn.input, *run.output)
            if run.dropped:
                journal.warnings = (*journal.warnings, truncated(run.dropped))
            failure = live.driver.failure
            lost = failure if failure is not None and run.blank else live.unstored
            journal.end(response if lost is None else lost)
        finally:
            del self._live[journal.response_id]
            live.place.close()
            journal.end(ServerError("The server had an error."))  # does nothing unless a fault of ours left it open

    async def _stored(self, live: _Live, last: list[Event]) -> tuple[Response, list[Event]]:
        """Store the end; what cannot be stored has failed."""
        turn, response = live.turn, live.run.response
        conversation_id = turn.request.conversation.id if turn.request.conversation is not None else None
        try:
            if turn.request.store:
                end = finished(live.run, turn.input, expiry(self._clock, self._retention))
                await self._store.save_response(turn.project, end)
            elif conversation_id is not None:
                await self._store.lock_conversation(turn.project, conversation_id, response.id, 0.0)
        except StoreError as error:
            LOGGER.error("response %s was not stored: %s", response.id, error.message)  # noqa: TRY400
            if conversation_id is not None:
                await self._unlock(turn.project, conversation_id, response.id)
            # not the store's 503, which clients repeat by themselves: its tools have run
            live.unstored = ServerError(f"The response was made but could not be stored. {error.message}")
            return _unstored(response, last, error)
        return response, last

    async def _unlock(self, project: str, conversation_id: str, owner: str) -> None:
        try:
            await self._store.lock_conversation(project, conversation_id, owner, 0.0)
        except StoreError as error:
            LOGGER.warning("a conversation stays locked until its time: %s", error.message)

    async def _renew(self) -> None:
        """Keep the locks of live runs from expiring."""
        while True:
            await asyncio.sleep(LOCK_SECONDS / 3)
            until = self._clock.now() + LOCK_SECONDS
            for live in list(self._live.values()):
                conversation = live.turn.request.conversation
                if conversation is None or live.phase == "ending":
                    continue
                owner = live.journal.response_id
                try:
                    await self._store.lock_conversation(live.turn.project, conversation.id, owner, until)
                except StoreError as error:
                    LOGGER.warning("lock of a conversation was not renewed: %s", error.message)

    # resources

    async def retrieve(self, project: str, response_id: str, /) -> Response:
        """The response as it stands, live or stored."""
        live = self._of(project, response_id)
        if live is not None:
            output = tuple(entry.item for entry in live.run.output if entry.item is not None)
            return msgspec.structs.replace(live.run.response, output=output)
        stored = await self._store.response(project, response_id)
        if stored is None:
            raise _not_found(response_id)
        return stored

    async def delete(self, project: str, response_id: str, /) -> None:
        """Delete a response; one that is still being made is stopped first."""
        live = self._of(project, response_id)
        if live is not None and live.task is not None:
            live.stop()
            await asyncio.wait([live.task])
        elif (held := await self._store.response(project, response_id)) is not None and held.background:
            await self._background.release(project, response_id)
            if not isinstance(held.conversation, UnsetType) and not final(RESPONSE, held.status):
                await self._unlock(project, held.conversation.id, response_id)
        if not await self._store.delete_response(project, response_id):
            raise _not_found(response_id)

    async def cancel(self, project: str, response_id: str, /) -> Response:
        """Cancel a background response; one that has ended is given back as it is."""
        response = await self.retrieve(project, response_id)
        if not response.background:
            raise InvalidRequestError(
                "Responses can only be cancelled if they were created with background=true.", param="response_id"
            )
        return response if final(RESPONSE, response.status) else await self._background.cancel(project, response_id)

    async def follow(self, project: str, response_id: str, after: int, /) -> AsyncGenerator[bytes]:
        """The events of a background response behind the number `after`, to its end; InvalidRequestError unless it was
        created to be streamed."""
        if not (await self.retrieve(project, response_id)).background or (
            await self._store.batches(project, response_id, after) is None
        ):
            raise InvalidRequestError(
                "Only responses that were created with background=true and stream=true can be streamed again.",
                param="stream",
            )
        return self._background.follow(project, response_id, after)

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice:
        """A page of the full resolved input."""
        found = await self._store.input_items(project, response_id, page)
        if found is None:
            raise _not_found(response_id)
        return found

    async def drain(self, seconds: float, /) -> None:
        """Take no new runs, give the live ones so long to end, then cancel and store them. Background runs are let go:
        the next process takes them up."""
        self._draining = True
        if self._renewal is not None:
            self._renewal.cancel()
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
            for live in list(self._live.values()):
                live.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._background.close()

    def _of(self, project: str, response_id: str) -> _Live | None:
        """The live run, when it is this project's and will be stored."""
        live = self._live.get(response_id)
        if live is None or live.turn.project != project or not live.turn.request.store:
            return None
        return live


def _not_found(response_id: str) -> NotFoundError:
    return NotFoundError(f"Response with id '{response_id}' not found.", param="response_id")


def _unstored(response: Response, last: list[Event], error: StoreError) -> tuple[Response, list[Event]]:
    failed = msgspec.structs.replace(
        response,
        status="failed",
        completed_at=None,
        incomplete_details=None,
        error=ResponseError(code="server_error", message=error.message),
    )
    kept = [event for event in last if getattr(event, "response", None) is None]
    words = ErrorEvent(code="server_error", message=error.message, param=None)
    return failed, [*kept, words, Failed(response=failed)]
