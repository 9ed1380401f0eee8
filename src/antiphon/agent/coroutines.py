"""The asynchronous iterator that drives a turn on the loop that runs.

Law: the turn decides (turn.py); here its effects are performed in tasks, and what came of them is handed back.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Generator
from functools import partial
from types import TracebackType
from typing import Any, Self

from antiphon.agent.effects import (
    Answered,
    Ask,
    Broken,
    Conclude,
    Concluded,
    Create,
    Created,
    Done,
    Effect,
    Execute,
    Fetch,
    Found,
    Outcome,
    Read,
    Send,
    Wait,
    Waited,
)
from antiphon.agent.events import AgentStreamChunk, Approval, ToolCall, TurnCompleted, TurnFailed
from antiphon.agent.fields import members, text
from antiphon.agent.result import TurnResult
from antiphon.agent.retries import Fault
from antiphon.agent.setup import LATEST, OVERDUE, Job, logged, moments, raised, settled, single, spans
from antiphon.agent.tasks import Box, Errand, called, tried
from antiphon.agent.tracing import Spans
from antiphon.agent.turn import CANCELLED


class AsyncTurn:
    """A turn as it is made: an asynchronous iterator of its events. Nothing is sent before the first is asked for.

    Closing it (`aclose`, the end of an `async with`, dropping it) cancels the turn; so does `cancel`, from any task or
    thread, and the cancellation of the task that iterates. It may be awaited, and is then itself.
    """

    def __init__(self, client: Any, job: Job) -> None:
        self._client = single(client)
        self._job = job
        self._run = job.run
        self._box: Box = asyncio.Queue()
        self._ready: deque[AgentStreamChunk] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._errand: Errand | None = None
        self._errands: list[Errand] = []
        self._effect: Effect | None = None
        self._deadline: float | None = None
        self._cancelled = False
        self._closed = False
        self._deaf = False
        self._spans = Spans()

    @property
    def result(self) -> TurnResult:
        """What is left of the turn, after its end. TurnFailedError when it failed."""
        return settled(self._run)

    def cancel(self) -> None:
        """End the turn as failed (`cancelled`), from any task or thread: its iterator still tells the end."""
        self._cancelled = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self._errand is not None:
            self._errand.hang_up()
        self._box.put_nowait(None)

    async def aclose(self) -> None:
        """Cancel the turn if it is not over; nothing more is told."""
        self._shut()
        while self._ready:
            await self._tell(self._ready.popleft())
        await self._release()

    def _shut(self) -> None:
        self._closed = True
        if self._run.begun:
            self._stop(CANCELLED)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._closed and self._run.effect is not None:
            self._shut()

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentStreamChunk:
        while not self._ready:
            if self._closed or not await self._advance():
                await self._release()
                raise StopAsyncIteration
        chunk = self._ready.popleft()
        await self._tell(chunk)
        return chunk

    async def _advance(self) -> bool:
        """Come one outcome further; False when the turn is over."""
        run = self._run
        if not run.begun:
            self._ready.extend(run.begin())
            self._spans = spans(self._job)
            self._loop = asyncio.get_running_loop()
            timeout = self._job.timeout
            self._deadline = None if timeout is None else self._loop.time() + timeout
            return True
        if run.effect is None:
            return False
        outcome = None if self._cancelled else await self._outcome(run.effect)
        if outcome is None:
            self._stop(CANCELLED if self._cancelled else OVERDUE)
        else:
            self._ready.extend(run.receive(outcome))
        if run.effect is not self._effect and self._errand is not None:
            self._errand.leave()
        if run.failure is not None:
            await self._release()
        return True

    async def _release(self) -> None:
        """Let go of all connections."""
        while self._errands:
            await self._errands.pop().end(hard=self._run.failure is not None)

    def _stop(self, fault: Fault) -> None:
        self._ready.extend(self._run.stop(fault))
        if self._errand is not None:
            self._errand.hang_up()

    async def _outcome(self, effect: Effect) -> Outcome | None:
        """The next outcome of the effect; None when the turn was cancelled or its time is over."""
        try:
            async with asyncio.timeout_at(self._deadline):
                if effect is not self._effect:
                    self._effect, self._errand = effect, Errand(self._box)
                    self._errands.append(self._errand)
                    with self._spans.current():
                        outcome = await self._perform(effect, self._errand)
                    if outcome is not None:
                        return outcome
                elif self._errand is not None:
                    self._errand.wanted()
                while True:
                    message = await self._box.get()
                    if message is None or self._cancelled:
                        return None
                    if message[0] is self._errand:
                        return message[1]
        except TimeoutError:
            return None
        except BaseException:
            self._stop(CANCELLED)
            await self._release()
            raise

    # effects

    async def _perform(self, effect: Effect, errand: Errand) -> Outcome | None:
        """Set out; or the outcome, where it is found at once."""
        client = self._client
        match effect:
            case Send(request):
                attempt = await tried(called(lambda: self._job.hooks.on_request(request)))
                if attempt.error is not None:
                    return Broken(raised(attempt.error, "on_request"))
                whole = request if attempt.value is None else attempt.value
                errand.stream(lambda: client.responses.create(**whole))
            case Fetch(response_id, after):
                errand.stream(lambda: client.responses.retrieve(response_id, stream=True, starting_after=after))
            case Wait(seconds, spread):
                errand.run(partial(_rested, seconds * (1 + spread * random.random())))  # noqa: S311 - no secret
            case Create(name):
                errand.run(partial(opened, client, name))
            case Read(conversation):
                errand.run(partial(_found, client, conversation))
            case Execute(calls):
                errand.share([partial(_tool, self._job, call) for call in calls], self._job.parallel)
            case Ask(approval):
                errand.run(partial(_asked, self._job, approval))
            case Conclude():
                return Concluded()
        return None

    async def _tell(self, chunk: AgentStreamChunk) -> None:
        """Call the hooks; one that raises fails the turn, if that is still possible."""
        self._spans.see(chunk)
        if isinstance(chunk.event, TurnCompleted | TurnFailed):
            self._spans.end()
        for call in [] if self._deaf else moments(self._job.hooks, chunk):
            attempt = await tried(called(call))
            if attempt.error is not None:
                self._deaf = True
                self._stop(logged(attempt.error, self._run))
                return


async def _rested(seconds: float) -> Outcome:
    await asyncio.sleep(seconds)
    return Waited()


async def opened(client: Any, name: str) -> Created:
    """A new conversation."""
    made = client.conversations.create(**({"metadata": {"name": name}} if name else {}))
    return Created(text(await made, "id"))


async def _found(client: Any, conversation: str) -> Outcome:
    return Found(members(await client.conversations.items.list(conversation, **LATEST), "data"))


async def _asked(job: Job, approval: Approval) -> Outcome:
    approve = job.approve
    attempt = await tried(called(lambda: None if approve is None else approve(approval)))
    if attempt.error is not None:
        return Broken(raised(attempt.error, "approve", "approval_error"))
    return Answered(attempt.value)


async def _tool(job: Job, call: ToolCall) -> Outcome:
    """A call of a client tool, between its hooks."""
    attempt = await tried(called(lambda: job.hooks.on_tool_start(call)))
    if attempt.error is None:
        output = await job.toolbox.arun(call)
        attempt = await tried(called(lambda: job.hooks.on_tool_end(call, output)))
        if attempt.error is None:
            return Done(call, output)
    return Broken(raised(attempt.error, "on_tool"))
