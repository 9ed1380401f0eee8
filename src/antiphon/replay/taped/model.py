"""The model port with a tape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from antiphon.core.chat import chat_body
from antiphon.core.deltas import Delta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.ports.model import Model
from antiphon.replay.cassette import Asked, Cassette
from antiphon.replay.tape import Deck, Mode, Place, typed
from antiphon.replay.taped import deltas
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.models import Model as ModelCard

STREAM: Final = "model.stream"
RELAY: Final = "model.relay"
COMPLETE: Final = "model.complete"
EMBED: Final = "model.embed"
LIST: Final = "model.list"


class TapedModel:
    """An endpoint's model. A generation is compared as the chat completion request that it makes, whatever the
    endpoint speaks."""

    def __init__(self, model: Model, deck: Deck, name: str) -> None:
        self._model = model
        self._deck = deck
        self._name = name
        self._listing = asyncio.Lock()  # one list is enough, however many ask at once

    @property
    def live(self) -> Model:
        """The model behind the tape."""
        return self._model

    async def models(self) -> Sequence[ModelCard]:
        """See the port."""
        tape = self._deck.own  # what one request chose says nothing about what the endpoint serves
        if tape is None:
            return await self._model.models()
        if tape.mode is Mode.REPLAY:
            return await asyncio.to_thread(self._listed, tape.cassette)

        async def live() -> bytes:
            return encode(await self._model.models())

        async with self._listing:
            listed = await tape.value(self._at(LIST), {"endpoint": self._name}, live, once=True)
        return typed(listed, tuple[ModelCard, ...])

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            async with aclosing(self._model.stream(wanted)) as batches:
                async for batch in batches:
                    yield batch
            return

        async def live() -> AsyncGenerator[Sequence[bytes]]:
            async with aclosing(self._model.stream(wanted)) as batches:
                async for batch in batches:
                    yield deltas.written(batch)

        body = {**chat_body(wanted, Dialect()), "stream": None, "stream_options": None}
        async with aclosing(tape.stream(self._at(STREAM), body, live, ends=deltas.ends)) as documents:
            async for each in documents:
                yield deltas.read(each)

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        return self._passed(RELAY, request, lambda: self._model.relay(request))

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        return self._passed(COMPLETE, request, lambda: self._model.complete(request))

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._model.embed(request)
        body = {**request.body, "model": request.model}
        return await tape.value(self._at(EMBED), body, lambda: self._model.embed(request))

    async def close(self) -> None:
        """See the port."""
        await self._model.close()

    def _passed(
        self, port: str, request: ChatRequest | CompletionRequest, live: Callable[[], AsyncGenerator[Sequence[bytes]]]
    ) -> AsyncGenerator[Sequence[bytes]]:
        tape = self._deck.tape
        body = {**request.body, "model": request.model, "stream": request.stream}
        if tape is None:
            return live()
        return tape.stream(self._at(port), body, live, ends=lambda _: not request.stream)

    def _listed(self, cassette: Cassette) -> tuple[ModelCard, ...]:
        """The models of this endpoint that any recorded list names; none is no miss."""
        cards: dict[str, ModelCard] = {}
        for name in cassette.of(LIST):
            head = cassette.head(name)
            found = cassette.find(Asked(LIST, head.request, head.endpoint)) if head.endpoint == self._name else None
            if found is not None and found.answer.value is not None:
                cards.update((card.id, card) for card in typed(bytes(found.answer.value), tuple[ModelCard, ...]))
        return tuple(cards.values())

    def _at(self, port: str) -> Place:
        return Place(port, self._name)
