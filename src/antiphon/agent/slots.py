"""One output item of a response while it is streamed, and the words in which streams speak of items.

Law: a table tells what an event or a part is; what is in no table is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from antiphon.agent.events import ReasoningDelta, RefusalDelta, TextDelta, ToolCall, Usage
from antiphon.agent.fields import Json, number, text
from antiphon.agent.fields import field as get

Pieces: TypeAlias = Callable[[str], TextDelta | RefusalDelta | ReasoningDelta]

SAID: Final[Mapping[str, tuple[str, Pieces]]] = {
    "response.output_text.delta": ("text", TextDelta),
    "response.refusal.delta": ("refusal", RefusalDelta),
    "response.reasoning_text.delta": ("reasoning", ReasoningDelta),
    "response.reasoning.delta": ("reasoning", ReasoningDelta),
    "response.reasoning_summary_text.delta": ("summary", ReasoningDelta),
}
"""Pieces of what the model says: their kind, and the delta that tells them."""
WHOLE: Final[Mapping[str, tuple[str, Pieces]]] = {
    "output_text": ("text", TextDelta),
    "refusal": ("refusal", RefusalDelta),
    "reasoning_text": ("reasoning", ReasoningDelta),
    "summary_text": ("summary", ReasoningDelta),
}
"""The same for the parts of whole items."""
ARGUMENTS: Final = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
)
ENDS: Final = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "failed",
    "error": "failed",
}


@dataclass(slots=True, eq=False)
class Slot:
    """One output item: what was told of it so far. `step_id` is that of a server tool's own step while it is open."""

    kind: str
    item_id: str
    index: int | None
    call: ToolCall | None = None
    step_id: str = ""
    told: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    annotated: dict[int, int] = field(default_factory=dict[int, int])
    item: Any = None


def lost(call: ToolCall | None) -> Json:
    """The item of a server's call that never ended."""
    assert call is not None
    kind = call.tool_type if call.tool_type in {"mcp_call", "mcp_list_tools"} else f"{call.tool_type}_call"
    words = "The response ended before this call did."
    return {"type": kind, "id": call.call_id, "name": call.tool_name, "status": "incomplete", "error": words}


def error_of(event: object) -> tuple[str, str]:
    """Message and code of a failure: flat in the `error` event, nested there too, or in the response."""
    response = get(event, "response")
    found = get(response, "error") or get(event, "error") or event
    words = text(found, "message") or "The response failed."
    if text(event, "type") == "response.cancelled" or text(response, "status") == "cancelled":
        return "The response was cancelled.", "cancelled"
    return words, text(found, "code") or "server_error"


def usage_of(found: object) -> Usage:
    """The tokens of a response."""
    return Usage(
        number(found, "input_tokens") or 0,
        number(found, "output_tokens") or 0,
        number(get(found, "input_tokens_details"), "cached_tokens") or 0,
        number(get(found, "output_tokens_details"), "reasoning_tokens") or 0,
    )
