"""The agent loop as a value (law 1): generate -> execute server-side tools -> generate ... -> finished.

A run holds one effect that it wants performed and is told what came of it. It awaits nothing and knows no clock: ids
and times are given to it. Every event the world should hear of is what `begin`, `receive` and `cancel` return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec.structs import replace

from antiphon.core.assembler import Assembler, Step
from antiphon.core.compaction import current
from antiphon.core.context import call_ids, instructed, type_of
from antiphon.core.deltas import Delta, StepEnded
from antiphon.core.effects import (
    Broken,
    Call,
    Compact,
    Compacted,
    Effect,
    Entry,
    Exchange,
    Execute,
    Generate,
    Measure,
    Measured,
    Offer,
    Outcome,
    Overflow,
    Told,
)
from antiphon.core.fitting import Fitting
from antiphon.core.includes import ENCRYPTED, LOGPROBS, shown
from antiphon.core.interruption import interrupted, is_call
from antiphon.core.plan import Plan
from antiphon.core.prologue import UNKNOWN, airborne, prologue
from antiphon.core.resumption import counts, history
from antiphon.core.sealed import carried, is_exchange
from antiphon.core.slots import Voice, cut, told
from antiphon.core.sources import sources_of
from antiphon.core.state import Flight, OpenItem, RunState
from antiphon.core.status import RESPONSE, final, moved
from antiphon.core.taint import STRAYED, guarded, strayed, tainted
from antiphon.core.usage import added, counted, estimated
from antiphon.core.verdict import Verdict, verdict_of
from antiphon.wire import events as ev
from antiphon.wire.events import Event
from antiphon.wire.items import Compaction
from antiphon.wire.responses import IncompleteDetails, ResponseError, ResponseStatus, Usage
from antiphon.wire.tools import NamedChoice

NewId: TypeAlias = Callable[[str], str]

FUTILE: Final = 3
"""Rounds in a row that may bring nothing but calls that are refused: a model that does not listen is not asked on."""


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
        self._told: list[tuple[int, Exchange]] = []  # refused calls, by the output index they stand before
        self._first = 0  # the output index at which this round begins
        self._client_calls = False
        self._entries_of_round: list[int] = []
        self._called = 0  # server-side calls that became items, counted against max_tool_calls
        self._aside = 0  # output tokens that are no output: summaries
        self._fitting = Fitting(plan.bounds)
        self._call_ids = call_ids(plan.context)
        self._sources = sources_of(plan.context)  # what can be cited
        self._assembler = self._assemble(0)

    @property
    def output(self) -> tuple[Entry, ...]:
        """The finished output, in order."""
        done = {**self._done, **self._assembler.entries}
        return tuple(done[index] for index in sorted(done))

    @property
    def dropped(self) -> int:
        """How many items were cut off the front of the context, because it was too long."""
        return self._fitting.dropped

    @property
    def finished(self) -> bool:
        """Whether the response is terminal."""
        return final(RESPONSE, self.response.status)

    @property
    def blank(self) -> bool:
        """Whether nothing was made yet beside what comes before every generation."""
        return self._assembler.next_index <= len(self.plan.prefaces) and not self._assembler.entries

    # what the engine calls

    def begin(self) -> list[Event]:
        """Start: the events before any output; the first effect is set."""
        events: list[Event] = [ev.Created(response=self.response)]
        if self.response.status == "queued":
            events.append(ev.Queued(response=self.response))
            self._move("in_progress")
        before = prologue(self.plan.prefaces, self.plan.approved, self._new_id)
        self._done, self._first = before.entries, len(before.entries)
        self._waiting = {call.call_id: (index, call) for index, call in before.calls.items()}
        self._called, self._entries_of_round = len(before.calls), sorted(before.calls)
        self._assembler = self._assemble(self._first + len(before.calls))
        if before.calls:
            self.effect = self._executed()
        else:
            self._generate()
        return [*events, ev.InProgress(response=self.response), *before.events]

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
            if isinstance(outcome, Measured | Compacted):
                return self._fit(outcome)
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

    def holds(self, index: int) -> bool:
        """Whether the item at this output index is finished."""
        return index in self._done or index in self._assembler.entries

    def entry(self, index: int) -> Entry:
        """The finished entry at this output index."""
        return self._done[index] if index in self._done else self._assembler.entries[index]

    # surviving

    def state(self, open_items: Iterable[OpenItem]) -> RunState:
        """What `resume` needs beside the rows of finished items; `open_items` were announced and have not ended."""
        started = isinstance(self.effect, Execute)
        flights = self._waiting.values() if started else self._assembler.calls.items()
        return RunState(
            round=self._round,
            usage=self._usage,
            called=self._called,
            first=self._first,
            next_index=self._assembler.next_index,
            flights=tuple(Flight(index, c.call_id, c.item_id, c.name, c.arguments) for index, c in flights),
            started=started,
            told=tuple(self._told),
            open=tuple(open_items),
        )

    def resume(self, state: RunState, output: Mapping[int, Entry], repeatable: Callable[[Call], bool]) -> list[Event]:
        """Take up a run where its rows end, instead of `begin`; the events that settle what was open.

        Finished items stand. An item cut in the middle ends incomplete and empty, and its generation is repeated; a
        call that was in flight is run again when that is safe, otherwise the model is told that nobody knows.
        """
        self._round, self._usage, self._called = state.round, state.usage, state.called
        self._first, self._told, self._done = state.first, list(state.told), dict(output)
        events: list[Event] = []
        left = [flight for flight in state.flights if flight.index not in output]
        calls, lost = airborne(left, self.plan.approved, self.plan.offers, state.round)
        for opened in state.open:
            if opened.index not in calls and opened.index not in output:
                self._done[opened.index] = Entry(interrupted(opened.item), lost.get(opened.index))
                done = ev.OutputItemDone(output_index=opened.index, item=interrupted(opened.item))
                events.append(done)
        self._sources |= sources_of(self._done.values())
        self._call_ids |= call_ids(self._done.values()) | {call.call_id for call in calls.values()}
        last = max([state.next_index - 1, *self._done, *calls])
        self._assembler = self._assemble(last + 1)
        self._context = list(current([*self.plan.context, *history(self._done, self._told, state.first)]))
        self._entries_of_round = [
            i for i in sorted({*self._done, *calls}) if i >= state.first and counts(self._done.get(i))
        ]
        self._client_calls = any(self._is_client_call(index) for index in self._entries_of_round)
        self._take_off(calls, state, repeatable, events)
        return events

    def _take_off(
        self,
        calls: Mapping[int, Call],
        state: RunState,
        repeatable: Callable[[Call], bool],
        events: list[Event],
    ) -> None:
        """The effect of a resumed run: the calls in flight, what follows when they are settled, or the generation."""
        self._waiting = {call.call_id: (index, call) for index, call in calls.items()}
        if state.started:
            for call in calls.values():
                if not repeatable(call):
                    self._settle(Outcome(call.call_id, UNKNOWN, {"error": "interrupted; effect unknown"}, True), events)
        else:
            self._called += len(calls)
            for index, call in calls.items():
                events.extend(told(call.receipt.opened(call.item_id), call.receipt.phases[1:], index))
        if self._waiting:
            self._execute(events)
        elif calls or state.started or self._client_calls:
            self._next_round(events)
        else:
            self._context.extend(self._done[index] for index in self._entries_of_round)
            self._generate()

    def _is_client_call(self, index: int) -> bool:
        entry = self._done.get(index)
        return entry is not None and entry.item is not None and entry.exchange is None and is_call(entry.item)

    @property
    def _tainted(self) -> bool:
        """Whether untrusted content was read before this round, where that matters."""
        guard = self.plan.guard
        if guard is None or guard.read:
            return guard is not None
        return tainted((entry for index, entry in self._done.items() if index < self._first), self.plan.offers)

    @property
    def _offers(self) -> tuple[Offer, ...]:
        """What can be called in this round."""
        return guarded(self.plan.offers) if self._tainted else self.plan.offers

    # a generation

    def _assemble(self, first: int) -> Assembler:
        limit = self.plan.request.max_tool_calls
        budget = None if limit is None else limit - self._called
        citing = self._sources or any(offer.cites for offer in self.plan.offers)
        sources = self._sources if citing else None
        offers = () if self.plan.tool_choice == "none" else self._offers
        assembler = Assembler(offers, self._new_id, first=first, budget=budget, voice=self._voice, sources=sources)
        assembler.avoid(self._call_ids)
        return assembler

    def _generate(self) -> None:
        plan = self.plan
        limit = plan.request.max_output_tokens
        offers, choice = self._offers, plan.tool_choice
        if self._round:
            choice = "auto" if choice == "required" or isinstance(choice, NamedChoice) else choice  # forced once only
        if plan.request.max_tool_calls is not None and self._called >= plan.request.max_tool_calls and self._refused:
            offers = tuple(offer for offer in offers if offer.receipt is None)  # told once; not offered again
        wanted = Generate(
            model=plan.model,
            request=plan.request,
            context=tuple(self._context),
            offers=offers,
            tool_choice=choice if offers else "none",
            max_output_tokens=None if limit is None else limit - self._spent,
        )
        self.effect = self._fitting.before(wanted, begun=not self.blank)

    def _hear(self, outcomes: Sequence[Told]) -> list[Event]:
        last = outcomes[-1] if outcomes else None
        if isinstance(last, Overflow):
            assert isinstance(self.effect, Generate)
            self.effect, wanted = self._fitting.overflowed(self.effect), self.effect
            return self._fitted(wanted) if self.effect is not None else self._fail(last.error)
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
        self._usage = added(self._usage, ended.usage or estimated(self._context, step.entries, step.calls))
        if verdict == "failed":
            message = "The model's endpoint ended the generation with an error."
            events.extend(self._fail(ResponseError(code="server_error", message=message)))
        elif verdict != "completed":
            self._close_waiting(events)
            events.append(self._terminal("incomplete", incomplete_details=IncompleteDetails(reason=_REASON[verdict])))
        elif step.calls:
            for index, call in sorted(step.calls.items()):
                events.extend(told(call.receipt.opened(call.item_id), call.receipt.phases[1:], index))
            self._execute(events)
        else:
            self._next_round(events)

    @property
    def _spent(self) -> int:
        """Output tokens that count against `max_output_tokens`."""
        return 0 if self._usage is None else self._usage.output_tokens - self._aside

    @property
    def _voice(self) -> Voice:
        reasoning = self.plan.request.reasoning
        summary = reasoning is not None and bool(reasoning.summary or reasoning.generate_summary)
        return Voice(summary=summary, shown=ENCRYPTED in self._include, seal=self.plan.seal)

    # the size of the context

    def _fit(self, found: Measured | Compacted) -> list[Event]:
        effect = self.effect
        if isinstance(found, Measured):
            assert isinstance(effect, Measure)
            self.effect = self._fitting.measured(effect.wanted, found)
            if self.effect is None:
                words = f"The context has grown to {found.tokens} tokens, which is more than the model takes."
                return self._fail(ResponseError(code="context_length_exceeded", message=words))
            return self._fitted(effect.wanted)
        assert isinstance(effect, Compact)
        index = self._assembler.next_index
        item = Compaction(id=self._new_id("cmp_"), encrypted_content=found.encrypted_content)
        entry = self._done[index] = carried(item, found.content)
        self._usage = added(self._usage, found.usage)
        self._aside += found.usage.output_tokens
        self._first = index + 1
        self._assembler = self._assemble(self._first)
        self._context = list(current([*self._context, entry]))
        events: list[Event] = [
            ev.OutputItemAdded(output_index=index, item=item),
            ev.OutputItemDone(output_index=index, item=item),
        ]
        if self._fitting.compacted():
            events.append(self._terminal("completed"))
        else:
            self._generate()
        return events

    def _fitted(self, wanted: Generate) -> list[Event]:
        """Later generations go on from what is left of the context."""
        if isinstance(self.effect, Generate) and self.effect.context is not wanted.context:
            self._context = list(self.effect.context)
        return []

    def _keep(self, step: Step) -> None:
        self._done.update(step.entries)
        self._waiting = {call.call_id: (index, call) for index, call in step.calls.items()}
        self._called += len(step.calls)
        self._refused = step.refused
        self._client_calls = step.client_calls
        self._entries_of_round = sorted({*step.entries, *step.calls})

    # a round of tools

    def _execute(self, events: list[Event]) -> None:
        """Run the calls in flight; those that untrusted content may have sent astray have failed."""
        guard = self.plan.guard
        if guard is not None and self._tainted:
            given = instructed(self.plan.request.instructions, self._context)
            for _, call in [*self._waiting.values()]:
                if strayed(call, given, guard.words):
                    self._settle(Outcome(call.call_id, STRAYED, failed=True), events)
        if self._waiting:
            self.effect = self._executed()
        else:
            self._next_round(events)

    def _executed(self) -> Execute:
        """The calls in flight, in order."""
        calls = [call for _, call in sorted(self._waiting.values(), key=lambda pair: pair[0])]
        given = instructed(self.plan.request.instructions, self._context)
        return Execute(tuple(replace(call, context=given) if call.offer.reads else call for call in calls))

    def _settle(self, outcome: Outcome, events: list[Event]) -> None:
        index, call = self._waiting.pop(outcome.call_id)
        item = call.receipt.closed(call.item_id, call, outcome)
        self._done[index] = entry = Entry(item, self._exchange(call, outcome.output))
        self._sources |= sources_of((entry,))
        phase = "failed" if outcome.failed and "failed" in ev.PHASES.get(type_of(item), ("failed",)) else "completed"
        events.extend(told(item, (phase,), index))
        events.append(ev.OutputItemDone(output_index=index, item=shown(item, self._include)))

    def _exchange(self, call: Call, output: str) -> Exchange:
        return Exchange(call.call_id, call.name, call.arguments, output, self._round)

    def _refusal(self, call: Call) -> str:
        """Why a call is not run, in words for the model."""
        if call.fault:
            return f"Not run. {call.fault}"
        words = f"Not run: this response may make {self.plan.request.max_tool_calls} tool calls and has made them."
        return words + " Answer with what you have."

    def _next_round(self, events: list[Event]) -> None:
        """Everything of this round is known: go on, or finish when the client has to act or nothing was called."""
        ran = any(is_exchange(self._done[index].exchange) for index in self._entries_of_round)
        self._context.extend(self._done[index] for index in self._entries_of_round)
        for call in self._refused:
            exchange = self._exchange(call, self._refusal(call))
            self._told.append((self._assembler.next_index, exchange))
            self._context.append(Entry(None, exchange))
        if self._client_calls or not (ran or self._refused):
            events.append(self._terminal("completed"))
            return
        self._round += 1
        self._first = self._assembler.next_index
        self._assembler = self._assemble(self._first)
        limit = self.plan.request.max_output_tokens
        if limit is not None and self._spent >= limit:
            details = IncompleteDetails(reason="max_output_tokens")
            events.append(self._terminal("incomplete", incomplete_details=details))
        elif (stuck := self._stuck) is not None:
            events.extend(self._fail(ResponseError(code="server_error", message=stuck)))
        else:
            self._generate()

    @property
    def _stuck(self) -> str | None:
        """Why there is no further round, in words: there were enough, or the last ones brought refusals alone."""
        here = self._assembler.next_index
        futile = len({exchange.round for index, exchange in self._told if index == here})
        if futile >= FUTILE:
            return f"The model made only calls that cannot be made, {futile} times in a row."
        if self._round >= self.plan.limits.rounds:
            return f"The model was still calling tools after {self._round} rounds."
        return None

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
            item = cut(call)
            events.append(ev.OutputItemDone(output_index=index, item=shown(item, self._include)))
            self._done[index] = Entry(item, self._exchange(call, "Not run: the turn was stopped."))
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
            service_tier=_TIERS.get(self.response.service_tier, self.response.service_tier),
            **fields,
        )
        self.effect = None

    def _move(self, status: ResponseStatus, **fields: Any) -> None:
        moved(RESPONSE, self.response.status, status)
        self.response = replace(self.response, status=status, **fields)


_TIERS = {"auto": "default", "fast": "priority"}  # what was asked, and the tier that it means
_TERMINAL = {"completed": ev.Completed, "incomplete": ev.Incomplete, "failed": ev.Failed}
_REASON: dict[Verdict, Literal["max_output_tokens", "content_filter"]] = {
    "max_output_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
