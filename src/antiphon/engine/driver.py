"""The one driver: performs what a run wants and tells it what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from antiphon.core.effects import Broken, Call, Effect, Execute, Generate, Outcome, Told
from antiphon.core.run import Run
from antiphon.engine.journal import Journal
from antiphon.ports.model import Model
from antiphon.ports.tool import Tool
from antiphon.wire.errors import AntiphonError, InvalidRequestError, RateLimitError, ServerError
from antiphon.wire.events import Event
from antiphon.wire.responses import ResponseError
from antiphon.wire.tools import Tool as ToolConfig


class Driver:
    """Drives one run. `tools` are the served tools by place in the request; `failure` is the error that broke the run,
    for a caller who can still be answered with an HTTP status."""

    def __init__(self, model: Model, tools: Mapping[int, tuple[Tool, ToolConfig]]) -> None:
        self._model = model
        self._tools = tools
        self.failure: AntiphonError | None = None

    async def drive(self, run: Run, journal: Journal) -> list[Event]:
        """Perform effects until the run wants none. The last batch is given back, not appended: the world hears of the
        end only after it is stored."""
        journal.append(run.begin())
        while (effect := run.effect) is not None:
            async with aclosing(self._perform(effect, run)) as told:
                async for outcomes in told:
                    events = run.receive(outcomes)
                    if run.finished:
                        return events
                    journal.append(events)
                    if run.effect is not effect:
                        break  # no longer wanted: closing stops the upstream
                    if journal.full:
                        await journal.room()
                    if journal.next_number > run.plan.limits.events:
                        raise ServerError("The response has too many events.")
        return []

    def _perform(self, effect: Effect, run: Run) -> AsyncGenerator[Sequence[Told]]:
        return self._generate(effect) if isinstance(effect, Generate) else self._execute(effect, run)

    async def _generate(self, effect: Generate) -> AsyncGenerator[Sequence[Told]]:
        try:
            async with aclosing(self._model.stream(effect)) as deltas:
                async for batch in deltas:
                    yield batch
        except AntiphonError as error:
            self.failure = error
            yield [Broken(ResponseError(code=_code(error), message=error.message))]

    async def _execute(self, effect: Execute, run: Run) -> AsyncGenerator[Sequence[Told]]:
        """Run the calls concurrently; outcomes come as they finish, those that are ready together as one batch."""
        gate = asyncio.Semaphore(run.plan.limits.parallel_tools)
        running = {asyncio.ensure_future(self._run(call, gate)) for call in effect.calls}
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                yield [bounded(task.result(), run.plan.limits.tool_output) for task in done]
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, call: Call, gate: asyncio.Semaphore) -> Outcome:
        tool, config = self._tools[call.offer.tool]
        async with gate:
            return await tool.run(call, config)


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
