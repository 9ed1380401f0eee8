"""A turn as a value: it holds one effect that it wants performed, and is told what came of it.

Law: every event of the turn is what `begin`, `receive` and `stop` return. They do no I/O and know no clock; whoever
drives the turn performs `effect` until it is None, and decides nothing. There is one terminal event, it is the last,
and no step is open before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from antiphon.agent import effects as ef
from antiphon.agent import events as ev
from antiphon.agent.content import ToolOutput
from antiphon.agent.continuity import continued
from antiphon.agent.fields import Json, number, text
from antiphon.agent.items import APPROVAL, answer, approval_of, decision
from antiphon.agent.output import OutputError
from antiphon.agent.plan import Plan
from antiphon.agent.result import TurnResult
from antiphon.agent.retries import LOCKED, Fault
from antiphon.agent.rounds import Round
from antiphon.agent.state import Paused, StateError, written
from antiphon.agent.steps import Steps

CANCELLED: Final = Fault("The turn was cancelled.", "cancelled")
SPREAD: Final = 0.25
"""A wait is longer by up to this part of it, so that those who failed together do not come back together."""
_CUT: Final = Fault("The stream ended before the response did.", "stream_cut", lost=True, passing=True)


class Run:
    """One turn being made. `effect` is what it wants now (None: it is over), `result` what was done so far, `failure`
    why it failed."""

    def __init__(
        self, plan: Plan, paused: Paused | None = None, verdicts: Mapping[str, bool | str] | None = None
    ) -> None:
        self.plan = plan
        self.begun = False
        self.effect: ef.Effect | None = None
        self.failure: Fault | None = None
        self.result = TurnResult(plan.turn_id, plan.session.id)
        self._session = plan.session
        self._verdicts = dict(verdicts or {})
        self._messages = plan.messages  # what the next request says beside the answers that are owed
        self._fresh: list[Json] = []  # the input of the last request
        self._steps: Steps | None = None  # of the last request, once something came of it
        self._round: Round | None = None
        self._approvals: list[ev.Approval] = []  # to be asked
        self._waiting: list[ev.Approval] = []  # asked, and not answered now
        self._failures = 0  # in a row
        self._skip = -1  # events up to this sequence number have been heard
        self._rounds = paused.rounds if paused else 0  # responses so far
        self._number: int = paused.steps if paused else 0  # of the next step
        if paused:
            self.result = replace(self.result, response_ids=paused.response_ids, usage=paused.usage)

    # what the driver calls

    def begin(self) -> list[ev.AgentStreamChunk]:
        """Start. SessionError, and no event, when the session is in the middle of another turn."""
        self._session.take()
        self.begun = True
        for key, verdict in self._verdicts.items():
            self._session.reply(key, decision(key, verdict))
        self._ask()
        return self._told([ev.TurnStarted(self.plan.turn_id, self._session.id)])

    def receive(self, outcome: ef.Outcome) -> list[ev.AgentStreamChunk]:
        """Take what came of the effect; the events that it makes. A turn that is over takes nothing."""
        if self.effect is None:
            return []
        match outcome:
            case ef.Streamed(event):
                return self._hear(event)
            case ef.Broken(fault):
                return self._broken(fault)
            case ef.Ended():
                return self._broken(_CUT)
            case ef.Done(call, output):
                return self._done(call, output)
            case ef.Answered(verdict):
                return self._decide(verdict)
            case ef.Concluded():
                return self._conclude()
            case ef.Created() | ef.Found() | ef.Waited():
                self._prepared(outcome)
                return []

    def _prepared(self, outcome: ef.Created | ef.Found | ef.Waited) -> None:
        """Something that a request needs is there."""
        if isinstance(outcome, ef.Created):
            self._session.conversation = outcome.conversation
        elif isinstance(outcome, ef.Found):
            self._session.learn(outcome.items)
        elif isinstance(self.effect, ef.Wait) and isinstance(self.effect.then, ef.Fetch):
            self.effect = self.effect.then
            return
        self._ask()

    def stop(self, fault: Fault = CANCELLED) -> list[ev.AgentStreamChunk]:
        """End the turn here, as failed: cancelled, out of time, or through a fault of the program that drives it."""
        return [] if self.effect is None else self._fail(fault)

    # requests

    def _ask(self) -> None:
        """Want the next request, and first what it needs."""
        session = self._session
        if session.missing:
            self.effect = ef.Create(session.name)
        elif session.unread:
            assert session.conversation is not None
            self.effect = ef.Read(session.conversation)
        else:
            self._steps, self._skip = None, -1
            self._fresh = session.input(self._messages)
            self.effect = ef.Send(continued(self._request(), session, self._fresh))

    def _request(self) -> Json:
        """The request; a tool that has to be called is called by the first one only, or the turn would never end."""
        request = self.plan.request
        free = self._rounds == 0 or request.get("tool_choice") in {None, "auto", "none"}
        return request if free else {name: value for name, value in request.items() if name != "tool_choice"}

    def _broken(self, fault: Fault) -> list[ev.AgentStreamChunk]:
        """The effect could not be performed: again, or the end."""
        effect, steps = self.effect, self._steps
        then = None
        if steps is not None and steps.heard and isinstance(effect, ef.Send | ef.Fetch):
            then = self._reconnection(steps)
            if isinstance(effect, ef.Fetch) or (fault.lost and fault.code != "timeout"):
                fault = replace(fault, code="stream_cut")
        elif isinstance(effect, ef.Create | ef.Read | ef.Send):
            then = effect
            if fault.code == LOCKED:
                self._session.lose()  # whoever holds it changes what it holds
        self._failures += 1
        delay = self.plan.retries.delay(self._failures, fault)
        if then is None or delay is None:
            return self._fail(fault)
        self.effect = ef.Wait(delay, SPREAD if fault.after is None else 0.0, then)
        return []

    def _reconnection(self, steps: Steps) -> ef.Fetch | None:
        """How a response is heard on whose connection was lost: only where the server makes it in the background."""
        request = self.plan.request
        kept = request.get("background") is True and request.get("store") is not False
        if not kept or not steps.response_id or steps.sequence is None:
            return None
        self._skip = steps.sequence
        return ef.Fetch(steps.response_id, steps.sequence)

    def _hear(self, event: object) -> list[ev.AgentStreamChunk]:
        sequence = number(event, "sequence_number")
        if sequence is not None and sequence <= self._skip:
            return []
        if self._steps is None:
            self._steps = Steps(self.plan.turn_id, self._number, collapse=self.plan.collapse)
        steps = self._steps
        events = steps.hear(event)
        if steps.heard:
            self._failures = 0
        self._number = steps.next
        if steps.response_id and steps.response_id not in self.result.response_ids:
            self.result = replace(self.result, response_ids=(*self.result.response_ids, steps.response_id))
        return self._told(events) + (self._end(steps) if steps.ended else [])

    def _end(self, steps: Steps) -> list[ev.AgentStreamChunk]:
        """The response is over: what now?"""
        self._rounds += 1
        made = self.result
        self.result = replace(
            made,
            usage=made.usage + steps.usage,
            responses=(*made.responses, steps.response) if steps.response is not None else made.responses,
            final_text=steps.text,
            stop_reason=steps.stop_reason,
        )
        if steps.ended == "failed":
            return self._fail(Fault(*steps.error))
        self._session.commit(self._fresh, steps.output, steps.response_id)
        self._messages = ()
        self._approvals = [approval_of(item) for item in steps.output if text(item, "type") == APPROVAL]
        if steps.ended == "incomplete" and not steps.text:
            return self._fail(Fault("The response was cut before it said anything.", steps.stop_reason), certain=True)
        if steps.ended == "incomplete" or not (steps.calls or self._approvals):
            self._approvals = []
            self.effect = ef.Conclude()
            return []
        if (fault := self._spent()) is not None:
            return self._fail(fault, certain=True)
        if not steps.calls:
            self._next()
            return []
        self._round = Round(self.plan.turn_id, f"{self.plan.turn_id}_step_{self._number}", steps.calls)
        self._number += 1
        self.effect = ef.Execute(self._round.calls)
        return self._told(self._round.begin())

    def _spent(self) -> Fault | None:
        """Why there cannot be another request."""
        plan, used = self.plan, self.result.usage.total_tokens
        if self._rounds >= plan.max_steps:
            return Fault(f"The turn did not end within {plan.max_steps} responses.", "max_steps")
        if plan.usage_limit is not None and used >= plan.usage_limit:
            return Fault(f"The turn has used {used} of its {plan.usage_limit} tokens.", "usage_limit")
        return None

    # tools and approvals

    def _done(self, call: ev.ToolCall, output: ToolOutput) -> list[ev.AgentStreamChunk]:
        assert self._round is not None
        chunks = self._told(self._round.done(call, output))
        if not chunks:
            return []
        self._session.reply(call.call_id, answer(call, output.content, failed=output.is_error))
        if self._round.complete:
            chunks += self._told(self._round.close())
            self._next()
        return chunks

    def _next(self) -> None:
        """Ask for the approvals that are left; then go on, or wait for those that were not answered."""
        if self._approvals and self.plan.asks:
            self.effect = ef.Ask(self._approvals[0])
        elif self._approvals or self._waiting:
            self._waiting += self._approvals
            self.effect = ef.Conclude()
        else:
            self._ask()

    def _decide(self, verdict: object) -> list[ev.AgentStreamChunk]:
        approval = self._approvals.pop(0)
        if verdict is None:
            self._waiting.append(approval)
        elif isinstance(verdict, bool | str):
            self._session.reply(approval.id, decision(approval.id, verdict))
        else:
            words = f"An approval is True, False, the reason of a denial, or None: not {type(verdict).__name__}."
            return self._fail(Fault(words, "approval_error"), certain=True)
        self._next()
        return []

    # the end

    def _conclude(self) -> list[ev.AgentStreamChunk]:
        """All was said: the turn is complete, or rests until the approvals are answered."""
        assert self._steps is not None
        try:
            if self._waiting:
                self._pause()
            elif self.plan.output is not None and self._steps.refusal and not self._steps.text:
                return self._fail(Fault(self._steps.refusal, "refusal"), certain=True)
            elif self.plan.output is not None:
                self.result = replace(self.result, output=self.plan.output.parse(self._steps.text))
        except OutputError as error:
            return self._fail(Fault(str(error), "invalid_output"), certain=True)
        except StateError as error:
            return self._fail(Fault(str(error), "state_error"), certain=True)
        made = self.result
        completed = ev.TurnCompleted(
            turn_id=made.turn_id,
            session_id=made.session_id,
            final_text=made.final_text,
            response_ids=made.response_ids,
            num_steps=self._number,
            usage=made.usage,
            output=made.output,
            stop_reason=made.stop_reason,
            paused=made.state is not None,
        )
        self._over()
        return [ev.AgentStreamChunk(completed, self._steps.response)]

    def _pause(self) -> None:
        made, session = self.result, self._session
        waiting = tuple(self._waiting)
        state = written(
            Paused(
                turn_id=made.turn_id,
                session=session,
                approvals=waiting,
                rounds=self._rounds,
                steps=self._number,
                response_ids=made.response_ids,
                usage=made.usage,
                options=self.plan.options,
            )
        )
        session.paused = made.turn_id
        self.result = replace(made, approvals=waiting, state=state, stop_reason="approval")

    def _fail(self, fault: Fault, *, certain: bool = False) -> list[ev.AgentStreamChunk]:
        """End as failed. `certain`: it is known what the server has made of the last request."""
        refused = fault.status is not None and fault.status < 500
        if isinstance(self.effect, ef.Send | ef.Fetch | ef.Wait) and not certain and not refused:
            self._session.lose()
        events: list[ev.AgentEvent] = []
        if self._steps is not None:
            events += self._steps.close()
        if self._round is not None:
            events += self._round.close()
        chunks = self._told(events)
        self.failure = fault
        self.result = replace(self.result, stop_reason="failed")
        ids = self.result.response_ids
        failed = ev.TurnFailed(self.plan.turn_id, self._session.id, fault.message, fault.code, ids)
        self._over()
        return [*chunks, ev.AgentStreamChunk(failed)]

    def _over(self) -> None:
        self.effect = None
        self._session.release()

    def _told(self, events: Iterable[ev.AgentEvent]) -> list[ev.AgentStreamChunk]:
        """The events, and the results of steps kept."""
        told = list(events)
        steps = tuple(event.result for event in told if isinstance(event, ev.StepCompleted))
        if steps:
            self.result = replace(self.result, steps=(*self.result.steps, *steps))
        return [ev.AgentStreamChunk(event) for event in told]
