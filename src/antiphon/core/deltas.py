"""What a model says while it generates, in one vocabulary for every kind of upstream.

A model adapter turns what it reads into these values and nothing else; the assembler turns them into items and
events. They carry the upstream's quirks (missing ids, names in pieces) unmended: mending is the assembler's task.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from antiphon.wire.content import Annotation, LogProb
from antiphon.wire.items import Phase
from antiphon.wire.responses import Usage


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer's text, with the log probabilities of its tokens when they were asked for."""

    text: str
    logprobs: tuple[LogProb, ...] = ()


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a refusal."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of visible reasoning, or of a summary of it."""

    text: str
    summary: bool = False


class CallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call; `id`, `name` and `arguments` are None or "" where the upstream sent nothing."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


class MessageStarted(msgspec.Struct, frozen=True, gc=False):
    """Text and refusals that follow are another message, of this phase. Only upstreams that tell say it."""

    phase: Phase | None = None


class PartEnded(msgspec.Struct, frozen=True, gc=False):
    """The part that is being written (of a message, of reasoning or its summary) is whole; what follows is another."""


class AnnotationDelta(msgspec.Struct, frozen=True, gc=False):
    """An annotation of the part of text that is being written; its indices count from that part's beginning."""

    annotation: Annotation


class ReasoningStarted(msgspec.Struct, frozen=True, gc=False):
    """A reasoning item opened. It stays open, whatever else is said meanwhile, until it has ended."""

    index: int


class ReasoningEnded(msgspec.Struct, frozen=True, gc=False):
    """The reasoning item of this index is whole; `encrypted_content` is the upstream's, opaque."""

    index: int
    encrypted_content: str | None = None


class StepEnded(msgspec.Struct, frozen=True, gc=False):
    """The end of one generation: the upstream's own finish word (None: it gave none) and what it counted."""

    finish: str | None
    usage: Usage | None = None


Structure: TypeAlias = MessageStarted | PartEnded | AnnotationDelta | ReasoningStarted | ReasoningEnded
"""What only upstreams tell that know items."""

Delta: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta | CallDelta | Structure | StepEnded
