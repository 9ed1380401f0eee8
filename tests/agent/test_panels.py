"""Live panels on a terminal that is emulated: what is finished stays, once, and nothing is left behind."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.markdown import Markdown

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    AnnotationDelta,
    Approval,
    ApprovalRequested,
    ReasoningDelta,
    StepStarted,
    TextDelta,
    TurnFailed,
)
from antiphon.agent.logger import AgentEventLogger
from antiphon.agent.panels import Panels
from tests.agent.screen import Screen
from tests.agent.test_logger import BEGUN, CLIENT, OVER, SERVER, TURN, progress, thought, worked

WIDTH, HEIGHT = 60, 12

STORY = "\n\n".join(
    [
        "# The mill",
        "It stands **by the sea** and has stood there since anybody can remember, whatever the weather does to it.",
        "- one\n- two\n  - deeper\n- three",
        "| wheel | metres |\n|---|---|\n| old | 5.2 |\n| new and much longer | 6 |",
        "```python\n" + "\n".join(f"line_{number} = {number}" for number in range(40)) + "\n```",
        "1. first\n2. second",
        "> quoted",
        "And so it *ends*.",
    ]
)


class Terminal:
    """A console, the screen that it writes to, and everything that the screen has shown."""

    def __init__(self, *, terminal: bool = True) -> None:
        self.file = io.StringIO()
        self.console = Console(
            file=self.file, force_terminal=terminal, width=WIDTH, height=HEIGHT, color_system="truecolor", _environ={}
        )
        self.panels = Panels(self.console)

    def show(self, *events: AgentEvent) -> None:
        for event in events:
            self.panels.show(AgentStreamChunk(event))

    @property
    def screen(self) -> Screen:
        screen = Screen(WIDTH, HEIGHT)
        screen.feed(self.file.getvalue())
        return screen


def rendered(text: str) -> list[str]:
    console = Console(file=io.StringIO(), width=WIDTH, height=HEIGHT, _environ={})
    console.print(Markdown(text))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_long_answer_is_whole_in_the_scrollback_and_nothing_is_there_twice(size: int) -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN)
    for start in range(0, len(STORY), size):
        terminal.show(progress(TextDelta(STORY[start : start + size])))
        terminal.panels.tick()
    terminal.show(thought(STORY), OVER)
    shown = [line for line in terminal.screen.lines if line]
    assert shown == [line for line in rendered(STORY) if line]
    assert not terminal.screen.hidden


def test_an_answer_that_is_drawn_only_now_and_then_is_the_same() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, *(progress(TextDelta(letter)) for letter in STORY), thought(STORY), OVER)
    assert [line for line in terminal.screen.lines if line] == [line for line in rendered(STORY) if line]


def test_blocks_are_an_empty_line_apart() -> None:
    terminal = Terminal()
    for piece in ("One.\n\n", "Two.\n", "\nThree."):
        terminal.show(*([] if piece != "One.\n\n" else [TURN, BEGUN]), progress(TextDelta(piece)))
        terminal.panels.tick()
    terminal.show(thought(), OVER)
    assert terminal.screen.lines == ["One.", "", "Two.", "", "Three."]


def test_the_open_end_is_visible_while_it_is_written() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, progress(TextDelta("Half a sen")))
    terminal.panels.tick()
    assert "Half a sen" in terminal.screen.text
    terminal.show(progress(TextDelta("tence")))
    terminal.panels.tick()
    assert terminal.screen.text.count("Half a") == 1


def test_a_step_of_tools_is_a_panel() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, thought(), CLIENT)
    assert "running tools" in terminal.screen.text
    terminal.show(worked("3"))
    text = terminal.screen.text
    assert "🔧 function" in text
    assert 'add({"a": 1})' in text
    assert "→ 3" in text
    terminal.show(OVER)
    assert "running tools" not in terminal.screen.text


def test_a_tool_of_the_server_is_named_while_it_runs() -> None:
    terminal = Terminal()
    terminal.show(TURN, StepStarted("s", "tool_execution", "t", SERVER))
    assert "file_search ..." in terminal.screen.text


def test_citations_are_numbers_with_a_list() -> None:
    terminal = Terminal()
    cited = [progress(AnnotationDelta({"filename": name})) for name in ("a.md", "b.md", "a.md")]
    terminal.show(TURN, BEGUN, progress(TextDelta("So")), *cited, thought(), OVER)
    assert terminal.screen.lines == ["So [1] [2] [1]", "[1] a.md", "[2] b.md"]


def test_reasoning_approvals_and_failures_are_shown() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, progress(ReasoningDelta("Hm, let me see")))
    assert "thinking: Hm, let me see" in terminal.screen.text
    terminal.show(
        progress(TextDelta("Yes")), thought(), ApprovalRequested("s", "t", Approval("i", "shop", "buy", "{}"))
    )
    terminal.show(TurnFailed("t", "c", "it broke", "server_error"))
    text = terminal.screen.text
    assert text.count("Hm, let me see") == 1
    assert "shop asks" in text
    assert "❌ it broke" in text


def test_escape_sequences_of_models_and_tools_are_not_obeyed() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, progress(TextDelta("a\x1b[2Jb\x1b]0;title\x07")), thought(), worked("\x1b[31mred"), OVER)
    written = terminal.file.getvalue()
    assert "\x1b[2J" not in written
    assert "\x1b]0" not in written
    assert "\x1b[31mred" not in written
    assert "[2Jb" in terminal.screen.text


def test_without_a_terminal_everything_is_printed_once() -> None:
    terminal = Terminal(terminal=False)
    terminal.show(TURN, BEGUN, *(progress(TextDelta(word)) for word in ("One.\n\n", "Two.")), thought(), worked("3"))
    terminal.show(OVER)
    written = terminal.file.getvalue()
    assert "\x1b[?25l" not in written
    assert [written.count(words) for words in ("One.", "Two.", "→ 3")] == [1, 1, 1]


def test_a_turn_that_was_abandoned_leaves_the_terminal_usable() -> None:
    terminal = Terminal()
    terminal.show(TURN, BEGUN, progress(TextDelta("Half")))
    terminal.show(TURN, BEGUN, progress(TextDelta("Whole")), thought(), OVER)
    assert terminal.screen.lines == ["Half", "Whole"]
    terminal.show(TURN)
    terminal.panels.close()
    assert not terminal.screen.hidden


def test_the_logger_draws_panels_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    chunks = [AgentStreamChunk(event) for event in (TURN, BEGUN, progress(TextDelta("Hi")), thought("Hi"), OVER)]
    assert list(AgentEventLogger(rich=True).log(chunks)) == []
    assert "Hi" in capsys.readouterr().out
