"""What a turn tells: events of turns and steps, and the deltas and results inside them.

Law: `turn_started segment+ (turn_completed | turn_failed)`. Every step that was started is completed before the turn
ends, whatever happens; steps are numbered by one counter over both types (`<turn_id>_step_<n>`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

StepType: TypeAlias = Literal["inference", "tool_execution"]
StopReason: TypeAlias = Literal[
    "server_tool_call", "tool_calls", "end_of_turn", "max_output_tokens", "content_filter", "approval", "failed"
]
"""Why an inference step ended; `failed` when the response did."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model made it; `arguments` is its text: JSON for functions, anything for custom tools."""

    call_id: str
    tool_name: str
    arguments: str
    tool_type: str = "function"


class ToolResponse(TypedDict):
    """What came of a call."""

    call_id: str
    tool_name: str
    content: Any
    is_error: bool
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a response, or of all responses of a turn."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """A call that an MCP server wants to make and that somebody has to allow."""

    id: str
    server_label: str
    tool_name: str
    arguments: str


# deltas


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the text."""

    text: str
    delta_type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of a refusal."""

    text: str
    delta_type: Literal["refusal"] = "refusal"


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks, or of its summary."""

    text: str
    delta_type: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class AnnotationDelta:
    """A citation of the text, as the server gives it."""

    annotation: Mapping[str, Any]
    delta_type: Literal["annotation"] = "annotation"


@dataclass(frozen=True, slots=True)
class ToolCallIssuedDelta:
    """`tool_type` is told by the type of the item, never by a name: function, custom, file_search, web_search,
    mcp_call, mcp_list_tools, code_interpreter and so on."""

    call_id: str
    tool_type: str
    tool_name: str
    arguments: str
    delta_type: Literal["tool_call_issued"] = "tool_call_issued"


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the arguments of a call."""

    call_id: str
    arguments_delta: str
    delta_type: Literal["tool_call_delta"] = "tool_call_delta"


@dataclass(frozen=True, slots=True)
class ToolCallCompletedDelta:
    """A client tool has run; `result` is what the model is told."""

    call_id: str
    tool_type: str
    tool_name: str
    result: Any
    delta_type: Literal["tool_call_completed"] = "tool_call_completed"


StepDelta: TypeAlias = (
    TextDelta
    | RefusalDelta
    | ReasoningDelta
    | AnnotationDelta
    | ToolCallIssuedDelta
    | ToolCallDelta
    | ToolCallCompletedDelta
)


# results


@dataclass(frozen=True, slots=True)
class InferenceStepResult:
    """A step of the model. `function_calls` are those that the client has to answer."""

    step_id: str
    response_id: str
    text_content: str
    function_calls: tuple[ToolCall, ...]
    stop_reason: StopReason
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ToolExecutionStepResult:
    """A step of tools: one of the server's, or all that the client was asked for, in the order of the calls."""

    step_id: str
    tool_calls: tuple[ToolCall, ...]
    tool_responses: tuple[ToolResponse, ...]


StepResult: TypeAlias = InferenceStepResult | ToolExecutionStepResult


# events


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The turn begins; it is the first event."""

    turn_id: str
    session_id: str
    event_type: Literal["turn_started"] = "turn_started"


@dataclass(frozen=True, slots=True)
class StepStarted:
    """`metadata` is None for inference, `{"server_side": False}` for client tools, and for a server's tool
    `{"server_side": True, "tool_type": ..., "tool_name": ...}`."""

    step_id: str
    step_type: StepType
    turn_id: str
    metadata: Mapping[str, Any] | None = None
    event_type: Literal["step_started"] = "step_started"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Something happens in a step that is open."""

    step_id: str
    step_type: StepType
    turn_id: str
    delta: StepDelta
    event_type: Literal["step_progress"] = "step_progress"


@dataclass(frozen=True, slots=True)
class StepCompleted:
    """A step ends."""

    step_id: str
    step_type: StepType
    turn_id: str
    result: StepResult
    event_type: Literal["step_completed"] = "step_completed"


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """Somebody has to allow a call; the step is the inference that wants it."""

    step_id: str
    turn_id: str
    approval: Approval
    event_type: Literal["approval_requested"] = "approval_requested"


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """`output` is what `output_type` made of the text, else None; `paused` says that approvals are awaited: the turn
    goes on with `resume`."""

    turn_id: str
    session_id: str
    final_text: str
    response_ids: tuple[str, ...]
    num_steps: int
    usage: Usage = field(default_factory=Usage)
    output: Any = None
    stop_reason: StopReason = "end_of_turn"
    paused: bool = False
    event_type: Literal["turn_completed"] = "turn_completed"


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn did not complete; it is the last event. No step is open."""

    turn_id: str
    session_id: str
    error_message: str
    error_code: str
    response_ids: tuple[str, ...] = ()
    event_type: Literal["turn_failed"] = "turn_failed"


AgentEvent: TypeAlias = (
    TurnStarted | StepStarted | StepProgress | StepCompleted | ApprovalRequested | TurnCompleted | TurnFailed
)


@dataclass(frozen=True, slots=True)
class AgentStreamChunk:
    """An event; with `turn_completed` also the last response as the client's library gives it."""

    event: AgentEvent
    response: Any = None
