"""Tapes, composed: which one runs, the ports behind it, and what is told of it in the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from pydantic import BaseModel, SecretStr

from antiphon.engine.catalog import Catalog, Served, Traits
from antiphon.http.tapes import Tapes
from antiphon.ports.clock import Clock
from antiphon.ports.door import Door
from antiphon.ports.embedder import Embedder
from antiphon.ports.mcp import McpServers
from antiphon.ports.model import Model
from antiphon.ports.pages import Pages
from antiphon.ports.reranker import Reranker
from antiphon.ports.retrieval import Retrieval
from antiphon.ports.search import Search
from antiphon.ports.tool import Tool
from antiphon.replay import importing
from antiphon.replay.absent import AbsentEmbedder, AbsentModel, AbsentReranker, AbsentSearch
from antiphon.replay.canon import Canon
from antiphon.replay.cassette import Cassette, rules_of
from antiphon.replay.recordings import Recordings
from antiphon.replay.secrets import Secrets, telling
from antiphon.replay.tape import CHOSEN, Deck, Mode, Place, Tape
from antiphon.replay.taped.door import TapedDoor
from antiphon.replay.taped.embedder import EMBED, TapedEmbedder
from antiphon.replay.taped.mcp import TapedMcp
from antiphon.replay.taped.model import LIST, TapedModel
from antiphon.replay.taped.pages import TapedPages
from antiphon.replay.taped.reranker import RERANK, TapedReranker
from antiphon.replay.taped.retrieval import TapedRetrieval
from antiphon.replay.taped.search import SEARCH, TapedSearch
from antiphon.replay.taped.tool import TOOL, Line, taped
from antiphon.settings import Settings
from antiphon.wire.codec import decode, encode
from antiphon.wire.models import Model as ModelCard

RECORDED: Final = "recorded"
"""The endpoint of recordings in the format of others."""
FOLDERS: Final = {"record": Mode.RECORD, "replay": Mode.REPLAY, "replay_or_record": Mode.REPLAY_OR_RECORD}


class Report(msgspec.Struct, frozen=True):
    """What became of a cassette while a server ran: how many exchanges were answered from it, recorded in it and
    missed, the words of the first misses, and the files that nothing was answered from."""

    folder: str
    mode: str
    answered: int
    recorded: int
    missed: int
    misses: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


# what the settings choose


def folder_of(settings: Settings) -> tuple[Path, Mode] | None:
    """The server's cassette, and what is done with it."""
    for name, mode in FOLDERS.items():
        folder: Path | None = getattr(settings.cassette, name)
        if folder is not None:
            return folder, mode
    return None


def replays(settings: Settings) -> bool:
    """Whether nothing outside may be asked: then nothing is looked for and no key is needed."""
    return settings.cassette.replay is not None


def foreign(settings: Settings) -> Recordings | None:
    """The recordings of others that the server answers from: those of `[recordings]`, or of a folder to be replayed
    that has their format."""
    folder = settings.recordings.dir
    if folder is None and settings.cassette.replay is not None and importing.foreign(settings.cassette.replay):
        folder = settings.cassette.replay
    return None if folder is None else Recordings(folder, case=settings.recordings.case)


def deck(settings: Settings) -> Deck:
    """The deck of the settings. Raises RecordingError for rules that cannot be read."""
    chosen = folder_of(settings)
    if chosen is not None:
        folder, mode = chosen
        return Deck(Tape(maker(settings)(folder), mode, timing=settings.cassette.timing))
    return Deck(loaded=settings.cassette.root is not None)


def tapes(settings: Settings) -> Tapes:
    """What requests may choose for themselves."""
    return Tapes(settings.cassette.root, maker(settings), timing=settings.cassette.timing)


def maker(settings: Settings, environ: Mapping[str, str] = os.environ) -> Callable[[Path], Cassette]:
    """Opens cassettes in which no secret of these settings and variables is written. Raises RecordingError for rules
    that cannot be read."""
    known = {*_secrets(settings), *(value for name, value in environ.items() if _secretive(name))}
    redact = Secrets(known)
    return lambda folder: Cassette(folder, Canon(rules_of(folder), redact))


def _secrets(value: object, name: str = "") -> Iterator[str]:
    """The secrets in settings: what is declared to be one, and what stands under a telling name."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str):
        if _secretive(name):
            yield value
    elif isinstance(value, BaseModel):
        for field, held in value:
            yield from _secrets(held, field)
        yield from _secrets(value.model_extra, name)
    elif isinstance(value, Mapping):
        for field, held in cast("Mapping[str, object]", value).items():
            yield from _secrets(held, field)
    elif isinstance(value, tuple | list):
        for held in cast("Sequence[object]", value):
            yield from _secrets(held, name)


def _secretive(name: str) -> bool:
    return not name.lower().endswith("_env") and (telling(name) or name.lower().rpartition("_")[2] in {"key", "keys"})


def report(deck: Deck, recordings: Recordings | None = None) -> Report | None:
    """What became of the server's cassette; of a folder in the format of others, what became of that. None: there is
    no cassette."""
    tape = deck.own
    if tape is None:
        return None
    kept = tape.cassette
    if recordings is None:
        unused = tuple(kept.unused()) if tape.mode is not Mode.RECORD else ()
        counts = kept.answered, kept.recorded, kept.missed
        return Report(str(kept.folder), str(tape.mode), *counts, tuple(kept.misses), unused)
    counts = kept.answered + recordings.answered, kept.recorded, kept.missed + recordings.missed
    misses = (*recordings.misses, *kept.misses)
    return Report(str(kept.folder), str(tape.mode), *counts, misses, tuple(recordings.unused()))


# the ports behind the tape


def models(endpoints: Mapping[str, Model], deck: Deck) -> dict[str, Model]:
    """The endpoints behind the tape, with those that only the recordings know."""
    if not deck.loaded:
        return dict(endpoints)
    known: dict[str, Model] = dict(endpoints)
    tape = deck.own
    if tape is not None and tape.mode is not Mode.RECORD:
        for name in tape.cassette.of(LIST):
            known.setdefault(tape.cassette.head(name).endpoint, AbsentModel())
    return {name: TapedModel(model, deck, name) for name, model in known.items()}


def catalog(endpoints: Mapping[str, Model], clock: Clock, traits: Mapping[str, Traits], deck: Deck) -> Catalog:
    """The catalog; where requests may choose cassettes, one that also knows the models of these."""
    kind = TapedCatalog if deck.loaded and deck.own is None else None
    return Catalog(endpoints, clock, traits=traits) if kind is None else kind(endpoints, clock, deck, traits)


def search(backend: Search | None, deck: Deck) -> Search | None:
    """The search backend behind the tape; also where only recordings know of one."""
    if backend is None and (_recorded(deck, SEARCH.port) is not None or _tells(deck)):
        backend = AbsentSearch()
    return TapedSearch(backend, deck) if backend is not None and deck.loaded else backend


def tools(found: Mapping[str, Tool], deck: Deck) -> dict[str, Tool]:
    """The tools behind the tape."""
    if not deck.loaded:
        return dict(found)
    line = Line()
    behind = {id(tool): taped(tool, deck, line) for tool in found.values()}
    return {kind: behind[id(tool)] for kind, tool in found.items()}


def retrieval(found: Retrieval, deck: Deck) -> Retrieval:
    """Search of vector stores, which need not be there where what was found is recorded."""
    return TapedRetrieval(found, deck) if deck.loaded else found


def mcp(servers: McpServers, deck: Deck) -> McpServers:
    """The MCP servers behind the tape."""
    return TapedMcp(servers, deck) if deck.loaded else servers


def pages(found: Pages | None, deck: Deck) -> Pages | None:
    """Pages of the web behind the tape."""
    return TapedPages(found, deck) if found is not None and deck.loaded else found


def door(found: Door, deck: Deck) -> Door:
    """The way to files that requests name by URL, behind the tape."""
    return TapedDoor(found, deck) if deck.loaded else found


def embedder(found: Embedder | None, deck: Deck) -> Embedder | None:
    """The embedder behind the tape; where there is none, the one that recordings know of."""
    if found is None and (asked := _recorded(deck, EMBED.port)) is not None:
        found = AbsentEmbedder(str(asked.get("model", "")))
    return TapedEmbedder(found, deck) if found is not None and deck.loaded else found


def reranker(found: Reranker | None, deck: Deck) -> Reranker | None:
    """The reranker behind the tape; where there is none, the one that recordings know of."""
    if found is None and (asked := _recorded(deck, RERANK.port)) is not None:
        found = AbsentReranker(str(asked.get("model", "")))
    return TapedReranker(found, deck) if found is not None and deck.loaded else found


def _tells(deck: Deck) -> bool:
    """Whether a whole run is replayed, of which is known what calls gave."""
    return deck.own is not None and deck.own.tells(TOOL.port)


def _recorded(deck: Deck, port: str) -> dict[str, Any] | None:
    """A request that was recorded at this port, where recordings are replayed."""
    tape = deck.own
    if tape is None or tape.mode is Mode.RECORD:
        return None
    name = next(iter(tape.cassette.of(port)), None)
    return None if name is None else tape.cassette.head(name).request


class TapedCatalog(Catalog):
    """A catalog that first asks the cassette of the request what a name stands for, and writes into a cassette that
    records which endpoint it stood for: so a cassette can be replayed where the endpoint is gone."""

    def __init__(self, endpoints: Mapping[str, Model], clock: Clock, deck: Deck, traits: Mapping[str, Traits]) -> None:
        super().__init__(endpoints, clock, traits=traits)
        self._deck = deck
        self._traits_of = dict(traits)

    async def resolve(self, name: str, /) -> Served:
        """See the catalog."""
        tape = CHOSEN.get()
        if tape is None:
            return await super().resolve(name)
        if tape.mode is not Mode.RECORD and (found := await self._recorded(tape, name)) is not None:
            return found
        served = await super().resolve(name)
        if tape.mode is not Mode.REPLAY:
            await self._keep(tape, served)
        return served

    async def _recorded(self, tape: Tape, name: str) -> Served | None:
        for file in tape.cassette.of(LIST):
            exchange = tape.cassette.read(file)
            endpoint, value = exchange.endpoint, exchange.answer.value
            for card in decode(bytes(value), tuple[ModelCard, ...]) if value is not None else ():
                if name in {card.id, f"{endpoint}/{card.id}"}:
                    model = self.endpoints.get(endpoint) or TapedModel(AbsentModel(), self._deck, endpoint)
                    shown = msgspec.structs.replace(card, id=name)
                    return Served(model, card.id, shown, self._traits_of.get(endpoint, Traits()))
        return None

    async def _keep(self, tape: Tape, served: Served) -> None:
        endpoint = next((name for name, model in self.endpoints.items() if model is served.model), "")
        card = msgspec.structs.replace(served.card, id=served.name)

        async def live() -> bytes:
            return encode((card,))

        # one exchange for each model: the whole list would be that of another day
        await tape.value(Place(LIST, endpoint), {"endpoint": endpoint, "model": served.name}, live, once=True)
