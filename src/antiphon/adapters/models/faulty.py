"""Any other kind of model with faults: refusals, cut streams, silence and nonsense, as a plan or chance says.

For tests of what stands in front of models. A fault is what the port would tell of such an upstream (`ModelError` and
its kinds), so that a client meets what it would meet; a plan is used up request by request, chance is seeded.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from antiphon.adapters.parts import Parts
from antiphon.adapters.refusal import Refusal
from antiphon.adapters.registry import AdapterError, adapter
from antiphon.core.deltas import Delta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.ports.model import Model
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import ModelError
from antiphon.wire.models import Model as ModelCard

_T = TypeVar("_T")
Chance: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]


class Passes(Struct, frozen=True, tag_field="fault", tag="none", forbid_unknown_fields=True):
    """The request is answered as it would be."""

    chance: Chance = 1.0


class Status(Struct, frozen=True, tag_field="fault", tag="status", forbid_unknown_fields=True):
    """The upstream refuses with this HTTP status; `retry_after` (seconds) is its header."""

    status: Annotated[int, Meta(ge=400, le=599)] = 500
    message: str = ""
    retry_after: float | None = None
    chance: Chance = 1.0


class Refused(Struct, frozen=True, tag_field="fault", tag="refused", forbid_unknown_fields=True):
    """Nobody listens there."""

    chance: Chance = 1.0


class Cut(Struct, frozen=True, tag_field="fault", tag="cut", forbid_unknown_fields=True):
    """The answer breaks off behind this many chunks."""

    after: Count = 1
    chance: Chance = 1.0


class Malformed(Struct, frozen=True, tag_field="fault", tag="malformed", forbid_unknown_fields=True):
    """What follows this many chunks cannot be read; a chat completion that is passed on has half a document there, as
    its upstream sent it."""

    after: Count = 1
    chance: Chance = 1.0


class Slow(Struct, frozen=True, tag_field="fault", tag="slow", forbid_unknown_fields=True):
    """The first chunk takes `first` seconds longer, each other one `each`."""

    first: Seconds = 0.0
    each: Seconds = 0.0
    chance: Chance = 1.0


class Hangs(Struct, frozen=True, tag_field="fault", tag="hangs", forbid_unknown_fields=True):
    """Nothing comes behind this many chunks, until whoever asked gives up."""

    after: Count = 0
    chance: Chance = 1.0


Fault: TypeAlias = Passes | Status | Refused | Cut | Malformed | Slow | Hangs


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """Faults around another kind of model."""

    of: dict[str, Any]
    """The model behind: `kind` and that kind's keys."""
    plan: tuple[Fault, ...] = ()
    """The faults of the first requests, one each, in order."""
    repeat: bool = False
    """Whether the plan begins anew behind its end; otherwise what follows is faultless."""
    chances: tuple[Fault, ...] = ()
    """Faults of requests that the plan does not cover, each with its `chance`; the first that comes true is it."""
    seed: int = 0
    """Of the chances."""

    def __post_init__(self) -> None:
        _inner(self.of)

    @property
    def dialect(self) -> Dialect:
        """That of the model behind."""
        found: object = getattr(_inner(self.of)[0], "dialect", None)
        return found if isinstance(found, Dialect) else Dialect()

    @property
    def files(self) -> str:
        """How the model behind is given files."""
        return str(getattr(_inner(self.of)[0], "files", "text"))

    @property
    def base_url(self) -> str:
        """Where the model behind is; "" for one that is nowhere."""
        return str(getattr(_inner(self.of)[0], "base_url", ""))


class Faulty:
    """The model port with faults. `met` holds what each request met, in order. Lists of models are always answered."""

    def __init__(self, model: Model, faults: Faults, name: str) -> None:
        self.model = model
        self.met: list[Fault] = []
        self._faults = faults
        self._name = name
        self._random = random.Random(faults.seed)  # noqa: S311  # repeatable is the point

    async def models(self) -> Sequence[ModelCard]:
        """See the port."""
        return await self.model.models()

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """See the port."""
        return self._faulty(wanted.model, lambda: self.model.stream(wanted), None)

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        return self._faulty(request.model, lambda: self.model.relay(request), _half)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        return self._faulty(request.model, lambda: self.model.complete(request), _half)

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """See the port."""

        async def once() -> AsyncGenerator[Sequence[bytes]]:
            yield [await self.model.embed(request)]

        async with aclosing(self._faulty(request.model, once, None)) as documents:
            async for (document,) in documents:
                return document
        raise ModelError(f"The model endpoint '{self._name}' broke off while it answered.")

    async def close(self) -> None:
        """See the port."""
        await self.model.close()

    async def _faulty(
        self,
        model: str,
        live: Callable[[], AsyncGenerator[Sequence[_T]]],
        half: Callable[[Sequence[_T]], Sequence[_T]] | None,
    ) -> AsyncGenerator[Sequence[_T]]:
        """The answer with the fault of this request. `half` makes half a chunk of one, where such may pass."""
        fault = self._next()
        self.met.append(fault)
        if isinstance(fault, Status | Refused):
            self._refuse(fault, model)
        place = 0
        async with aclosing(live()) as chunks:
            async for chunk in chunks:
                if isinstance(fault, Malformed) and half is not None and place >= fault.after:
                    yield half(chunk)
                    return
                await self._interfere(fault, place)
                yield chunk
                place += 1
        if isinstance(fault, Cut | Malformed | Hangs):  # it was due behind the last chunk
            await self._interfere(fault, max(place, fault.after))

    async def _interfere(self, fault: Fault, place: int) -> None:
        """What happens before the chunk in this place."""
        match fault:
            case Slow():
                await asyncio.sleep(fault.each if place else fault.first)
            case Cut() if place >= fault.after:
                raise ModelError(f"The model endpoint '{self._name}' broke off while it answered.")
            case Malformed() if place >= fault.after:
                raise ModelError(f"The model endpoint '{self._name}' sent what is no chat completion.")
            case Hangs() if place >= fault.after:
                await asyncio.Event().wait()
            case _:
                pass

    def _refuse(self, fault: Status | Refused, model: str) -> NoReturn:
        if isinstance(fault, Refused):
            raise ModelError(f"The model endpoint '{self._name}' cannot be reached.")
        body = msgspec.json.encode({"error": {"message": fault.message}})
        raise Refusal(self._name, model, fault.status, body, fault.retry_after).error()

    def _next(self) -> Fault:
        plan, place = self._faults.plan, len(self.met)
        if plan and (self._faults.repeat or place < len(plan)):
            fault = plan[place % len(plan)]
            return fault if self._true(fault) else _PASSES
        return next((fault for fault in self._faults.chances if self._true(fault)), _PASSES)

    def _true(self, fault: Fault) -> bool:
        return fault.chance >= 1 or self._random.random() < fault.chance


_PASSES: Final = Passes()


def _inner(of: Mapping[str, Any]) -> tuple[Any, Callable[[Any, Parts], Any]]:
    """The config and factory of the model behind. Raises ValueError in words for the operator."""
    kind = of.get("kind")
    if not isinstance(kind, str):
        raise ValueError("`of.kind` is required: the kind of the model behind")  # noqa: TRY004  # msgspec names the place
    try:
        found = adapter("models", kind)
    except AdapterError as error:
        raise ValueError(f"`of.kind` {error}") from None
    given = {name: value for name, value in of.items() if name != "kind"}
    for name in [name for name in given if name.endswith("_env")]:
        variable = str(given.pop(name))
        if not (value := os.environ.get(variable)):
            raise ValueError(f"`of.{name}`: the environment variable {variable} is not set")
        given[name.removesuffix("_env")] = value
    try:
        return msgspec.convert(given, found.config, strict=False), found.make
    except msgspec.ValidationError as error:
        words = str(error).replace("missing required field", "lacks the field").replace(" - at `$", " at `$")
        raise ValueError(f"`of`: {words}") from None


def _half(documents: Sequence[bytes]) -> Sequence[bytes]:
    """A chunk that ends in the middle of its first document."""
    return [documents[0][: len(documents[0]) // 2]]


def make(config: Faults, parts: Parts) -> Faulty:
    """The adapter of kind `faulty`."""
    inner, factory = _inner(config.of)
    return Faulty(factory(inner, parts), config, parts.name)
