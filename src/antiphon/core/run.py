"""The agent loop as a value (law 1): generate -> execute server-side tools -> generate ... -> finished.

A run holds one effect that it wants performed and is told what came of it. It awaits nothing and knows no clock: ids
and times are given to it. Every event the world should hear of is what `begin`, `receive` and `cancel` return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, cast

import msgspec

from antiphon.core.assembler import Assembler, Step
from antiphon.core.context import type_of
from antiphon.core.deltas import Delta, StepEnded
from antiphon.core.effects import Broken, Call, Effect, Entry, Exchange, Execute, Generate, Offer, Outcome, Told
from antiphon.core.includes import LOGPROBS, shown
from antiphon.core.limits import Limits
from antiphon.core.slots import cut, told
from antiphon.core.status import RESPONSE, final, moved
from antiphon.core.usage import added, counted, estimate
from antiphon.core.verdict import Verdict, verdict_of
from antiphon.wire import events as ev
from antiphon.wire.codec import encode
from antiphon.wire.events import Event
from antiphon.wire.responses import CreateResponse, IncompleteDetails, Response, ResponseError, ResponseStatus, Usage
from antiphon.wire.tools import NamedChoice, ToolChoice

NewId: TypeAlias = Callable[[str], str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do: the request, its echo (status `in_progress` or `queued`), the upstream's name of the model,
    the context (history and input), the functions offered, and the bounds."""

    request: CreateResponse
    response: Response
    model: str
    context: tuple[Entry, ...]
    offers: tuple[Offer, ...] = ()
    tool_choice: ToolChoice = "auto"
    limits: Limits = Limits()


class Run:
    """One response being made.

    `effect` is what it wants now (None: it is finished), `response` how it stands, `output` its finished entries.
    """

    def __init__(self, plan: Plan, new_id: NewId, now: Callable[[], float]) -> None:
        self.plan = plan
        self.response = plan.response
        self.effect: Effect | None = None
        self._new_id = new_id
        self._now = now
        self._include = {*plan.request.include, LOGPROBS}  # an upstream gives log probabilities only when asked
        self._round = 0
        self._usage: Usage | None = None
        self._done: dict[int, Entry] = {}
        self._context: list[Entry] = list(plan.context)
        self._waiting: dict[str, tuple[int, Call]] = {}  # server-side calls in flight, by call id
        self._refused: tuple[Call, ...] = ()
        self._client_calls = False
        self._entries_of_round: list[int] = []
        self._called = 0  # server-side calls that became items, counted against max_tool_calls
        self._assembler = self._assemble(0)

    @property
    def output(self) -> tuple[Entry, ...]:
        """The finished output, in order."""
        return tuple(self._done[index] for index in sorted(self._done))

    @property
    def finished(self) -> bool:
        """Whether the response is terminal."""
        return final(RESPONSE, self.response.status)

    # what the engine calls

    def begin(self) -> list[Event]:
        """Start: the events before any output; the first effect is set."""
        events: list[Event] = [ev.Created(response=self.response)]
        if self.response.status == "queued":
            events.append(ev.Queued(response=self.response))
            self._move("in_progress")
        events.append(ev.InProgress(response=self.response))
        self._generate()
        return events

    def receive(self, outcomes: Sequence[Told]) -> list[Event]:
        """Take what came of the effect; the events the world should hear of. A finished run takes nothing."""
        if self.effect is None:
            return []
        if isinstance(self.effect, Generate):
            return self._hear(outcomes)
        events: list[Event] = []
        for outcome in outcomes:
            if isinstance(outcome, Broken):
                return events + self._fail(outcome.error)
            assert isinstance(outcome, Outcome)
            self._settle(outcome, events)
        if not self._waiting:
            self._next_round(events)
        return events

    def cancel(self) -> list[Event]:
        """Stop: what is open ends incomplete. There is no terminal event for it (wire checklist A.1)."""
        if self.finished:
            return []
        events: list[Event] = []
        self._close_open(events)
        self._end("cancelled")
        return events

    # a generation

    def _assemble(self, first: int) -> Assembler:
        limit = self.plan.request.max_tool_calls
        budget = None if limit is None else limit - self._called
        return Assembler(self.plan.offers, self._new_id, first=first, budget=budget)

    def _generate(self) -> None:
        plan = self.plan
        spent = self._usage.output_tokens if self._usage is not None else 0
        limit = plan.request.max_output_tokens
        offers, choice = plan.offers, plan.tool_choice
        if self._round:
            choice = "auto" if choice == "required" or isinstance(choice, NamedChoice) else choice  # forced once only
        if plan.request.max_tool_calls is not None and self._called >= plan.request.max_tool_calls and self._refused:
            offers = tuple(offer for offer in offers if offer.receipt is None)  # told once; not offered again
        self.effect = Generate(
            model=plan.model,
            request=plan.request,
            context=tuple(self._context),
            offers=offers,
            tool_choice=choice if offers else "none",
            max_output_tokens=None if limit is None else limit - spent,
        )

    def _hear(self, outcomes: Sequence[Told]) -> list[Event]:
        last = outcomes[-1] if outcomes else None
        if isinstance(last, Broken):
            events = self._assembler.feed(cast("Sequence[Delta]", outcomes[:-1]))
            return events + self._fail(last.error)
        events = self._assembler.feed(cast("Sequence[Delta]", outcomes))  # of a generation come deltas only
        if self._assembler.next_index > self.plan.limits.items:
            return events + self._fail(ResponseError(code="server_error", message="The response has too many items."))
        if isinstance(last, StepEnded):
            self._step_ended(last, events)
        return events

    def _step_ended(self, ended: StepEnded, events: list[Event]) -> None:
        verdict = verdict_of(ended.finish)
        step = self._assembler.end(events, cut=verdict != "completed")
        self._keep(step)
        self._usage = added(self._usage, ended.usage or self._estimated(step))
        if verdict == "failed":
            message = "The model's endpoint ended the generation with an error."
            events.extend(self._fail(ResponseError(code="server_error", message=message)))
        elif verdict != "completed":
            self._close_waiting(events)
            events.append(self._terminal("incomplete", incomplete_details=IncompleteDetails(reason=_REASON[verdict])))
        elif step.calls:
            for index, call in sorted(step.calls.items()):
                events.extend(told(call.receipt.opened(call.item_id), call.receipt.phases[1:], index))
            self.effect = Execute(tuple(call for _, call in sorted(step.calls.items())))
        else:
            self._next_round(events)

    def _keep(self, step: Step) -> None:
        self._done.update(step.entries)
        self._waiting = {call.call_id: (index, call) for index, call in step.calls.items()}
        self._called += len(step.calls)
        self._refused = step.refused
        self._client_calls = step.client_calls
        self._entries_of_round = sorted({*step.entries, *step.calls})

    def _estimated(self, step: Step) -> Usage:
        """About what the round cost, where the upstream counted nothing (wire checklist E.2: never null)."""
        asked = sum(estimate(encode(entry.item).decode()) for entry in self._context if entry.item is not None)
        made = sum(estimate(encode(entry.item).decode()) for entry in step.entries.values())
        made += sum(estimate(call.arguments) for call in step.calls.values())
        return counted(asked, made)

    # a round of tools

    def _settle(self, outcome: Outcome, events: list[Event]) -> None:
        index, call = self._waiting.pop(outcome.call_id)
        item = call.receipt.closed(call.item_id, call, outcome)
        self._done[index] = Entry(item, self._exchange(call, outcome.output))
        phase = "failed" if outcome.failed and "failed" in ev.PHASES.get(type_of(item), ("failed",)) else "completed"
        events.extend(told(item, (phase,), index))
        events.append(ev.OutputItemDone(output_index=index, item=shown(item, self._include)))

    def _exchange(self, call: Call, output: str) -> Exchange:
        return Exchange(call.call_id, call.name, call.arguments, output, self._round)

    def _next_round(self, events: list[Event]) -> None:
        """Everything of this round is known: go on, or finish when the client has to act or nothing was called."""
        ran = any(self._done[index].exchange is not None for index in self._entries_of_round)
        self._context.extend(self._done[index] for index in self._entries_of_round)
        for call in self._refused:
            words = f"Not run: this response may make {self.plan.request.max_tool_calls} tool calls and has made them."
            self._context.append(Entry(None, self._exchange(call, words + " Answer with what you have.")))
        if self._client_calls or not (ran or self._refused):
            events.append(self._terminal("completed"))
            return
        self._round += 1
        self._assembler = self._assemble(self._assembler.next_index)
        limit = self.plan.request.max_output_tokens
        if limit is not None and self._usage is not None and self._usage.output_tokens >= limit:
            details = IncompleteDetails(reason="max_output_tokens")
            events.append(self._terminal("incomplete", incomplete_details=details))
        elif self._round >= self.plan.limits.rounds:
            message = f"The model was still calling tools after {self._round} rounds."
            events.extend(self._fail(ResponseError(code="server_error", message=message)))
        else:
            self._generate()

    # the end

    def _fail(self, error: ResponseError) -> list[Event]:
        events: list[Event] = []
        self._close_open(events)
        events.append(ev.ErrorEvent(code=error.code, message=error.message, param=None))
        events.append(self._terminal("failed", error=error))
        return events

    def _close_open(self, events: list[Event]) -> None:
        if isinstance(self.effect, Generate):
            self._keep(self._assembler.end(events, cut=True))
        self._close_waiting(events)

    def _close_waiting(self, events: list[Event]) -> None:
        for index, call in sorted(self._waiting.values(), key=lambda pair: pair[0]):
            self._done[index] = Entry(cut(call, index, events), self._exchange(call, "Not run: the turn was stopped."))
        self._waiting = {}

    def _terminal(self, status: ResponseStatus, **fields: Any) -> Event:
        self._end(status, **fields)
        return _TERMINAL[status](response=self.response)

    def _end(self, status: ResponseStatus, **fields: Any) -> None:
        self._move(
            status,
            output=tuple(shown(e.item, self._include) for e in self.output if e.item is not None),
            usage=self._usage or (None if status in {"failed", "cancelled"} else counted(0, 0)),
            completed_at=int(self._now()) if status == "completed" else None,
            service_tier="default" if self.response.service_tier == "auto" else self.response.service_tier,
            **fields,
        )
        self.effect = None

    def _move(self, status: ResponseStatus, **fields: Any) -> None:
        moved(RESPONSE, self.response.status, status)
        self.response = msgspec.structs.replace(self.response, status=status, **fields)


_TERMINAL = {"completed": ev.Completed, "incomplete": ev.Incomplete, "failed": ev.Failed}
_REASON: dict[Verdict, Literal["max_output_tokens", "content_filter"]] = {
    "max_output_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
