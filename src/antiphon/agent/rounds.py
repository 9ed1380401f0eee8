"""One round of the client's tools: the calls of a response, run side by side, and what came of them.

Law: outputs stand in the order of the calls, whatever order they come in; a call that never ended says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.agent.content import ToolOutput
from antiphon.agent.events import (
    AgentEvent,
    StepCompleted,
    StepProgress,
    StepStarted,
    ToolCall,
    ToolCallCompletedDelta,
    ToolExecutionStepResult,
    ToolResponse,
)
from antiphon.agent.items import ABANDONED


class Round:
    """The step of a round. `complete`: every call has its output."""

    def __init__(self, turn_id: str, step_id: str, calls: Sequence[ToolCall]) -> None:
        self.calls = tuple(calls)
        self._turn_id = turn_id
        self._step_id = step_id
        self._outputs: dict[int, ToolOutput] = {}
        self._closed = False

    @property
    def complete(self) -> bool:
        """Whether nothing is awaited any more."""
        return len(self._outputs) == len(self.calls)

    def begin(self) -> list[AgentEvent]:
        """The step begins."""
        return [StepStarted(self._step_id, "tool_execution", self._turn_id, {"server_side": False})]

    def done(self, call: ToolCall, output: ToolOutput) -> list[AgentEvent]:
        """A call has ended; none ends twice."""
        for place, known in enumerate(self.calls):
            if known == call and place not in self._outputs:
                self._outputs[place] = output
                delta = ToolCallCompletedDelta(call.call_id, call.tool_type, call.tool_name, output.content)
                return [StepProgress(self._step_id, "tool_execution", self._turn_id, delta)]
        return []

    def close(self) -> list[AgentEvent]:
        """The step ends, once."""
        if self._closed:
            return []
        self._closed = True
        result = ToolExecutionStepResult(self._step_id, self.calls, tuple(map(self._response, range(len(self.calls)))))
        return [StepCompleted(self._step_id, "tool_execution", self._turn_id, result)]

    def _response(self, place: int) -> ToolResponse:
        call, output = self.calls[place], self._outputs.get(place, ToolOutput(ABANDONED, is_error=True))
        return ToolResponse(
            call_id=call.call_id,
            tool_name=call.tool_name,
            content=output.content,
            is_error=output.is_error,
            metadata=output.metadata,
        )
