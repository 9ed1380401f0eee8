"""The models that can be named: `name` where it is unique, `endpoint/name` always."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from antiphon.core.dialect import Dialect
from antiphon.ports.clock import Clock
from antiphon.ports.model import Model
from antiphon.wire.errors import AntiphonError, NotFoundError
from antiphon.wire.models import Model as ModelCard


class Traits(msgspec.Struct, frozen=True):
    """What the settings say of an endpoint's models: how they are told a conversation, how many tokens they take
    (None: not known), and whether they read `files` themselves."""

    dialect: Dialect = Dialect()
    window: int | None = None
    files: bool = False


class Served(msgspec.Struct, frozen=True):
    """A model as it is reached: the endpoint's adapter, its own name there, and its card for our clients."""

    model: Model
    name: str
    card: ModelCard
    traits: Traits = Traits()


class UnknownModelError(NotFoundError):
    """No endpoint serves a model of this name; the resource decides between 400 and 404 (checklist 0.1)."""

    default_code = "model_not_found"


class Catalog:
    """Endpoints by name, and what each of them serves; asked again when older than `ttl` seconds, and when a name is
    not known but the list is older than `retry` seconds. `traits` by the names of endpoints that have any."""

    def __init__(
        self,
        endpoints: Mapping[str, Model],
        clock: Clock,
        *,
        traits: Mapping[str, Traits] | None = None,
        ttl: float = 300.0,
        retry: float = 2.0,
    ) -> None:
        self._endpoints = dict(endpoints)
        self._traits = dict(traits or {})
        self._clock = clock
        self._ttl = ttl
        self._retry = retry
        self._cards: dict[str, Sequence[ModelCard]] = {}
        self._by_name: dict[str, Served] = {}
        self._ambiguous: dict[str, list[str]] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    @property
    def endpoints(self) -> Mapping[str, Model]:
        """The adapters by endpoint name."""
        return self._endpoints

    def add(self, name: str, model: Model, traits: Traits | None = None) -> None:
        """Serve one more endpoint from now on."""
        self._endpoints[name] = model
        self._traits[name] = traits or Traits()
        self._read_at = float("-inf")

    async def resolve(self, name: str, /) -> Served:
        """The model of this name; UnknownModelError when nobody serves it. A full name asks its endpoint only, so that
        one which is slow to answer holds up nobody else."""
        age = self._clock.now() - self._read_at
        if name not in self._by_name and age > self._retry:
            endpoint = name.partition("/")[0]
            if endpoint in self._endpoints and "/" in name:
                self._cards[endpoint] = await self._cards_of(endpoint)
                self._index()
            if name not in self._by_name:
                await self._read()
        elif age > self._ttl:
            self._start_reading()  # what is known is good enough for this request
        served = self._by_name.get(name)
        if served is None:
            words = f"The requested model '{name}' does not exist."
            if full := self._ambiguous.get(name):
                words += f" Several endpoints serve it: name one of {', '.join(full)}."
            raise UnknownModelError(words, param="model")
        return served

    async def cards(self) -> Sequence[ModelCard]:
        """What can be named, each model once under its shortest name."""
        if self._clock.now() - self._read_at > self._ttl:
            await self._read()
        shortest: dict[int, str] = {}
        for name, served in self._by_name.items():
            known = shortest.get(id(served))
            if known is None or len(name) < len(known):
                shortest[id(served)] = name
        return [self._by_name[name].card for name in shortest.values()]

    async def close(self) -> None:
        """Close every endpoint."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        for model in self._endpoints.values():
            await model.close()

    async def _read(self) -> None:
        """Ask all endpoints at once; callers that come meanwhile wait for the same answer."""
        await asyncio.shield(self._start_reading())

    def _start_reading(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._ask())
        return self._reading

    async def _ask(self) -> None:
        names = list(self._endpoints)
        lists = await asyncio.gather(*(self._cards_of(name) for name in names))
        self._cards.update(zip(names, lists, strict=True))
        self._index()
        self._read_at = self._clock.now()

    def _index(self) -> None:
        """What can be named, from the lists that have come so far."""
        where: dict[str, list[str]] = {}
        for endpoint, cards in self._cards.items():
            for card in cards:
                where.setdefault(card.id, []).append(f"{endpoint}/{card.id}")
        by_name: dict[str, Served] = {}
        whole = len(self._cards) == len(self._endpoints)  # before that, nobody knows which names are unique
        for endpoint, cards in self._cards.items():
            traits = self._traits.get(endpoint, Traits())
            for card in cards:
                full = f"{endpoint}/{card.id}"
                unique = whole and len(where[card.id]) == 1
                shown = card if unique else msgspec.structs.replace(card, id=full)
                by_name[full] = served = Served(self._endpoints[endpoint], card.id, shown, traits)
                if unique:
                    by_name[card.id] = served
        self._by_name = by_name
        self._ambiguous = {name: full for name, full in where.items() if len(full) > 1}

    async def _cards_of(self, endpoint: str) -> Sequence[ModelCard]:
        try:
            return await self._endpoints[endpoint].models()
        except AntiphonError:
            return self._cards.get(
                endpoint, ()
            )  # one that is away keeps what it last said: a run can tell why it fails
