"""The stream of one response as steps: who is thinking, and who is working.

Law: `response := inference (server_tool inference)*`. Steps are keyed by item id and output index, so that tools of the
server may run side by side; what a stream leaves out (`created`, deltas, `added`, `done`) is made good from what it
does say, and what is not known is passed over. A step that was started is completed by `close` at the latest.
"""

from __future__ import annotations

from typing import Any

from antiphon.agent import events as ev
from antiphon.agent.fields import field as get
from antiphon.agent.fields import mapped, members, number, text
from antiphon.agent.items import APPROVAL, CLIENT, approval_of, call_of, is_server_tool, result_of
from antiphon.agent.slots import ARGUMENTS, ENDS, SAID, WHOLE, Pieces, Slot, error_of, lost, usage_of


class Steps:
    """Hears the events of a response and tells those of its steps.

    `ended` is how the response ended (`completed`, `incomplete`, `failed`; "" while it has not), `output` its finished
    items, `response` the last object of the client's library, `sequence` the last sequence number.
    """

    def __init__(self, turn_id: str, first: int, *, collapse: bool = False) -> None:
        self.next = first
        self.ended = ""
        self.response: Any = None
        self.response_id = ""
        self.sequence: int | None = None
        self.usage = ev.Usage()
        self.error: tuple[str, str] = ("", "")
        self._turn_id = turn_id
        self._first = first
        self._collapse = collapse
        self._begun = False
        self._step_id = ""  # of the inference step that is open
        self._said: list[str] = []
        self._calls: list[Slot] = []  # whole, and not in the result of a step yet
        self._slots: list[Slot] = []
        self._told: list[ev.AgentEvent] = []

    @property
    def heard(self) -> bool:
        """Whether anything came of the response."""
        return self._begun

    @property
    def output(self) -> list[Any]:
        """The finished items, in the order of the output."""
        done = [slot for slot in self._slots if slot.item is not None]
        return [slot.item for slot in sorted(done, key=lambda slot: len(done) if slot.index is None else slot.index)]

    @property
    def calls(self) -> tuple[ev.ToolCall, ...]:
        """The calls that the client has to answer: all of the response that are not answered in it."""
        answered = {text(item, "call_id") for item in self.output if text(item, "type").endswith("_output")}
        items = [item for item in self.output if text(item, "type") in CLIENT]
        return tuple(call for item in items if (call := call_of(item)).call_id not in answered)

    @property
    def text(self) -> str:
        """What the response says to the user."""
        return self._spoken("output_text", "text")

    @property
    def refusal(self) -> str:
        """Why it says nothing, if it refuses."""
        return self._spoken("refusal", "refusal")

    def _spoken(self, kind: str, name: str) -> str:
        messages = [item for item in self.output if text(item, "type") == "message"]
        parts = [part for item in messages for part in members(item, "content")]
        return "".join(text(part, name) for part in parts if text(part, "type") == kind)

    @property
    def stop_reason(self) -> ev.StopReason:
        """Why the response ended."""
        if self.ended == "incomplete":
            filtered = text(get(self.response, "incomplete_details"), "reason") == "content_filter"
            return "content_filter" if filtered else "max_output_tokens"
        if self.ended != "completed":
            return "failed"
        if self.calls:
            return "tool_calls"
        return "approval" if any(slot.kind == APPROVAL for slot in self._slots) else "end_of_turn"

    # what comes in

    def hear(self, event: object) -> list[ev.AgentEvent]:
        """Take an event of the stream; those of the turn that it makes. Nothing is heard after the end."""
        kind = text(event, "type")
        if self.ended or not kind:
            return []
        sequence = number(event, "sequence_number")
        self.sequence = self.sequence if sequence is None else sequence
        response = get(event, "response")
        if response is not None:
            self.response = response
        self.response_id = self.response_id or text(response, "id") or text(event, "response_id")
        if kind != "error" and kind.startswith("response."):
            self._begin()
        self._take(kind, event)
        return self._flush()

    def close(self) -> list[ev.AgentEvent]:
        """Complete every open step: nothing more will come."""
        self._close()
        return self._flush()

    def _flush(self) -> list[ev.AgentEvent]:
        told, self._told = self._told, []
        return told

    def _take(self, kind: str, event: object) -> None:
        if kind in ENDS:
            self._end(ENDS[kind], event)
        elif kind in SAID:
            name, made = SAID[kind]
            place = number(event, "content_index") or number(event, "summary_index") or 0
            self._say(self._slot(event), name, place, made(text(event, "delta")))
        elif kind in ARGUMENTS:
            self._write(self._slot(event), text(event, "delta"))
        elif kind == "response.output_text.annotation.added":
            self._annotate(self._slot(event), number(event, "content_index") or 0, get(event, "annotation"))
        elif kind == "response.output_text.done":
            self._rest(
                self._slot(event), "text", number(event, "content_index") or 0, text(event, "text"), ev.TextDelta
            )
        elif kind in {"response.output_item.added", "response.output_item.done"}:
            self._place(event, done=kind.endswith("done"))

    def _place(self, event: object, *, done: bool) -> None:
        """An item begins or ends."""
        item = get(event, "item")
        if item is None:
            return
        slot = self._slot(event, item)
        if slot.item is None:
            self._open(slot, item)
            if done:
                self._finish(slot, item)

    def _slot(self, event: object, item: object = None) -> Slot:
        """The item that the event speaks of: by its id, else by its place; a new one where none is known."""
        item_id = text(item, "id") or text(event, "item_id")
        index, kind = number(event, "output_index"), text(item, "type")
        for slot in self._slots:
            if item_id and slot.item_id == item_id:
                return slot
        for slot in self._slots:
            same = not kind or not slot.kind or slot.kind == kind
            if index is not None and slot.index == index and slot.item is None and same:
                return slot
        slot = Slot(kind, item_id, index)
        self._slots.append(slot)
        return slot

    # what goes out

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            if not self._collapse:
                self._infer()

    def _infer(self) -> str:
        """The inference step that is open; a new one where there is none."""
        if not self._step_id:
            self._step_id = self._number()
            self._said = []
            self._told.append(ev.StepStarted(self._step_id, "inference", self._turn_id))
        return self._step_id

    def _number(self) -> str:
        step_id = f"{self._turn_id}_step_{self.next}"
        self.next += 1
        return step_id

    def _progress(self, delta: ev.StepDelta) -> None:
        self._told.append(ev.StepProgress(self._infer(), "inference", self._turn_id, delta))

    def _conclude(self, reason: ev.StopReason, usage: ev.Usage | None) -> None:
        """Complete the inference step. A call that is still being written belongs to a later one."""
        whole = sorted(self._calls, key=self._slots.index)
        calls = tuple(slot.call for slot in whole if slot.call is not None)
        result = ev.InferenceStepResult(self._infer(), self.response_id, "".join(self._said), calls, reason, usage)
        self._told.append(ev.StepCompleted(self._step_id, "inference", self._turn_id, result))
        self._step_id, self._calls = "", []

    def _say(self, slot: Slot, kind: str, place: int, delta: ev.StepDelta) -> None:
        assert isinstance(delta, ev.TextDelta | ev.RefusalDelta | ev.ReasoningDelta)
        if delta.text:
            slot.told[kind, place] = slot.told.get((kind, place), "") + delta.text
            self._progress(delta)
            if kind == "text":
                self._said.append(delta.text)

    def _rest(self, slot: Slot, kind: str, place: int, whole: str, made: Pieces) -> None:
        """What of a whole text no delta has told."""
        told = slot.told.get((kind, place), "")
        if whole.startswith(told):
            self._say(slot, kind, place, made(whole[len(told) :]))

    def _annotate(self, slot: Slot, place: int, annotation: object) -> None:
        slot.annotated[place] = slot.annotated.get(place, 0) + 1
        self._progress(ev.AnnotationDelta(mapped(annotation)))

    def _write(self, slot: Slot, piece: str) -> None:
        """A piece of the arguments of a call."""
        if not piece or slot.call is None:
            return
        delta = ev.ToolCallDelta(slot.call.call_id, piece)
        if slot.step_id:
            self._told.append(ev.StepProgress(slot.step_id, "tool_execution", self._turn_id, delta))
        elif slot.kind in CLIENT:
            self._progress(delta)

    def _open(self, slot: Slot, item: object) -> None:
        """An item is announced (or has come whole, and is announced with that)."""
        slot.kind, slot.item_id = text(item, "type"), text(item, "id") or slot.item_id
        if slot.call is not None or not (slot.kind in CLIENT or is_server_tool(slot.kind)):
            return
        slot.call = call = call_of(item)
        issued = ev.ToolCallIssuedDelta(call.call_id, call.tool_type, call.tool_name, call.arguments)
        if slot.kind in CLIENT:
            self._progress(issued)
            return
        if self._step_id:
            self._conclude("server_tool_call", None)
        slot.step_id = self._number()
        metadata = {"server_side": True, "tool_type": call.tool_type, "tool_name": call.tool_name}
        self._told.append(ev.StepStarted(slot.step_id, "tool_execution", self._turn_id, metadata))
        self._told.append(ev.StepProgress(slot.step_id, "tool_execution", self._turn_id, issued))

    def _finish(self, slot: Slot, item: object) -> None:
        """An item is whole."""
        slot.item = item
        if slot.step_id:
            self._settle(slot, item)
            if not self._collapse and not self._working:
                self._infer()
        elif slot.kind in CLIENT:
            slot.call = call_of(item)
            self._calls.append(slot)
        elif slot.kind == APPROVAL:
            self._told.append(ev.ApprovalRequested(self._infer(), self._turn_id, approval_of(item)))
        elif slot.kind in {"message", "reasoning"}:
            self._complete(slot, item)

    @property
    def _working(self) -> bool:
        return any(slot.step_id for slot in self._slots)

    def _complete(self, slot: Slot, item: object) -> None:
        """Tell what no delta has told of a message or a thought."""
        parts = [*enumerate(members(item, "summary")), *enumerate(members(item, "content"))]
        for place, part in parts:
            if (known := WHOLE.get(text(part, "type"))) is not None:
                name, made = known
                self._rest(slot, name, place, text(part, "refusal" if name == "refusal" else "text"), made)
            for annotation in members(part, "annotations")[slot.annotated.get(place, 0) :]:
                self._annotate(slot, place, annotation)

    def _settle(self, slot: Slot, item: object) -> None:
        """Complete the step of a server's tool; without its item, as one of which nothing is known."""
        assert slot.call is not None
        call = slot.call if item is None else call_of(item)
        response = result_of(item if item is not None else lost(call))
        result = ev.ToolExecutionStepResult(slot.step_id, (call,), (response,))
        self._told.append(ev.StepCompleted(slot.step_id, "tool_execution", self._turn_id, result))
        slot.step_id = ""

    def _drop(self) -> None:
        """Complete the steps of tools that never ended."""
        for slot in self._slots:
            if slot.step_id:
                self._settle(slot, None)

    def _close(self) -> None:
        self._drop()
        if self._step_id:
            self._conclude("failed", None)
        self.ended = self.ended or "failed"

    def _end(self, how: str, event: object) -> None:
        """The response is over: completed, incomplete or failed."""
        if how == "failed":
            self.error = error_of(event)
            self.usage = usage_of(get(self.response, "usage"))
            self._close()
            return
        known = {(slot.index, slot.kind) for slot in self._slots if slot.item is not None}
        for index, item in enumerate(members(self.response, "output")):
            if (index, text(item, "type")) not in known:
                self._place({"item": item, "output_index": index}, done=True)
        if self._working:
            self._drop()
            if not self._collapse:
                self._infer()
        self.ended = how
        self.usage = usage_of(get(self.response, "usage"))
        if self._step_id or self._calls or self.next == self._first:
            self._infer()
            self._conclude(self.stop_reason, self.usage)
