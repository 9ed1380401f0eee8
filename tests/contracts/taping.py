"""Ports behind a tape, for the suites of their contracts: `recorded` answers what the port does, `replayed` what was
recorded of it a moment before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final, Literal

from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import Embedder
from antiphon.ports.model import Model
from antiphon.ports.search import Search, SearchHit, SearchQuery
from antiphon.replay.absent import AbsentModel, AbsentSearch
from antiphon.replay.cassette import Cassette
from antiphon.replay.tape import Deck, Mode, Tape
from antiphon.replay.taped.embedder import TapedEmbedder
from antiphon.replay.taped.model import TapedModel
from antiphon.replay.taped.search import TapedSearch
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import AntiphonError
from antiphon.wire.models import Model as ModelCard

MODES: Final = ("live", "recorded", "replayed")


def deck(folder: Path, mode: Mode) -> Deck:
    return Deck(Tape(Cassette(folder / "cassette"), mode))


def taped_model(model: Model, mode: str, folder: Path) -> Model:
    if mode == "live":
        return model
    recording = TapedModel(model, deck(folder, Mode.RECORD), "e")
    return recording if mode == "recorded" else Rehearsed(recording, folder)


def taped_search(search: Search, mode: str, folder: Path) -> Search:
    if mode == "live":
        return search
    recording = TapedSearch(search, deck(folder, Mode.RECORD))
    return recording if mode == "recorded" else RehearsedSearch(recording, folder)


def taped_embedder(embedder: Embedder, mode: str, folder: Path) -> Embedder:
    if mode == "live":
        return embedder
    recording = TapedEmbedder(embedder, deck(folder, Mode.RECORD))
    return recording if mode == "recorded" else RehearsedEmbedder(recording, folder)


class Rehearsed:
    """Each answer is recorded to its end, then given from the recording, with nothing behind it."""

    def __init__(self, model: TapedModel, folder: Path) -> None:
        self._model = model
        self._folder = folder

    @property
    def _replaying(self) -> TapedModel:
        return TapedModel(AbsentModel(), deck(self._folder, Mode.REPLAY), "e")

    async def models(self) -> Sequence[ModelCard]:
        await self._model.models()
        return await self._replaying.models()

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        await drained(self._model.stream(wanted))
        async with aclosing(self._replaying.stream(wanted)) as batches:
            async for batch in batches:
                yield batch

    async def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        await drained(self._model.relay(request))
        async with aclosing(self._replaying.relay(request)) as batches:
            async for batch in batches:
                yield batch

    async def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        await drained(self._model.complete(request))
        async with aclosing(self._replaying.complete(request)) as batches:
            async for batch in batches:
                yield batch

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        await self._model.embed(request)
        return await self._replaying.embed(request)

    async def close(self) -> None:
        await self._model.close()


class RehearsedSearch:
    def __init__(self, search: TapedSearch, folder: Path) -> None:
        self._search = search
        self._folder = folder

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        try:
            await self._search.search(wanted)
        except Exception as error:  # noqa: BLE001 - the recording has to raise the same
            raised: type[Exception] | None = type(error)
        else:
            raised = None
        replaying = TapedSearch(AbsentSearch(), deck(self._folder, Mode.REPLAY))
        try:
            return await replaying.search(wanted)
        except Exception as error:
            assert type(error) is raised
            raise

    async def close(self) -> None:
        await self._search.close()


class RehearsedEmbedder:
    def __init__(self, embedder: TapedEmbedder, folder: Path) -> None:
        self._embedder = embedder
        self._folder = folder

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimension(self) -> int | None:
        return self._embedder.dimension

    @property
    def most_texts(self) -> int:
        return self._embedder.most_texts

    @property
    def most_tokens(self) -> int:
        return self._embedder.most_tokens

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        made = await self._embedder.embed(texts, use)
        replayed = await TapedEmbedder(self._embedder, deck(self._folder, Mode.REPLAY)).embed(texts, use)
        assert replayed == made
        return replayed

    async def close(self) -> None:
        await self._embedder.close()


async def drained(batches: AsyncGenerator[Sequence[object]]) -> None:
    """Read to the end; what it raises is what the recording will raise."""
    async with aclosing(batches):
        try:
            async for _ in batches:
                continue
        except AntiphonError:
            return
