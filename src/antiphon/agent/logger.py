"""What a turn tells, for a terminal: plain strings to print, or live panels.

Law: a chunk is told once, in the order in which it comes; a logger may be fed a whole turn or chunk by chunk.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from antiphon.agent.errors import ConfigurationError
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
    StepResult,
    StepStarted,
    TextDelta,
    ToolExecutionStepResult,
    ToolResponse,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)

if TYPE_CHECKING:
    from antiphon.agent.panels import Panels

SHOWN: Final = 100
"""Characters of a tool's result."""


class AgentEventLogger:
    """Tells turns. `log` gives strings that are printed with `end=""`; with `rich=True` it draws panels itself and
    gives none.

    Raises ConfigurationError if `rich` is wanted and not installed.
    """

    def __init__(self, *, rich: bool = False) -> None:
        self._panels = _panels() if rich else None
        self._lines = _Lines()

    def log(self, chunks: Iterable[AgentStreamChunk]) -> Iterator[str]:
        """The strings for these chunks, as they come: a whole turn, or `[chunk]` again and again."""
        for chunk in chunks:
            yield from self._told(chunk)

    async def alog(self, chunks: AsyncIterable[AgentStreamChunk] | Iterable[AgentStreamChunk]) -> AsyncIterator[str]:
        """The same for the chunks of an AsyncAgent."""
        if isinstance(chunks, AsyncIterable):
            async for chunk in chunks:
                for line in self._told(chunk):
                    yield line
        else:
            for line in self.log(chunks):
                yield line

    def _told(self, chunk: AgentStreamChunk) -> Iterator[str]:
        if self._panels is None:
            return self._lines.told(chunk.event)
        self._panels.show(chunk)
        return iter(())


EventLogger = AgentEventLogger


class _Lines:
    """The plain form. It remembers which calls it has told, and whether the last text was reasoning."""

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._thinking = False

    def told(self, event: AgentEvent) -> Iterator[str]:
        match event:
            case TurnStarted():
                self._calls.clear()
                self._thinking = False
            case StepStarted():
                yield _opening(event)
            case StepProgress(delta=delta):
                yield from self._delta(delta)
            case StepCompleted(result=result):
                yield from self._result(result)
            case ApprovalRequested(approval=asked):
                yield f"\n🔐 Approval needed: {asked.server_label}.{asked.tool_name}({asked.arguments})\n"
            case TurnCompleted(stop_reason="max_output_tokens" | "content_filter" as reason):
                yield f"\n⚠ The answer was cut: {reason}\n"
            case TurnCompleted():
                pass
            case TurnFailed(error_message=message):
                yield f"\n❌ Turn failed: {message}\n"

    def _delta(self, delta: StepDelta) -> Iterator[str]:
        match delta:
            case ReasoningDelta(text=text):
                yield text if self._thinking else f"💭 {text}"
                self._thinking = True
            case TextDelta(text=text) | RefusalDelta(text=text):
                yield f"\n{text}" if self._thinking else text
                self._thinking = False
            case AnnotationDelta(annotation=annotation):
                if source := cited(annotation):
                    yield f" [{source}]"
            case _:
                pass  # calls are told when they are whole, with the result of their step

    def _result(self, result: StepResult) -> Iterator[str]:
        match result:
            case InferenceStepResult(function_calls=calls):
                self._thinking = False
                for call in calls:
                    if call.call_id not in self._calls:
                        self._calls.add(call.call_id)
                        yield f"\n📞 Function call: {call.tool_name}({call.arguments})"
                if not calls:
                    yield "\n"
            case ToolExecutionStepResult():
                for name, response in answers(result):
                    yield f"  → {name}: {outcome(response, SHOWN)}\n"


def _opening(step: StepStarted) -> str:
    if step.step_type == "inference":
        return "🤔 "
    if server_side(step):
        return f"\n🔧 Executing {tool_of(step)} (server-side)...\n"
    return "\n🔧 Executing function tools (client-side)...\n"


def server_side(step: StepStarted) -> bool:
    """Whether the server runs the tools of this step."""
    return bool(step.metadata and step.metadata.get("server_side"))


def tool_of(step: StepStarted) -> str:
    """The type of the server's tool, with the name where that says more."""
    metadata = step.metadata or {}
    kind, name = str(metadata.get("tool_type") or "tool"), str(metadata.get("tool_name") or "")
    return f"{kind} {name}" if name and plain_name(kind, name) != kind else kind


def plain_name(kind: str, name: str) -> str:
    """The name of a tool; of one of the server's that has no name but its item's type, its own type."""
    return kind if name == f"{kind}_call" else name


def answers(result: ToolExecutionStepResult) -> Iterator[tuple[str, ToolResponse]]:
    """What came of the calls, each with the name of its tool."""
    kinds = {call.call_id: call.tool_type for call in result.tool_calls}
    for response in result.tool_responses:
        yield plain_name(kinds.get(response["call_id"], ""), response["tool_name"]), response


def cited(annotation: Any) -> str:
    """What an annotation points to: a file's name, a title or a URL; "" if to nothing with a name."""
    return str(annotation.get("filename") or annotation.get("title") or annotation.get("url") or "")


def outcome(response: ToolResponse, most: int) -> str:
    """What a tool gave, as text of at most so many characters; a failure says that it is one."""
    content = _listed(response["content"])
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
    shown = f"{text[:most]}..." if len(text) > most else text
    return f"error: {shown}" if response["is_error"] else shown


def _listed(content: Any) -> Any:
    """The names of the tools, where that is what a server listed."""
    match content:
        case {"tools": [*tools]}:
            return ", ".join(str(tool.get("name")) for tool in tools)
        case _:
            return content


def _panels() -> Panels:
    try:
        # rich is not needed by the library, and takes time to load
        from antiphon.agent.panels import Panels  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError("rich=True needs the package `rich`: pip install rich") from error
    return Panels()
