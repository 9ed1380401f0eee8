"""What a model says while it generates, in one vocabulary for every kind of upstream.

A model adapter turns what it reads into these values and nothing else; the assembler turns them into items and
events. They carry the upstream's quirks (missing ids, names in pieces) unmended: mending is the assembler's task.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from antiphon.wire.content import LogProb
from antiphon.wire.responses import Usage


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer's text, with the log probabilities of its tokens when they were asked for."""

    text: str
    logprobs: tuple[LogProb, ...] = ()


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a refusal."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of visible reasoning."""

    text: str


class CallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call; `id`, `name` and `arguments` are None or "" where the upstream sent nothing."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class StepEnded(msgspec.Struct, frozen=True, gc=False):
    """The end of one generation: the upstream's own finish word (None: it gave none) and what it counted."""

    finish: str | None
    usage: Usage | None = None


Delta: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta | CallDelta | StepEnded
