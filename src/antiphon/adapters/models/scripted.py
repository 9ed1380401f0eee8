"""A model that says what a script tells it, for tests and demonstrations.

A script is plain data: steps, one for each generation. Nothing here is random or takes time unless a step says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.relay import relayed
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Generate
from antiphon.ports.clock import Clock
from antiphon.ports.model import unserved
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.content import InputText, LogProb
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    RateLimitError,
)
from antiphon.wire.items import Message
from antiphon.wire.models import Model as ModelCard
from antiphon.wire.responses import Usage

KEPT: Final = 1000
"""Generations that are remembered as asked."""

Pieces: TypeAlias = str | tuple[str, ...]

ERRORS: Final[dict[str, type[AntiphonError]]] = {
    "invalid_request": InvalidRequestError,
    "not_found": NotFoundError,
    "rate_limit": RateLimitError,
    "model": ModelError,
    "timeout": ModelTimeoutError,
}


class Says(Struct, frozen=True, tag_field="act", tag="says"):
    """Text, whole or in pieces; `logprobs` go with the first piece."""

    text: Pieces
    logprobs: tuple[LogProb, ...] = ()


class Refuses(Struct, frozen=True, tag_field="act", tag="refuses"):
    """A refusal."""

    text: Pieces


class Reasons(Struct, frozen=True, tag_field="act", tag="reasons"):
    """Visible reasoning."""

    text: Pieces


class Calling(Struct, frozen=True):
    """One call; `arguments` as an object, as JSON text, or as its pieces. `id` null: the upstream gives none."""

    name: str
    arguments: Pieces | dict[str, Any] = "{}"
    id: str | UnsetType | None = UNSET


class Calls(Struct, frozen=True, tag_field="act", tag="calls"):
    """Tool calls, one after another, or with their pieces taking turns."""

    calls: tuple[Calling, ...]
    interleaved: bool = False


class Sends(Struct, frozen=True, tag_field="act", tag="sends"):
    """Pieces of calls exactly as written here, for the quirks of upstreams."""

    pieces: tuple[CallDelta, ...]


class Waits(Struct, frozen=True, tag_field="act", tag="waits"):
    """A pause of some seconds, or until the gate of this name is opened."""

    seconds: float = 0.0
    gate: str | None = None


class Fails(Struct, frozen=True, tag_field="act", tag="fails"):
    """An error, raised where it stands: as the first act before any output."""

    error: Literal["invalid_request", "not_found", "rate_limit", "model", "timeout"] = "model"
    message: str = "The scripted model failed."
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None


class Cuts(Struct, frozen=True, tag_field="act", tag="cuts"):
    """The stream breaks off."""


Act: TypeAlias = Says | Refuses | Reasons | Calls | Sends | Waits | Fails | Cuts


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One generation. `when`: only if the last text of the user has this in it (case does not matter)."""

    acts: tuple[Act, ...]
    when: str | None = None
    repeat: bool = False
    """Not spent by use."""
    finish: str | UnsetType | None = UNSET
    """The finish word; unset: `tool_calls` after calls, else `stop`."""
    usage: Usage | None = None
    batch: int = 1
    """How many deltas travel together, as if one read had brought them."""


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps; each generation takes the first that is not spent and whose `when` fits."""

    steps: tuple[Step, ...] = ()
    models: tuple[str, ...] = ("scripted",)


class Scripted:
    """The model port over a script. `asked` holds every generation that was wanted, in order."""

    def __init__(
        self, script: Script | Sequence[Step] = (), *, name: str = "scripted", clock: Clock | None = None
    ) -> None:
        self.script = script if isinstance(script, Script) else Script(tuple(script))
        self.name = name
        self.asked: list[Generate] = []
        self.closed = 0
        """How many generations were closed before their end."""
        self._clock = clock or SeededClock()
        self._left = list(self.script.steps)
        self._gates: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}

    def open(self, gate: str) -> None:
        """Let whoever waits at this gate go on, now and later."""
        self._gates.setdefault(gate, asyncio.Event()).set()

    async def reached(self, gate: str) -> None:
        """Return once a generation waits at this gate, or has."""
        await self._reached.setdefault(gate, asyncio.Event()).wait()

    async def models(self) -> Sequence[ModelCard]:
        """The names in the script."""
        return [ModelCard(id=model, owned_by=self.name) for model in self.script.models]

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Perform the next step; ModelError when there is none."""
        self.asked.append(wanted)
        del self.asked[:-KEPT]
        step = self._take(last_user_text(wanted))
        ended = False
        try:
            batch: list[Delta] = []
            for act in step.acts:
                if isinstance(act, Waits | Fails | Cuts):
                    if batch:
                        yield batch
                        batch = []
                    await self._endure(act)
                    continue
                for delta in _deltas(act):
                    batch.append(delta)
                    if len(batch) >= step.batch:
                        yield batch
                        batch = []
            ended = True
            yield [*batch, StepEnded(_finish(step), step.usage)]
        finally:
            self.closed += not ended

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Perform the next step as a chat completion."""
        return relayed(self.stream, request, self._clock)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Not served."""
        raise unserved(request.model, "completions")

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """Not served."""
        raise unserved(request.model, "embeddings")

    async def close(self) -> None:
        """Nothing to release."""

    def _take(self, text: str) -> Step:
        for step in self._left:
            if step.when is None or step.when.lower() in text.lower():
                if not step.repeat:
                    self._left.remove(step)
                return step
        raise ModelError("The script has no step for this generation.")

    async def _endure(self, act: Waits | Fails | Cuts) -> None:
        if isinstance(act, Fails):
            failure = ERRORS[act.error]
            raise failure(act.message, param=act.param, code=act.code, retry_after=act.retry_after)
        if isinstance(act, Cuts):
            raise ModelError("The stream of the scripted model was cut.")
        if act.gate is not None:
            self._reached.setdefault(act.gate, asyncio.Event()).set()
            await self._gates.setdefault(act.gate, asyncio.Event()).wait()
        if act.seconds:
            await asyncio.sleep(act.seconds)


def make(config: Script, parts: Parts) -> Scripted:
    """The adapter of kind `scripted`."""
    return Scripted(config, name=parts.name, clock=parts.clock)


def last_user_text(wanted: Generate) -> str:
    """The text of the user's last message, "" when there is none."""
    for entry in reversed(wanted.context):
        item = entry.item
        if isinstance(item, Message) and item.role == "user":
            return "\n".join(part.text for part in item.content if isinstance(part, InputText))
    return ""


def _finish(step: Step) -> str | None:
    if step.finish is not UNSET:
        return step.finish
    return "tool_calls" if any(isinstance(act, Calls | Sends) for act in step.acts) else "stop"


def _deltas(act: Says | Refuses | Reasons | Calls | Sends) -> Iterator[Delta]:
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
        for deltas in written:
            yield from deltas
        return
    while any(written):
        for deltas in written:
            if deltas:
                yield deltas.pop(0)


def _written(place: int, call: Calling) -> list[CallDelta]:
    call_id = f"call_scripted_{place}" if call.id is UNSET else call.id
    arguments = encode(call.arguments).decode() if isinstance(call.arguments, dict) else call.arguments
    return [
        CallDelta(place, call_id, call.name, ""),
        *(CallDelta(place, None, None, piece) for piece in _pieces(arguments)),
    ]


def _pieces(text: Pieces) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text
