"""What a script is made of: steps, conditions and acts. Plain data; nothing here does anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, TextDelta
from antiphon.wire.codec import encode
from antiphon.wire.content import LogProb
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    OverloadedError,
    RateLimitError,
)
from antiphon.wire.responses import Usage

Pieces: TypeAlias = str | tuple[str, ...]

ERRORS: Final[dict[str, type[AntiphonError]]] = {
    "invalid_request": InvalidRequestError,
    "not_found": NotFoundError,
    "rate_limit": RateLimitError,
    "overloaded": OverloadedError,
    "model": ModelError,
    "timeout": ModelTimeoutError,
}


class Says(Struct, frozen=True, tag_field="act", tag="says", forbid_unknown_fields=True):
    """Text, whole or in pieces; `logprobs` go with the first piece."""

    text: Pieces
    logprobs: tuple[LogProb, ...] = ()


class Refuses(Struct, frozen=True, tag_field="act", tag="refuses", forbid_unknown_fields=True):
    """A refusal."""

    text: Pieces


class Reasons(Struct, frozen=True, tag_field="act", tag="reasons", forbid_unknown_fields=True):
    """Visible reasoning."""

    text: Pieces


class Calling(Struct, frozen=True, forbid_unknown_fields=True):
    """One call; `arguments` as an object, as JSON text, or as its pieces. `id` null: the upstream gives none."""

    name: str
    arguments: Pieces | dict[str, Any] = "{}"
    id: str | UnsetType | None = UNSET


class Calls(Struct, frozen=True, tag_field="act", tag="calls", forbid_unknown_fields=True):
    """Tool calls, one after another, or with their pieces taking turns."""

    calls: tuple[Calling, ...]
    interleaved: bool = False


class Sends(Struct, frozen=True, tag_field="act", tag="sends", forbid_unknown_fields=True):
    """Pieces of calls exactly as written here, for the quirks of upstreams."""

    pieces: tuple[CallDelta, ...]


class Waits(Struct, frozen=True, tag_field="act", tag="waits", forbid_unknown_fields=True):
    """A pause of some seconds, or until the gate of this name is opened."""

    seconds: float = 0.0
    gate: str | None = None


class Fails(Struct, frozen=True, tag_field="act", tag="fails", forbid_unknown_fields=True):
    """An error, raised where it stands: as the first act before any output."""

    error: Literal["invalid_request", "not_found", "rate_limit", "overloaded", "model", "timeout"] = "model"
    message: str = "The scripted model failed."
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None

    def raised(self) -> AntiphonError:
        """The error."""
        return ERRORS[self.error](self.message, param=self.param, code=self.code, retry_after=self.retry_after)


class Cuts(Struct, frozen=True, tag_field="act", tag="cuts", forbid_unknown_fields=True):
    """The stream breaks off."""


Speech: TypeAlias = Says | Refuses | Reasons | Calls | Sends
Event: TypeAlias = Waits | Fails | Cuts
Act: TypeAlias = Speech | Event


class When(Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions; all of those that are given must hold. Texts are looked for, their case does not matter."""

    text: str | None = None
    """In the user's last message."""
    matches: str | None = None
    """A regular expression, found in the user's last message."""
    instructions: str | None = None
    """In the instructions."""
    output: str | None = None
    """In the last output of a tool since the user's last message."""
    called: str | None = None
    """The tool that gave that output."""
    turn: int | None = None
    """How many messages of the user there are."""
    round: int | None = None
    """How many rounds of calls were made since the user's last message; 0: none yet."""
    offered: str | None = None
    """A tool that can be called."""
    model: str | None = None
    """The model that is asked, exactly."""


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One generation. `when`: conditions, or a text that the user's last message has in it."""

    acts: tuple[Act, ...]
    when: str | When | None = None
    repeat: bool = False
    """Not spent by use."""
    finish: str | UnsetType | None = UNSET
    """The finish word; unset: `tool_calls` after calls, else `stop`."""
    usage: Usage | None = None
    batch: int = 1
    """How many deltas travel together, as if one read had brought them."""

    @property
    def finish_word(self) -> str | None:
        """The finish word that is sent."""
        if self.finish is not UNSET:
            return self.finish
        return "tool_calls" if any(isinstance(act, Calls | Sends) for act in self.acts) else "stop"


def deltas(act: Speech) -> Iterator[Delta]:
    """An act as a model would stream it."""
    match act:
        case Says():
            for place, piece in enumerate(_pieces(act.text)):
                yield TextDelta(piece, () if place else act.logprobs)
        case Refuses():
            yield from map(RefusalDelta, _pieces(act.text))
        case Reasons():
            yield from map(ReasoningDelta, _pieces(act.text))
        case Sends():
            yield from act.pieces
        case Calls():
            yield from _call_deltas(act)


def _call_deltas(act: Calls) -> Iterator[CallDelta]:
    """A call opens with its id and name; its arguments follow in pieces."""
    written = [_written(place, call) for place, call in enumerate(act.calls)]
    if not act.interleaved:
        for pieces in written:
            yield from pieces
        return
    while any(written):
        for pieces in written:
            if pieces:
                yield pieces.pop(0)


def _written(place: int, call: Calling) -> list[CallDelta]:
    call_id = f"call_scripted_{place}" if call.id is UNSET else call.id
    arguments = encode(call.arguments).decode() if isinstance(call.arguments, dict) else call.arguments
    return [
        CallDelta(place, call_id, call.name, ""),
        *(CallDelta(place, None, None, piece) for piece in _pieces(arguments)),
    ]


def _pieces(text: Pieces) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text
