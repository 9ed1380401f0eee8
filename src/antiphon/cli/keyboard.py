"""What the user writes: messages of one or more lines, from a terminal or a pipe.

A line that ends with a backslash goes on in the next one; a line of three quotes begins a text that ends with another.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

try:
    import readline
except ImportError:  # where the system has none, lines are read without editing
    readline = None

QUOTES: Final = '"""'
PROMPT: Final = "> "
MORE: Final = ". "


class Keyboard:
    """Reads messages. `interactive`: somebody sits at a terminal, and is prompted."""

    def __init__(self, stream: TextIO, *, interactive: bool) -> None:
        self.interactive = interactive
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

    def message(self) -> str:
        """The next message. EOFError when there is no more; KeyboardInterrupt at Ctrl-C."""
        line = self.line(PROMPT)
        if line.strip() == QUOTES:
            return self._quoted()
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self._next("") or "")
        return "\n".join(lines).strip()

    def line(self, prompt: str) -> str:
        """The next line as it is, without its end. Raises as `message` does."""
        if self.interactive:
            try:
                return input(_bold(prompt))
            except (EOFError, KeyboardInterrupt):
                sys.stdout.write("\n")  # the prompt stands there still
                raise
        line = self._stream.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def rest(self) -> str:
        """All that is left."""
        return self._stream.read().strip()

    def complete(self, commands: Sequence[str]) -> None:
        """Complete commands and, behind them, paths with Tab."""
        if readline is None or not self.interactive:
            return
        readline.set_completer_delims(" \t\n")
        readline.set_completer(_completer(commands, readline.get_line_buffer))
        readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")

    def _quoted(self) -> str:
        lines: list[str] = []
        while (line := self._next(MORE)) is not None and line.strip() != QUOTES:
            lines.append(line)
        return "\n".join(lines).strip()

    def _next(self, prompt: str) -> str | None:
        """The next line of a message that has begun, None at the end of the input."""
        try:
            return self.line(prompt or MORE)
        except EOFError:
            return None


def _bold(prompt: str) -> str:
    """The prompt in bold; what is between 1 and 2 has no width for the editing of the line."""
    return f"\001\033[1m\002{prompt}\001\033[0m\002" if readline is not None and sys.stdout.isatty() else prompt


def _completer(commands: Sequence[str], typed: Callable[[], str]) -> Callable[[str, int], str | None]:
    def complete(word: str, place: int) -> str | None:
        found = [f"{name} " for name in commands if name.startswith(word)] if typed() == word else _paths(word)
        return found[place] if place < len(found) else None

    return complete


def _paths(word: str) -> list[str]:
    path = Path(word).expanduser()
    folder, start = (path, "") if word.endswith("/") or not word else (path.parent, path.name)
    try:
        found = sorted(inside for inside in folder.iterdir() if inside.name.startswith(start))
    except OSError:
        return []
    return [f"{one}/" if one.is_dir() else f"{one} " for one in found if start or not one.name.startswith(".")]
