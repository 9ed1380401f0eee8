"""Streaming events of `/v1/responses`, in the order of checklist B.2; keys in recorded order.

`sequence_number` is an event's place in the journal of its response; the journal sets it and nobody else (law 3): that
is why events alone among wire types are not frozen. Events that tell only of a phase of an item are one class: their
name is derived, `response.{item type}.{phase}` (law 11).
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from antiphon.wire.content import Annotation, LogProb, Part, SummaryText
from antiphon.wire.errors import AntiphonError
from antiphon.wire.items import Item
from antiphon.wire.responses import Response

# the response


class Created(Struct, kw_only=True, tag_field="type", tag="response.created"):
    """The response exists; always first."""

    sequence_number: int = -1
    response: Response


class Queued(Struct, kw_only=True, tag_field="type", tag="response.queued"):
    """A background response waits for its turn."""

    sequence_number: int = -1
    response: Response


class InProgress(Struct, kw_only=True, tag_field="type", tag="response.in_progress"):
    """The run has begun."""

    sequence_number: int = -1
    response: Response


class Completed(Struct, kw_only=True, tag_field="type", tag="response.completed"):
    """The end: all went well. Carries the whole response."""

    sequence_number: int = -1
    response: Response


class Incomplete(Struct, kw_only=True, tag_field="type", tag="response.incomplete"):
    """The end: a budget or a filter cut it. Carries the whole response."""

    sequence_number: int = -1
    response: Response


class Failed(Struct, kw_only=True, tag_field="type", tag="response.failed"):
    """The end: `response.error` says why. Carries the whole response."""

    sequence_number: int = -1
    response: Response


# errors: OpenAI's SSE has the flat shape, Open Responses and every WebSocket the nested one


class ErrorEvent(Struct, kw_only=True, tag_field="type", tag="error"):
    """The flat shape: the official client yields it instead of raising."""

    sequence_number: int = -1
    code: str | None
    message: str
    param: str | None = None


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """The error inside the nested shape; `code` is never null there."""

    type: str
    code: str
    message: str
    param: str | None = None
    headers: dict[str, str] | UnsetType = UNSET


class NestedErrorEvent(Struct, kw_only=True, tag_field="type", tag="error"):
    """The nested shape. `status` is the HTTP status that the error would have had (WebSocket)."""

    sequence_number: int | UnsetType = UNSET
    status: int | UnsetType = UNSET
    error: ErrorDetail
    stream_id: str | UnsetType = UNSET


# items and their parts


class OutputItemAdded(Struct, kw_only=True, tag_field="type", tag="response.output_item.added"):
    """An item opened; its place in `output` is `output_index`."""

    sequence_number: int = -1
    output_index: int
    item: Item
    response_id: str | UnsetType = UNSET


class OutputItemDone(Struct, kw_only=True, tag_field="type", tag="response.output_item.done"):
    """An item is final, as `output` will hold it."""

    sequence_number: int = -1
    output_index: int
    item: Item
    response_id: str | UnsetType = UNSET


class ContentPartAdded(Struct, kw_only=True, tag_field="type", tag="response.content_part.added"):
    """A part opened, empty."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    part: Part
    response_id: str | UnsetType = UNSET


class ContentPartDone(Struct, kw_only=True, tag_field="type", tag="response.content_part.done"):
    """A part is final."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    part: Part
    response_id: str | UnsetType = UNSET


# text and refusal


class OutputTextDelta(Struct, kw_only=True, gc=False, tag_field="type", tag="response.output_text.delta"):
    """A piece of text."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: tuple[LogProb, ...] = ()
    obfuscation: str | UnsetType = UNSET


class OutputTextDone(Struct, kw_only=True, tag_field="type", tag="response.output_text.done"):
    """The whole text of the part."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: tuple[LogProb, ...] = ()


class OutputTextAnnotationAdded(Struct, kw_only=True, tag_field="type", tag="response.output_text.annotation.added"):
    """An annotation of the text so far."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    annotation_index: int
    annotation: Annotation


class RefusalDelta(Struct, kw_only=True, gc=False, tag_field="type", tag="response.refusal.delta"):
    """A piece of a refusal."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class RefusalDone(Struct, kw_only=True, tag_field="type", tag="response.refusal.done"):
    """The whole refusal."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    refusal: str


# reasoning


class ReasoningSummaryPartAdded(Struct, kw_only=True, tag_field="type", tag="response.reasoning_summary_part.added"):
    """A part of a summary of reasoning opened, empty."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class ReasoningSummaryPartDone(Struct, kw_only=True, tag_field="type", tag="response.reasoning_summary_part.done"):
    """A part of a summary is final; `status` is there only when it was cut."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText
    status: Literal["incomplete"] | UnsetType = UNSET


class ReasoningSummaryTextDelta(
    Struct, kw_only=True, gc=False, tag_field="type", tag="response.reasoning_summary_text.delta"
):
    """A piece of a summary."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    summary_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class ReasoningSummaryTextDone(Struct, kw_only=True, tag_field="type", tag="response.reasoning_summary_text.done"):
    """The whole text of a part of a summary."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    summary_index: int
    text: str


class ReasoningTextDelta(Struct, kw_only=True, gc=False, tag_field="type", tag="response.reasoning_text.delta"):
    """A piece of the reasoning itself."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class ReasoningTextDone(Struct, kw_only=True, tag_field="type", tag="response.reasoning_text.done"):
    """The whole text of a part of the reasoning."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    content_index: int
    text: str


# what tools are called with


class FunctionCallArgumentsDelta(
    Struct, kw_only=True, gc=False, tag_field="type", tag="response.function_call_arguments.delta"
):
    """A piece of the arguments, JSON text."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class FunctionCallArgumentsDone(Struct, kw_only=True, tag_field="type", tag="response.function_call_arguments.done"):
    """The whole arguments; `name` is the function."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    name: str
    arguments: str


class CustomToolCallInputDelta(
    Struct, kw_only=True, gc=False, tag_field="type", tag="response.custom_tool_call_input.delta"
):
    """A piece of the input of a custom tool."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class CustomToolCallInputDone(Struct, kw_only=True, tag_field="type", tag="response.custom_tool_call_input.done"):
    """The whole input of a custom tool."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    input: str


class CodeInterpreterCallCodeDelta(
    Struct, kw_only=True, gc=False, tag_field="type", tag="response.code_interpreter_call_code.delta"
):
    """A piece of the code."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class CodeInterpreterCallCodeDone(
    Struct, kw_only=True, tag_field="type", tag="response.code_interpreter_call_code.done"
):
    """The whole code."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    code: str


class ImageGenerationCallPartialImage(
    Struct, kw_only=True, tag_field="type", tag="response.image_generation_call.partial_image"
):
    """An image on its way, base64."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    partial_image_index: int
    partial_image_b64: str
    size: str | UnsetType = UNSET
    quality: str | UnsetType = UNSET
    background: str | UnsetType = UNSET
    output_format: str | UnsetType = UNSET


class McpCallArgumentsDelta(Struct, kw_only=True, gc=False, tag_field="type", tag="response.mcp_call_arguments.delta"):
    """A piece of the arguments of an MCP call, JSON text."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class McpCallArgumentsDone(Struct, kw_only=True, tag_field="type", tag="response.mcp_call_arguments.done"):
    """The whole arguments of an MCP call."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    arguments: str


# the shell: its commands carry no item_id


class ShellCallCommandAdded(Struct, kw_only=True, tag_field="type", tag="response.shell_call_command.added"):
    """A command of a shell call opened."""

    sequence_number: int = -1
    output_index: int
    command_index: int
    command: str


class ShellCallCommandDelta(Struct, kw_only=True, tag_field="type", tag="response.shell_call_command.delta"):
    """A piece of a command."""

    sequence_number: int = -1
    output_index: int
    command_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class ShellCallCommandDone(Struct, kw_only=True, tag_field="type", tag="response.shell_call_command.done"):
    """The whole command."""

    sequence_number: int = -1
    output_index: int
    command_index: int
    command: str


class ShellOutputPiece(Struct, frozen=True, kw_only=True):
    """What a command wrote since the last piece."""

    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET


class ShellCallOutputContentDelta(
    Struct, kw_only=True, tag_field="type", tag="response.shell_call_output_content.delta"
):
    """A piece of what a command wrote."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    command_index: int
    delta: ShellOutputPiece


class ShellCallOutputContentDone(Struct, kw_only=True, tag_field="type", tag="response.shell_call_output_content.done"):
    """All that a command wrote, and how it ended."""

    sequence_number: int = -1
    item_id: str
    output_index: int
    command_index: int
    output: tuple[dict[str, Any], ...]


# audio: the OpenAPI document wants response_id, the official client does not know it


class AudioDelta(Struct, kw_only=True, tag_field="type", tag="response.audio.delta"):
    """A piece of audio, base64."""

    sequence_number: int = -1
    delta: str
    response_id: str | UnsetType = UNSET


class AudioDone(Struct, kw_only=True, tag_field="type", tag="response.audio.done"):
    """The audio is whole."""

    sequence_number: int = -1
    response_id: str | UnsetType = UNSET


class AudioTranscriptDelta(Struct, kw_only=True, tag_field="type", tag="response.audio.transcript.delta"):
    """A piece of the transcript."""

    sequence_number: int = -1
    delta: str
    response_id: str | UnsetType = UNSET


class AudioTranscriptDone(Struct, kw_only=True, tag_field="type", tag="response.audio.transcript.done"):
    """The transcript is whole."""

    sequence_number: int = -1
    response_id: str | UnsetType = UNSET


# injected input (WebSocket, beta)


class InjectCreated(Struct, kw_only=True, tag_field="type", tag="response.inject.created"):
    """The injected input was taken."""

    sequence_number: int = -1
    response_id: str


class InjectFailed(Struct, kw_only=True, tag_field="type", tag="response.inject.failed"):
    """The injected input was refused and comes back."""

    sequence_number: int = -1
    response_id: str
    error: dict[str, str]
    input: tuple[Item, ...] = ()


# phases


class PhaseEvent(Struct, kw_only=True, gc=False):
    """An item entered a phase, and that is all. Made by `phase`."""

    type: str
    sequence_number: int = -1
    item_id: str
    output_index: int


class PhaseType(Protocol):
    """The events of one phase of one item type; called like an event class."""

    def __call__(self, *, item_id: str, output_index: int) -> PhaseEvent:
        """The event; the journal numbers it."""
        ...


PHASES = {
    "file_search_call": ("in_progress", "searching", "completed"),
    "web_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "mcp_call": ("in_progress", "completed", "failed"),
}
"""The phases that OpenAI's clients know; an extension's item type may have any."""


def phase_name(item_type: str, phase: str) -> str:
    """`response.{item type}.{phase}`; an extension's events carry its prefix in front, as Open Responses asks:
    `antiphon:lookup_call` + `searching` is `antiphon:lookup_call.searching`."""
    return f"{item_type}.{phase}" if ":" in item_type else f"response.{item_type}.{phase}"


def phase(item_type: str, phase: str) -> PhaseType:
    """The event class of this phase; raises ValueError for a phase that a known item type does not have."""
    known = PHASES.get(item_type)
    if known is not None and phase not in known:
        raise ValueError(f"no event tells that a {item_type} is {phase}; there are {', '.join(known)}")
    name = phase_name(item_type, phase)

    def event(*, item_id: str, output_index: int) -> PhaseEvent:
        return PhaseEvent(type=name, item_id=item_id, output_index=output_index)

    return event


Lifecycle: TypeAlias = Created | Queued | InProgress | Completed | Incomplete | Failed
Terminal: TypeAlias = Completed | Incomplete | Failed

Event: TypeAlias = (
    Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | ErrorEvent
    | NestedErrorEvent
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | OutputTextAnnotationAdded
    | RefusalDelta
    | RefusalDone
    | ReasoningSummaryPartAdded
    | ReasoningSummaryPartDone
    | ReasoningSummaryTextDelta
    | ReasoningSummaryTextDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
    | CustomToolCallInputDelta
    | CustomToolCallInputDone
    | CodeInterpreterCallCodeDelta
    | CodeInterpreterCallCodeDone
    | ImageGenerationCallPartialImage
    | McpCallArgumentsDelta
    | McpCallArgumentsDone
    | ShellCallCommandAdded
    | ShellCallCommandDelta
    | ShellCallCommandDone
    | ShellCallOutputContentDelta
    | ShellCallOutputContentDone
    | AudioDelta
    | AudioDone
    | AudioTranscriptDelta
    | AudioTranscriptDone
    | InjectCreated
    | InjectFailed
    | PhaseEvent
)


def event_type(event: Event) -> str:
    """The event's `type`."""
    return event.type if isinstance(event, PhaseEvent) else str(event.__struct_config__.tag)


def error_event(error: AntiphonError) -> ErrorEvent:
    """The flat shape of an error (SSE)."""
    return ErrorEvent(code=error.code, message=error.message, param=error.param)


def nested_error_event(error: AntiphonError, stream_id: str | UnsetType = UNSET) -> NestedErrorEvent:
    """The nested shape of an error with its status (WebSocket)."""
    detail = ErrorDetail(type=error.type, code=error.code or error.type, message=error.message, param=error.param)
    return NestedErrorEvent(status=error.http_status, error=detail, stream_id=stream_id)
