"""How a chat shows turns where there is no terminal: the answers alone, with the steps told apart from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TextIO, TypeAlias

from antiphon.agent.events import (
    AgentStreamChunk,
    AnnotationDelta,
    ApprovalRequested,
    RefusalDelta,
    StepCompleted,
    StepDelta,
    StepProgress,
    StepStarted,
    TextDelta,
    ToolExecutionStepResult,
    TurnCompleted,
    TurnFailed,
)
from antiphon.agent.logger import SHOWN, answers, cited, outcome, server_side, tool_of
from antiphon.agent.panels import safe

Tell: TypeAlias = Callable[[str], None]


class Display(Protocol):
    """What shows the chunks of turns."""

    def show(self, chunk: AgentStreamChunk) -> None:
        """Show what a chunk tells."""
        ...

    def tick(self) -> None:
        """Some time has passed."""
        ...

    def close(self) -> None:
        """The turn is over, or nobody waits for it any more."""
        ...


class Plain:
    """The answers as they are written, to `out`; what else happens, a line each, to `tell`."""

    def __init__(self, out: TextIO, tell: Tell) -> None:
        self._out = out
        self._tell = tell
        self._sources: dict[str, int] = {}
        self._open = False
        """Whether a line of the answer has begun."""

    def show(self, chunk: AgentStreamChunk) -> None:
        """Write what a chunk tells."""
        match chunk.event:
            case StepProgress(delta=delta):
                self._delta(delta)
            case StepStarted(step_type="tool_execution") as step:
                self._line()
                self._tell(f"{tool_of(step)} ..." if server_side(step) else "tools ...")
            case StepCompleted(result=ToolExecutionStepResult() as result):
                for name, response in answers(result):
                    self._tell(f"{name}: {outcome(response, SHOWN)}")
            case ApprovalRequested(approval=asked):
                self._line()
                self._tell(f"{asked.server_label} asks to run {asked.tool_name}({asked.arguments})")
            case TurnCompleted(stop_reason="max_output_tokens" | "content_filter" as reason):
                self._line()
                self._tell(f"the answer was cut: {reason}")
            case TurnFailed(error_message=message):
                self._line()
                self._tell(message)
            case _:
                pass

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """End the line, and list the sources."""
        self._line()
        for source, number in self._sources.items():
            self._write(f"[{number}] {source}\n")
        self._sources.clear()

    def _delta(self, delta: StepDelta) -> None:
        match delta:
            case TextDelta(text=text) | RefusalDelta(text=text):
                self._write(text)
            case AnnotationDelta(annotation=annotation):
                if source := cited(annotation):
                    self._write(f" [{self._sources.setdefault(source, len(self._sources) + 1)}]")
            case _:
                pass

    def _write(self, text: str) -> None:
        if text:
            self._out.write(safe(text) if self._out.isatty() else text)
            self._out.flush()
            self._open = not text.endswith("\n")

    def _line(self) -> None:
        if self._open:
            self._write("\n")
