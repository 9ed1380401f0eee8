"""Turns in a terminal, live: markdown as it is written, a panel for every step of tools.

Law: what is finished is printed for good, once, and scrolls like any text; only the open end is drawn again. So nothing
flickers, and an answer that is longer than the screen is whole in the scrollback.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from markdown_it import MarkdownIt
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.segment import Segment, Segments
from rich.spinner import Spinner
from rich.text import Text

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    AnnotationDelta,
    Approval,
    ApprovalRequested,
    ReasoningDelta,
    RefusalDelta,
    StepCompleted,
    StepDelta,
    StepProgress,
    StepStarted,
    TextDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from antiphon.agent.logger import cited, outcome, plain_name, server_side, tool_of

RESULT: Final = 400
"""Characters of a tool's result."""
ARGUMENTS: Final = 200
SHARE: Final = 4
"""Drawing takes at most about one part of so many of the time."""
REST: Final = 3
"""Lines of the screen that the open end leaves free."""

CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "�")
"""Control characters but tab, line feed and carriage return."""

Lines: TypeAlias = list[list[Segment]]


class Flow:
    """Markdown that grows at its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parser = MarkdownIt().enable(["table", "strikethrough"])
        self._open = ""
        self._gone = 0
        """Lines of the open end that were printed because the screen was full."""
        self._begun = False
        self._drawn: tuple[object, Lines] = None, []
        """What was rendered last."""

    def add(self, text: str) -> Lines:
        """Take more text; the lines that are finished."""
        self._open += safe(text)
        lines: Lines = []
        if end := self._boundary():
            lines = self._settled(self._open[:end])
            self._open = self._open[end:]
        tail = self.tail
        many = max(0, len(tail) - max(self._console.height - REST, REST))
        self._gone += many
        return lines + tail[:many]

    def end(self) -> Lines:
        """All that is left; what is added next is another text."""
        lines = self._settled(self._open)
        self._open, self._begun = "", False
        return lines

    @property
    def tail(self) -> Lines:
        """The open end, as it looks now."""
        return self._rendered(self._open)[self._gone :]

    def _settled(self, text: str) -> Lines:
        lines = self._rendered(text)[self._gone :]
        self._gone, self._begun = 0, self._begun or bool(lines)
        return lines

    def _boundary(self) -> int:
        """Where the last block begins: nothing that is added can change the blocks before it."""
        starts = [token.map[0] for token in self._parser.parse(self._open) if token.level == 0 and token.map]
        return sum(map(len, self._open.splitlines(keepends=True)[: starts[-1]])) if starts[1:] else 0

    def _rendered(self, text: str) -> Lines:
        """The lines, after an empty one between two blocks."""
        if not text.strip():
            return []
        key = (text, self._begun, self._console.width)
        if self._drawn[0] != key:
            lines = self._console.render_lines(Markdown(text), pad=False)
            self._drawn = key, [[], *lines] if self._begun else lines
        return self._drawn[1]


class Panels:
    """Shows chunks on a console. `tick` moves the spinner and draws what waits; `close` leaves the terminal clean."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._flow = Flow(self.console)
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._waiting: list[str] = []
        self._thoughts: list[str] = []
        self._sources: dict[str, int] = {}
        self._due = 0.0

    def show(self, chunk: AgentStreamChunk) -> None:
        """Show what a chunk tells."""
        self._event(chunk.event)

    def tick(self) -> None:
        """Draw again."""
        self._written(now=True)
        if self._live is not None:
            self._draw([])

    def close(self) -> None:
        """Print what is open and end the live part; nothing happens when there is none."""
        self._ended()
        if self._live is not None:
            self._live.update("")
            self._live.stop()
            self._live = None

    def _event(self, event: AgentEvent) -> None:
        match event:
            case TurnStarted():
                self.close()
                self._sources.clear()
                self._begin()
            case StepStarted():
                self._busy("" if event.step_type == "inference" else _working(event))
            case StepProgress(delta=delta):
                self._delta(delta)
            case StepCompleted(result=result):
                self._ended()
                if isinstance(result, ToolExecutionStepResult):
                    self._print(_worked(result))
            case ApprovalRequested(approval=approval):
                self._print(_asked(approval))
            case TurnCompleted() | TurnFailed():
                self._over(event)

    def _delta(self, delta: StepDelta) -> None:
        match delta:
            case TextDelta(text=text) | RefusalDelta(text=text):
                self._thought()
                self._waiting.append(text)
            case ReasoningDelta(text=text):
                self._thoughts.append(safe(text))
                self._busy(f"thinking: {' '.join(''.join(self._thoughts[-20:]).split())[-60:]}")
            case AnnotationDelta(annotation=annotation):
                if source := cited(annotation):
                    number = self._sources.setdefault(source, len(self._sources) + 1)
                    self._waiting.append(f" [{number}]")
            case ToolCallIssuedDelta(tool_name=name):
                self._busy(f"calling {safe(name)}")
            case _:
                pass
        self._written()

    def _over(self, event: TurnCompleted | TurnFailed) -> None:
        self.close()
        for source, number in self._sources.items():
            self.console.print(Text(f"[{number}] {safe(source)}", style="cyan"))
        if isinstance(event, TurnFailed):
            self.console.print(Text(f"❌ {safe(event.error_message)}", style="red"))
        elif event.stop_reason in {"max_output_tokens", "content_filter"}:
            self.console.print(Text(f"the answer was cut: {event.stop_reason}", style="yellow"))

    # drawing

    def _begin(self) -> None:
        self._live = Live(console=self.console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._live.start()
        self._busy("")

    def _busy(self, words: str) -> None:
        self._spinner.update(text=Text(words, style="dim"))
        if self._live is not None:
            self._draw([])

    def _written(self, *, now: bool = False) -> None:
        """Draw the text that waits, unless it was drawn a moment ago."""
        began = time.perf_counter()
        if not self._waiting or (not now and began < self._due):
            return
        text = "".join(self._waiting)
        self._waiting.clear()
        self._draw(self._flow.add(text))
        ended = time.perf_counter()
        self._due = ended + (ended - began) * (SHARE - 1)

    def _thought(self) -> None:
        """Print the reasoning that is over."""
        text = "".join(self._thoughts).strip()
        self._thoughts.clear()
        if text:
            self._print(Panel(Text(text, style="dim"), title="reasoning", title_align="left", border_style="dim"))

    def _ended(self) -> None:
        """Print the end of the text."""
        self._thought()
        text = "".join(self._waiting)
        self._waiting.clear()
        lines = self._flow.add(text) if text else []
        self._draw(lines + self._flow.end())

    def _draw(self, finished: Lines) -> None:
        """Print finished lines and draw the open end, in one write."""
        printed = _segments(finished) if finished else None
        if self._live is None:
            if printed is not None:
                self.console.print(printed, end="")
            return
        tail = self._flow.tail
        self._live.update(Group(_segments(tail), self._spinner) if tail else self._spinner)
        if printed is not None:
            self.console.print(printed, end="")
        else:
            self._live.refresh()

    def _print(self, shown: RenderableType) -> None:
        self.console.print(shown)


def _segments(lines: Sequence[Sequence[Segment]]) -> Segments:
    return Segments([segment for line in lines for segment in (*line, Segment.line())])


def _working(step: StepStarted) -> str:
    return f"{tool_of(step)} ..." if server_side(step) else "running tools ..."


def _worked(result: ToolExecutionStepResult) -> Panel:
    """The calls of a step, each with what came of it."""
    responses = {response["call_id"]: response for response in result.tool_responses}
    lines = Text()
    failed = False
    for call in result.tool_calls:
        name = safe(plain_name(call.tool_type, call.tool_name))
        lines.append(f"\n{name}" if lines else name, style="bold")
        if call.arguments not in {"", "{}"}:
            lines.append(f"({_cut(call.arguments, ARGUMENTS)})", style="dim")
        if (response := responses.get(call.call_id)) is not None:
            failed = failed or response["is_error"]
            if (told := outcome(response, RESULT)) != call.arguments:  # a search without its results
                lines.append(f"\n→ {safe(told)}", style="red" if response["is_error"] else "")
    kinds = ", ".join(dict.fromkeys(call.tool_type for call in result.tool_calls)) or "tools"
    return Panel(lines, title=Text(f"🔧 {safe(kinds)}"), title_align="left", border_style="red" if failed else "cyan")


def _asked(approval: Approval) -> Panel:
    call = Text.assemble((safe(approval.tool_name), "bold"), (f"({_cut(approval.arguments, ARGUMENTS)})", "dim"))
    return Panel(call, title=Text(f"🔐 {safe(approval.server_label)} asks"), title_align="left", border_style="yellow")


def safe(text: str) -> str:
    """The text without what a terminal would obey: escape sequences of models and tools are shown, not followed."""
    return text.translate(CONTROLS)


def _cut(text: str, most: int) -> str:
    return safe(f"{text[:most]}..." if len(text) > most else text)
