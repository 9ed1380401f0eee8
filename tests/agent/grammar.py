"""The grammar of a turn, checked on its chunks by somebody who does not know how they were made.

turn      := turn_started segment* (turn_completed | turn_failed)
segment   := response [client_tools]       client_tools: exactly the calls of the response that are not answered yet
response  := inference (server_tool+ inference)*
inference := step_started(inference) progress* step_completed(inference)

Steps of the server's tools may overlap each other, for tools run in parallel, and what the model says while they run is
an inference step beside them; nothing else overlaps. A failed turn may break off anywhere, but never with a step open,
and a call of its last response may be left without a tools step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    AnnotationDelta,
    ApprovalRequested,
    InferenceStepResult,
    ReasoningDelta,
    RefusalDelta,
    StepCompleted,
    StepDelta,
    StepProgress,
    StepStarted,
    TextDelta,
    ToolCall,
    ToolCallCompletedDelta,
    ToolCallDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
)

CLIENT: Final = {"function", "custom", "shell", "local_shell", "apply_patch"}
"""The types of calls that the client answers."""
STOPS: Final = {
    "server_tool_call",
    "tool_calls",
    "end_of_turn",
    "max_output_tokens",
    "content_filter",
    "approval",
    "failed",
}


class _Step:
    """A step that is open: what it has told."""

    def __init__(self, event: StepStarted) -> None:
        self.id = event.step_id
        self.type = event.step_type
        self.metadata = event.metadata
        self.text = ""
        self.issued: dict[str, ToolCallIssuedDelta] = {}
        self.deltas: dict[str, str] = {}
        self.completed: list[str] = []
        self.beside = False
        self.told = 0

    @property
    def side(self) -> str:
        """`inference`, `server` or `client`."""
        if self.type == "inference":
            return "inference"
        return "server" if self.metadata is not None and self.metadata["server_side"] else "client"


class _Turn:
    def __init__(self, first: AgentEvent, resumed: int | None) -> None:
        assert isinstance(first, TurnStarted), f"a turn begins with {type(first).__name__}"
        assert re.fullmatch(r"turn_[0-9a-f]{12}", first.turn_id), first.turn_id
        self.id = first.turn_id
        self.session_id = first.session_id
        self.resumed = resumed is not None
        self.steps = resumed or 0
        self.open: dict[str, _Step] = {}
        self.pending: list[ToolCall] = []
        """Calls of the response that goes on, in its order."""
        self.last = "" if resumed is None else "inference"
        self.stop = ""
        self.responses: list[str] = []
        self.approvals: list[str] = []
        self.usage = Usage()
        self.issued: dict[str, ToolCallIssuedDelta] = {}
        """Calls of the client that are in no result yet."""
        self.abandoned = False
        """Whether there are calls that were not waited for: the turn fails."""
        self.unnamed = False
        """Whether the server has not said yet which response this is."""
        self.collapsed = False

    def see(self, event: AgentEvent) -> None:
        assert event.turn_id == self.id
        assert not self.abandoned, "it goes on"
        if isinstance(event, StepStarted):
            self.started(event)
        elif isinstance(event, StepProgress):
            self.progressed(event)
        elif isinstance(event, StepCompleted):
            self.completed(event)
        else:
            assert isinstance(event, ApprovalRequested), f"{type(event).__name__} within a turn"
            assert event.step_id in self.open, "an approval outside its step"
            assert event.approval.id
            self.approvals.append(event.approval.id)

    def started(self, event: StepStarted) -> None:
        assert event.step_id == f"{self.id}_step_{self.steps}", (event.step_id, self.steps)
        step = self.open[event.step_id] = _Step(event)
        self.steps += 1
        others = {other.side for other in self.open.values() if other is not step}
        self._follows(step, others, event.metadata)
        self.last = step.side

    def _follows(self, step: _Step, others: set[str], metadata: Mapping[str, Any] | None) -> None:
        """Whether it may begin now, beside these others."""
        if step.side == "inference":
            assert others <= {"server"}, f"an inference step beside {others}"
            step.beside = bool(others)
            assert metadata is None
            assert self.collapsed or self.last != "inference" or not self.stop.startswith("server"), "two in a row"
            return
        assert metadata is not None
        if step.side == "client":
            assert not others, f"tools of the client beside {others}"
            assert metadata == {"server_side": False}
            assert self.pending, "tools without calls"
            assert self.collapsed or self.last == "inference", f"tools of the client after {self.last}"
            return
        assert others <= {"server"}, f"a tool of the server beside {others}"
        assert set(metadata) == {"server_side", "tool_type", "tool_name"}, metadata
        assert metadata["tool_type"] not in CLIENT
        assert self.collapsed or self.last in {"inference", "server"}, f"a tool of the server after {self.last!r}"

    def progressed(self, event: StepProgress) -> None:
        step = self.open[event.step_id]
        assert event.step_type == step.type
        delta = event.delta
        step.told += 1
        if step.side == "inference":
            _think(step, delta, {*self.issued})
        else:
            self._work(step, delta)

    def _work(self, step: _Step, delta: StepDelta) -> None:
        if isinstance(delta, ToolCallIssuedDelta):
            assert step.side == "server"
            assert not step.issued, "two calls in a step of the server"
            assert step.metadata is not None
            assert (delta.tool_type, delta.tool_name) == (step.metadata["tool_type"], step.metadata["tool_name"])
            step.issued[delta.call_id] = delta
        elif isinstance(delta, ToolCallDelta):
            assert delta.call_id in step.issued
        else:
            assert isinstance(delta, ToolCallCompletedDelta), f"{type(delta).__name__} while tools run"
            known = step.issued if step.side == "server" else {call.call_id for call in self.pending}
            assert delta.call_id in known
            assert delta.call_id not in step.completed
            step.completed.append(delta.call_id)

    def completed(self, event: StepCompleted) -> None:
        step = self.open.pop(event.step_id)
        assert event.step_type == step.type
        assert event.result.step_id == step.id
        if isinstance(event.result, InferenceStepResult):
            assert step.side == "inference"
            self._thought(step, event.result)
        else:
            assert step.side != "inference"
            self._worked(step, event.result)

    def _thought(self, step: _Step, result: InferenceStepResult) -> None:
        assert step.told or not step.beside, "nothing was said beside the tools"
        assert result.text_content == step.text, "the text is not what was told"
        assert result.stop_reason in STOPS
        calls = {call.call_id: call for call in result.function_calls}
        assert len(calls) == len(result.function_calls), "a call twice"
        self.issued |= step.issued
        assert list(calls) == [call_id for call_id in self.issued if call_id in calls], "calls out of order"
        for call_id, call in calls.items():
            issued = self.issued.pop(call_id)
            assert (call.tool_type, call.tool_name) == (issued.tool_type, issued.tool_name)
            assert call.tool_type in CLIENT
        if result.response_id and result.response_id not in self.responses:
            if self.responses and not self.unnamed:
                assert not self.pending, f"a new response, and calls without an answer: {self.pending}"
            self.responses.append(result.response_id)
        self.unnamed = not result.response_id
        self.pending.extend(result.function_calls)
        if result.usage is not None:
            self.usage += result.usage
        self.stop = result.stop_reason

    def _worked(self, step: _Step, result: ToolExecutionStepResult) -> None:
        called = [call.call_id for call in result.tool_calls]
        answered = [response["call_id"] for response in result.tool_responses]
        assert called == answered, "outputs are not in the order of the calls"
        for call, response in zip(result.tool_calls, result.tool_responses, strict=True):
            assert response["tool_name"] == call.tool_name
            assert set(response) == {"call_id", "tool_name", "content", "is_error", "metadata"}
        if step.side == "client":
            made = sorted(self.pending, key=lambda call: call.call_id)
            assert sorted(result.tool_calls, key=lambda call: call.call_id) == made, "the calls run are not those made"
            left = [answer for answer in result.tool_responses if answer["call_id"] not in step.completed]
            assert all(answer["is_error"] for answer in left), "a call without its completion"
            self.abandoned = bool(left)
            self.pending = []
            return
        assert called == list(step.issued), "a step of the server is one call"
        assert step.completed in ([], called)

    def ended(self, event: AgentEvent) -> None:
        assert not self.open, f"never completed: {list(self.open)}"
        assert isinstance(event, TurnCompleted | TurnFailed)
        assert (event.turn_id, event.session_id) == (self.id, self.session_id)
        if isinstance(event, TurnFailed):
            assert event.error_message
            assert event.error_code
            assert len(set(event.response_ids)) == len(event.response_ids)
            assert set(self.responses) <= set(event.response_ids)
            return
        assert not self.abandoned, "calls were not waited for"
        assert event.num_steps == self.steps
        assert self.collapsed or self.resumed or event.response_ids == tuple(self.responses)
        assert event.stop_reason in STOPS - {"server_tool_call", "failed"}
        assert event.paused == (event.stop_reason == "approval")
        if not event.paused:
            assert event.stop_reason == self.stop or self.collapsed
            cut = event.stop_reason in {"max_output_tokens", "content_filter"}
            assert cut or not self.pending, f"calls without an answer: {self.pending}"
        elif not self.resumed:
            assert self.approvals


def _think(step: _Step, delta: StepDelta, before: set[str]) -> None:
    """Something is said; `before`: the calls that an earlier step has issued and that are still being written."""
    if isinstance(delta, TextDelta):
        assert delta.text
        step.text += delta.text
    elif isinstance(delta, ToolCallIssuedDelta):
        assert delta.tool_type in CLIENT, f"{delta.tool_type} in an inference step"
        assert delta.call_id not in step.issued, f"issued twice: {delta.call_id}"
        step.issued[delta.call_id] = delta
    elif isinstance(delta, ToolCallDelta):
        assert delta.call_id in {*step.issued, *before}, "arguments of no call"
    else:
        assert isinstance(delta, RefusalDelta | ReasoningDelta | AnnotationDelta), type(delta).__name__


def check(chunks: Sequence[AgentStreamChunk], *, collapsed: bool = False, resumed: int | None = None) -> None:
    """Assert that these are one whole turn.

    `collapsed`: empty inference steps were left out. `resumed`: it goes on with a turn of so many steps.
    """
    events = [chunk.event for chunk in chunks]
    assert len(events) >= 2, "no turn"
    turn = _Turn(events[0], resumed)
    turn.collapsed = collapsed
    for event in events[1:-1]:
        turn.see(event)
    turn.ended(events[-1])
    for chunk in chunks[:-1]:
        assert chunk.response is None, "a response before the end"
    if isinstance(events[-1], TurnFailed):
        assert chunks[-1].response is None
    else:
        assert chunks[-1].response is not None


def failed(chunks: Sequence[AgentStreamChunk]) -> TurnFailed | None:
    """The failure in which it ended, if it did."""
    last = chunks[-1].event
    return last if isinstance(last, TurnFailed) else None


def shape(chunks: Sequence[AgentStreamChunk]) -> list[str]:
    """The turn at a glance: its events and steps, without deltas."""
    told: list[str] = []
    for event in (chunk.event for chunk in chunks):
        if isinstance(event, StepStarted):
            side = "" if event.metadata is None else " server" if event.metadata["server_side"] else " client"
            told.append(f"{event.step_type}{side}")
        elif not isinstance(event, StepProgress | StepCompleted):
            told.append(event.event_type)
    return told


def canonical(chunks: Sequence[AgentStreamChunk]) -> list[str]:
    """The chunks as text, the random part of their ids left out: equal for equal turns. Tools that run side by side
    end in any order; here they end in one."""
    first = chunks[0].event
    assert isinstance(first, TurnStarted)
    told: list[str] = []
    ended: list[str] = []
    for chunk in chunks:
        text = f"{chunk.event!r} {chunk.response is not None}"
        text = text.replace(first.turn_id, "turn").replace(first.session_id, "session")
        if isinstance(chunk.event, StepProgress) and isinstance(chunk.event.delta, ToolCallCompletedDelta):
            ended.append(text)
            continue
        told += [*sorted(ended), text]
        ended = []
    return told


def arguments_of(chunks: Sequence[AgentStreamChunk]) -> dict[str, object]:
    """The arguments of all calls of functions that were told, by call id."""
    calls = [
        call
        for chunk in chunks
        if isinstance(chunk.event, StepCompleted) and isinstance(chunk.event.result, InferenceStepResult)
        for call in chunk.event.result.function_calls
    ]
    return {call.call_id: json.loads(call.arguments) for call in calls if call.tool_type == "function"}
