"""What is wrong with the settings, in words for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypeAlias

import msgspec

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the tree: `("server", "port")`, `("models", 0, "name")`."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `place` is the file and line, variable or flag that it came from; "" when unknown."""

    path: Path
    text: str
    place: str = ""

    def __str__(self) -> str:
        key = dotted(self.path)
        return ": ".join(part for part in (self.place, key, self.text) if part)


class SettingsError(Exception):
    """The settings cannot be used; every problem that was found at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def dotted(path: Path) -> str:
    """The path as it is written: `server.port`, `models[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def unknown(name: str, known: Sequence[str]) -> str:
    """What to say of a name that is none of these."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"unknown name `{name}`; {hint}allowed here: {', '.join(known)}"
