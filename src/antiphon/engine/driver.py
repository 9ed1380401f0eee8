"""The one driver: performs what a run wants and tells it what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from antiphon.core.effects import (
    Broken,
    Call,
    Compact,
    Effect,
    Execute,
    Generate,
    Measure,
    Outcome,
    Overflow,
    Told,
)
from antiphon.core.run import Run
from antiphon.engine.fitter import Fitter, Speaker
from antiphon.ports.tool import Tool
from antiphon.wire.errors import AntiphonError, InvalidRequestError, RateLimitError, ServerError
from antiphon.wire.events import Event
from antiphon.wire.responses import ResponseError
from antiphon.wire.tools import Tool as ToolConfig


class Log(Protocol):
    """Where a run's events go: the journal of a foreground run, the ledger of a background run."""

    @property
    def next_number(self) -> int:
        """How many events there are."""
        ...

    @property
    def full(self) -> bool:
        """Whether `room` has to be awaited before the run goes on."""
        ...

    def append(self, events: Sequence[Event]) -> None:
        """Take a batch."""
        ...

    async def room(self) -> None:
        """Wait until the run may go on."""
        ...


class Driver:
    """Drives one run. `tools` are the served tools by place in the request; `failure` is the error that broke the run,
    for a caller who can still be answered with an HTTP status."""

    def __init__(
        self, project: str, model: Speaker, tools: Mapping[int, tuple[Tool, ToolConfig]], fitter: Fitter
    ) -> None:
        self._project = project
        self._model = model
        self._tools = tools
        self._fitter = fitter
        self.failure: AntiphonError | None = None

    async def drive(self, run: Run, journal: Log) -> list[Event]:
        """Perform effects until the run wants none. The last batch is given back, not appended: the world hears of the
        end only after it is stored. A run that was resumed has begun already."""
        if run.effect is None and not run.finished:
            journal.append(run.begin())
        if journal.full:
            await journal.room()  # a call that is to be run at once is written down first
        while (effect := run.effect) is not None:
            async with aclosing(self._perform(effect, run)) as told:
                async for outcomes in told:
                    events = run.receive(outcomes)
                    if run.finished:
                        return events
                    journal.append(events)
                    if journal.full:
                        await journal.room()
                    if run.effect is not effect:
                        break  # no longer wanted: closing stops the upstream
                    if journal.next_number > run.plan.limits.events:
                        raise ServerError("The response has too many events.")
        return []

    def _perform(self, effect: Effect, run: Run) -> AsyncGenerator[Sequence[Told]]:
        match effect:
            case Generate():
                return self._generate(effect)
            case Execute():
                return self._execute(effect, run)
            case Measure() | Compact():
                return self._fit(effect)

    async def _generate(self, effect: Generate) -> AsyncGenerator[Sequence[Told]]:
        self.failure = None
        begun = False
        try:
            async with aclosing(self._model.stream(effect)) as deltas:
                async for batch in deltas:
                    begun = True
                    yield batch
        except AntiphonError as error:
            self.failure = error
            told = ResponseError(code=_code(error), message=error.message)
            yield [Overflow(told) if error.code == "context_length_exceeded" and not begun else Broken(told)]

    async def _fit(self, effect: Measure | Compact) -> AsyncGenerator[Sequence[Told]]:
        try:
            if isinstance(effect, Measure):
                yield [await self._fitter.measure(effect)]
            else:
                yield [await self._fitter.compact(effect, self._model)]
        except AntiphonError as error:
            self.failure = error
            yield [Broken(ResponseError(code=_code(error), message=error.message))]

    async def _execute(self, effect: Execute, run: Run) -> AsyncGenerator[Sequence[Told]]:
        """Run the calls concurrently; outcomes come as they finish, those that are ready together as one batch."""
        gate = asyncio.Semaphore(run.plan.limits.parallel_tools)
        ended: list[Outcome] = []  # in the order in which they ended, which a set of tasks does not tell

        async def ran(call: Call) -> None:
            ended.append(bounded(await self._run(call, gate), run.plan.limits.tool_output))

        running = {asyncio.ensure_future(ran(call)) for call in effect.calls}
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                batch, ended[:] = tuple(ended), ()
                yield batch
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, call: Call, gate: asyncio.Semaphore) -> Outcome:
        tool, config = self._tools[call.offer.tool]
        async with gate:
            return await tool.run(self._project, call, config)


def bounded(outcome: Outcome, limit: int) -> Outcome:
    """The outcome with at most `limit` bytes of output for the model; what is cut is said."""
    raw = outcome.output.encode("utf-8", "replace")
    if len(raw) <= limit:
        return outcome
    kept = raw[:limit].decode("utf-8", "ignore")
    words = f"\n[cut: the first {limit} of {len(raw)} bytes]"
    return Outcome(outcome.call_id, kept + words, outcome.fields, outcome.failed)


def _code(error: AntiphonError) -> str:
    """The error's code in a response object."""
    if isinstance(error, RateLimitError):
        return "rate_limit_exceeded"
    if isinstance(error, InvalidRequestError):
        return "invalid_prompt"
    return "server_error"
