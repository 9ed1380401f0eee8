"""The iterator that drives a turn in this thread.

Law: the turn decides (turn.py); here its effects are performed, and what came of them is handed back.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
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
)
from antiphon.agent.errands import Box, Errand
from antiphon.agent.events import AgentStreamChunk, Approval, ToolCall, TurnCompleted, TurnFailed
from antiphon.agent.fields import members, text
from antiphon.agent.result import TurnResult
from antiphon.agent.retries import Fault
from antiphon.agent.setup import LATEST, OVERDUE, Job, logged, moments, raised, settled, single, spans, tried
from antiphon.agent.tracing import Spans
from antiphon.agent.turn import CANCELLED
from antiphon.agent.workers import here


class Turn:
    """A turn as it is made: an iterator of its events. Nothing is sent before the first is asked for.

    Closing it (also by the end of a `with`, or by dropping it) cancels the turn; so does `cancel`, from any thread.
    """

    def __init__(self, client: Any, job: Job) -> None:
        self._client = single(client)
        self._job = job
        self._run = job.run
        self._box: Box = SimpleQueue()
        self._ready: deque[AgentStreamChunk] = deque()
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
        """End the turn as failed (`cancelled`), from any thread: its iterator still tells the end."""
        self._cancelled = True
        errand = self._errand
        if errand is not None:
            errand.hang_up()
        self._box.put(None)

    def close(self) -> None:
        """Cancel the turn if it is not over; nothing more is told."""
        self._shut()
        self._release()

    def _shut(self) -> None:
        self._closed = True
        if self._run.begun:
            self._stop(CANCELLED)
        while self._ready:
            self._tell(self._ready.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._run.effect is not None:
            self._shut()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AgentStreamChunk:
        while not self._ready:
            if self._closed or not self._advance():
                self._release()
                raise StopIteration
        chunk = self._ready.popleft()
        self._tell(chunk)
        return chunk

    def _advance(self) -> bool:
        """Come one outcome further; False when the turn is over."""
        run = self._run
        if not run.begun:
            self._ready.extend(run.begin())
            self._spans = spans(self._job)
            timeout = self._job.timeout
            self._deadline = None if timeout is None else time.monotonic() + timeout
            return True
        if run.effect is None:
            return False
        outcome = None if self._cancelled else self._outcome(run.effect)
        if outcome is None:
            self._stop(CANCELLED if self._cancelled else OVERDUE)
        else:
            self._ready.extend(run.receive(outcome))
        if run.effect is not self._effect and self._errand is not None:
            self._errand.leave()
        if run.failure is not None:
            self._release()
        return True

    def _release(self) -> None:
        """Let go of all connections."""
        while self._errands:
            self._errands.pop().end(hard=self._run.failure is not None)

    def _stop(self, fault: Fault) -> None:
        self._ready.extend(self._run.stop(fault))
        if self._errand is not None:
            self._errand.hang_up()

    def _outcome(self, effect: Effect) -> Outcome | None:
        """The next outcome of the effect; None when the turn was cancelled or its time is over."""
        try:
            if effect is not self._effect:
                self._effect, self._errand = effect, Errand(self._box)
                self._errands.append(self._errand)
                with self._spans.current():
                    outcome = self._perform(effect, self._errand)
                if outcome is not None:
                    return outcome
            elif self._errand is not None:
                self._errand.wanted()
            while True:
                left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
                message = self._box.get(timeout=left)
                if message is None or self._cancelled:
                    return None
                if message[0] is self._errand:
                    return message[1]
        except Empty:
            return None
        except BaseException:
            self._stop(CANCELLED)
            raise

    # effects

    def _perform(self, effect: Effect, errand: Errand) -> Outcome | None:
        """Set out; or the outcome, where it is found at once."""
        client = self._client
        match effect:
            case Send(request):
                whole = self._requested(request)
                if isinstance(whole, Fault):
                    return Broken(whole)
                errand.stream(lambda: client.responses.create(**whole))
            case Fetch(response_id, after):
                errand.stream(lambda: client.responses.retrieve(response_id, stream=True, starting_after=after))
            case Wait(seconds, spread):
                errand.rest(seconds * (1 + spread * random.random()))  # noqa: S311 - no secret
            case Create(name):
                errand.run(lambda: Created(created(client, name)))
            case Read(conversation):
                errand.run(lambda: Found(members(client.conversations.items.list(conversation, **LATEST), "data")))
            case Execute(calls):
                errand.share([_tool(self._job, call) for call in calls], self._job.parallel)
            case Ask(approval):
                return self._asked(approval)
            case Conclude():
                return Concluded()
        return None

    def _requested(self, request: dict[str, Any]) -> dict[str, Any] | Fault:
        """The request as the hooks want it."""
        attempt = tried(lambda: self._job.hooks.on_request(request))
        if attempt.error is not None:
            return raised(attempt.error, "on_request")
        return request if attempt.value is None else attempt.value

    def _asked(self, approval: Approval) -> Outcome:
        approve = self._job.approve
        attempt = tried(lambda: None if approve is None else approve(approval))
        if attempt.error is not None:
            return Broken(raised(attempt.error, "approve", "approval_error"))
        return Answered(attempt.value)

    def _tell(self, chunk: AgentStreamChunk) -> None:
        """Call the hooks; one that raises fails the turn, if that is still possible."""
        self._spans.see(chunk)
        if isinstance(chunk.event, TurnCompleted | TurnFailed):
            self._spans.end()
        for call in [] if self._deaf else moments(self._job.hooks, chunk):
            attempt = tried(call)
            if attempt.error is not None:
                self._deaf = True
                self._stop(logged(attempt.error, self._run))
                return


def _tool(job: Job, call: ToolCall) -> Callable[[], Outcome]:
    """A call of a client tool, between its hooks."""

    def run() -> Outcome:
        attempt = here(lambda: job.hooks.on_tool_start(call))
        if attempt.error is None:
            output = job.toolbox.run(call)
            attempt = here(lambda: job.hooks.on_tool_end(call, output))
            if attempt.error is None:
                return Done(call, output)
        return Broken(raised(attempt.error, "on_tool"))

    return run


def created(client: Any, name: str) -> str:
    """The id of a new conversation."""
    return text(client.conversations.create(**({"metadata": {"name": name}} if name else {})), "id")
