"""Reasoning that an upstream writes into its answer, between `<think>` and `</think>`, becomes reasoning.

Only at the very beginning of an answer: later on, the tags are text like any other. Tags may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from antiphon.core.deltas import Delta, ReasoningDelta, StepEnded, TextDelta

OPEN: Final = "<think>"
CLOSE: Final = "</think>"


class Splitter:
    """Splits the deltas of one generation. What may be the beginning of a tag is held back until it is known."""

    def __init__(self) -> None:
        self._state: Literal["start", "opened", "thinking", "after", "answer"] = "start"
        self._held = ""

    def split(self, deltas: Sequence[Delta]) -> list[Delta]:
        """The deltas, in order; may be none."""
        if self._state == "answer":
            return list(deltas)
        found: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, TextDelta) and self._state != "answer":
                self._text(delta, found)
                continue
            if not isinstance(delta, TextDelta | ReasoningDelta):
                self._release(found)  # a call, a refusal or the end: the text before it is whole
            found.append(delta)
            if isinstance(delta, StepEnded):
                self._state = "answer"
        return found

    def _text(self, delta: TextDelta, found: list[Delta]) -> None:
        self._held += delta.text
        if self._state == "start":
            self._begin(delta, found)
        if self._state == "opened" and (rest := self._held.lstrip("\n")):
            self._state, self._held = "thinking", rest
        if self._state == "thinking":
            self._think(found)
        if self._state == "after" and (rest := self._held.lstrip()):
            self._state, self._held = "answer", ""
            found.append(TextDelta(rest, delta.logprobs))

    def _begin(self, delta: TextDelta, found: list[Delta]) -> None:
        text = self._held.lstrip()
        if text.startswith(OPEN):
            self._state, self._held = "opened", text[len(OPEN) :]
        elif not OPEN.startswith(text):
            held, self._held = self._held, ""
            self._state = "answer"
            found.append(TextDelta(held, delta.logprobs))

    def _think(self, found: list[Delta]) -> None:
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "after", rest
            thought = thought.rstrip("\n")
        else:
            sure = len(thought) - _overlap(thought)
            thought, self._held = thought[:sure], thought[sure:]
        if thought:
            found.append(ReasoningDelta(thought))

    def _release(self, found: list[Delta]) -> None:
        """What was held back is no tag."""
        held, self._held = self._held, ""
        if self._state == "thinking" and held:
            found.append(ReasoningDelta(held))
        elif self._state == "start" and held:
            found.append(TextDelta(held))


def _overlap(text: str) -> int:
    """How many characters at the end may be the beginning of the closing tag, or white space in front of it."""
    for length in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if CLOSE.startswith(text[-length:]):
            return length + len(text[:-length]) - len(text[:-length].rstrip("\n"))
    return len(text) - len(text.rstrip("\n"))
