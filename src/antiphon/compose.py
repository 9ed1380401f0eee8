"""The one place where concrete things meet: settings become a store, endpoints, tools, a runner and an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TypeAlias, cast

import msgspec
from starlette.types import ASGIApp

from antiphon import reach, taping
from antiphon.adapters import discovery
from antiphon.adapters.clock import StillClock, SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.adapters.seal import Keys, secrets_in
from antiphon.adapters.tokens import BpeTokens
from antiphon.choices import Choice, Choosing
from antiphon.core.dialect import Dialect
from antiphon.core.limits import Limits
from antiphon.engine.attachments import Attachments, Supplies
from antiphon.engine.catalog import Catalog, Traits
from antiphon.engine.compaction import Contexts
from antiphon.engine.completions import Completions
from antiphon.engine.conversations import Conversations
from antiphon.engine.fitter import Means
from antiphon.engine.intake import Intake
from antiphon.engine.prompts import Prompts
from antiphon.engine.retention import Retention
from antiphon.engine.runner import Runner
from antiphon.http.app import build
from antiphon.http.lanes import LaneLimits
from antiphon.http.services import HttpLimits, Services, SocketLimits
from antiphon.http.sites import local
from antiphon.http.sockets import Sockets
from antiphon.ports.clock import Clock
from antiphon.ports.door import Door
from antiphon.ports.model import Model
from antiphon.ports.seal import SealError
from antiphon.ports.search import Search
from antiphon.ports.storage import Storage
from antiphon.ports.tool import Tool
from antiphon.replay.model import ReplayModel
from antiphon.replay.recordings import Recordings
from antiphon.replay.tape import Deck
from antiphon.replay.tool import ReplaySearch
from antiphon.retrieval import Ground, Library, Rooms, opened, rooms
from antiphon.settings import Problem, Settings, SettingsError
from antiphon.taping import RECORDED, Report
from antiphon.taping import deck as decked
from antiphon.wire.codec import learn
from antiphon.wire.tools import TOOL_TYPES

BUILTIN = "builtin"
Around: TypeAlias = Callable[[str, Model], Model]


class Choices(msgspec.Struct, frozen=True):
    """What the settings name, checked, with nothing opened yet."""

    store: Choice
    models: tuple[Choice, ...]
    search: Choice | None
    tools: tuple[Choice, ...]
    rooms: Rooms


class Composition(msgspec.Struct, frozen=True):
    """A server that is ready to be asked. `discovered` ends when all local ports have been asked; `report` tells what
    became of the server's cassette so far (None: it has none)."""

    app: ASGIApp
    runner: Runner
    catalog: Catalog
    store: Storage
    tools: Mapping[str, Tool]
    sockets: Sockets
    discovered: asyncio.Task[None]
    report: Callable[[], Report | None]


def choose(settings: Settings, environ: Mapping[str, str]) -> Choices:
    """Find every adapter that the settings name and check its keys; SettingsError names the key."""
    replays = taping.replays(settings)
    choosing = Choosing(environ, keyless=replays)
    one, problems = choosing.one, choosing.problems
    store = one("stores", ("store",), settings.store.kind, settings.store.options, settings.store.kind)
    models = [
        one("models", ("models", place), endpoint.kind, endpoint.options, endpoint.name)
        for place, endpoint in enumerate(settings.models)
    ]
    found = discovery.from_environment(environ) if settings.discovery.enabled and not replays else None
    taken = {endpoint.name for endpoint in settings.models}
    if found is not None and found.name not in taken:
        models.append(_endpoint(found))
    if settings.discovery.builtin and BUILTIN not in taken:
        models.append(one("models", ("discovery", "builtin"), "extractive", {}, BUILTIN))
    search = None
    if settings.web_search.model_fields_set:
        kind = settings.web_search.kind
        search = one("search", ("web_search",), kind, _search_options(settings), kind)
    if settings.recordings.dir is not None and not settings.recordings.dir.is_dir():
        problems.append(Problem(("recordings", "dir"), f"there is no folder {settings.recordings.dir}"))
    if (folder := settings.cassette.replay) is not None and not folder.is_dir():
        problems.append(Problem(("cassette", "replay"), f"there is no folder {folder}"))
    tools = [
        one("tools", ("tools", "options", module), module, settings.tools.options.get(module, {}), module)
        for module in settings.tools.modules
    ]
    stray = [module for module in settings.tools.options if module not in settings.tools.modules]
    problems += [Problem(("tools", "options", module), "is not one of `tools.modules`") for module in stray]
    library = rooms(settings, choosing)
    if problems or store is None or library is None:
        raise SettingsError(problems)
    return Choices(store, _made(models), search, _made(tools), library)


def _made(choices: Sequence[Choice | None]) -> tuple[Choice, ...]:
    return tuple(choice for choice in choices if choice is not None)


def _search_options(settings: Settings) -> dict[str, object]:
    """The backend's keys."""
    chosen = settings.web_search
    secret = chosen.key.get_secret_value() if chosen.key else None
    given: dict[str, object | None] = {"url": chosen.url, "key": secret, **chosen.options}
    return {name: value for name, value in given.items() if value is not None}


def _endpoint(found: discovery.Found) -> Choice:
    """An endpoint that was discovered."""
    chat = adapter("models", "openai_chat")
    options = {"base_url": found.base_url, "api_key": found.api_key, "dialect": found.dialect}
    return Choice(found.name, chat, msgspec.convert(options, chat.config))


@asynccontextmanager
async def compose(
    settings: Settings,
    choices: Choices,
    *,
    port: int = 0,
    clock: Clock | None = None,
    around: Around | None = None,
    deck: Deck | None = None,
) -> AsyncGenerator[Composition]:
    """Open everything that was chosen, and close it again. `port` is the one that this server listens on: nothing is
    looked for there. `clock` and `deck`: those of the settings if None. `around`: what stands between the server and
    its models, before the tape. The data folder must exist. Raises StoreError when the store cannot be opened.
    """
    learn()
    clock = clock or _clock(settings)
    parts = Parts(name="", clock=clock, folder=settings.data.dir)
    async with AsyncExitStack() as stack:
        store = cast("Storage", choices.store.make(parts))
        await store.open()
        stack.push_async_callback(store.close)
        deck, recordings = deck or decked(settings), taping.foreign(settings)
        endpoints, search = _models(settings, choices, parts, deck, recordings)
        endpoints = {name: around(name, model) if around else model for name, model in endpoints.items()}
        catalog = taping.catalog(endpoints, clock, _traits(settings, choices), deck)
        stack.push_async_callback(catalog.close)
        tokens = BpeTokens()
        ground = Ground(settings=settings, parts=parts, store=store, catalog=catalog, tokens=tokens, deck=deck)
        library = await stack.enter_async_context(opened(choices.rooms, ground))
        door = reach.door(settings)
        stack.push_async_callback(door.close)
        parts = reach.equipped(parts, settings, store, deck)
        pages = reach.pages(settings, door, library.extraction, clock) if recordings is None else None
        retrieval = taping.retrieval(library.search, deck)
        parts = msgspec.structs.replace(parts, search=search, pages=taping.pages(pages, deck), retrieval=retrieval)
        tools = taping.tools(_tools(choices, parts), deck)
        for tool in set(tools.values()):
            stack.push_async_callback(tool.close)
        intake = _intake(ground, tools, _attachments(ground, library, taping.door(door, deck)))
        runner = Runner(store=store, clock=clock, intake=intake, limits=_limits(settings), retention=_kept(settings))
        stack.push_async_callback(runner.drain, 0)
        runner.open()
        retention = Retention(store, *library.expiring, clock=clock, seconds=settings.retention.sweep_seconds)
        stack.push_async_callback(retention.close)
        retention.open()
        discovered = asyncio.create_task(_discover(_ports(settings, port), choices, catalog, parts))
        stack.push_async_callback(_stop, discovered)
        services = _services(ground, runner, library)
        services = msgspec.structs.replace(services, contexts=Contexts(intake, catalog, clock))
        told = partial(taping.report, deck, recordings)
        yield Composition(build(services), runner, catalog, store, tools, services.sockets, discovered, told)


def _clock(settings: Settings) -> Clock:
    seed = settings.cassette.seed
    return SystemClock() if seed is None else StillClock(seed)


def _intake(ground: Ground, tools: Mapping[str, Tool], attachments: Attachments) -> Intake:
    """What makes turns of requests."""
    wary = ground.settings.tools.untrusted == "approve"
    return Intake(
        store=ground.store,
        clock=ground.parts.clock,
        catalog=ground.catalog,
        tools=tools,
        means=Means(_seal(ground.settings), ground.tokens, wary=wary),
        attachments=attachments,
    )


def _attachments(ground: Ground, library: Library, door: Door) -> Attachments:
    """What makes files readable for models."""
    supplies = Supplies(
        files=ground.store.files,
        blobs=library.blobs,
        extraction=library.extraction,
        door=door,
        clock=ground.parts.clock,
    )
    return Attachments(supplies)


def _seal(settings: Settings) -> Keys:
    """The keys of the settings, or those in the data folder."""
    given = [key.get_secret_value() for key in settings.seal.keys]
    try:
        return Keys(given or secrets_in(settings.data.dir))
    except ValueError as error:
        raise SettingsError([Problem(("seal", "keys"), str(error))]) from None
    except SealError as error:
        raise SettingsError([Problem(("data", "dir"), str(error))]) from None


def _traits(settings: Settings, choices: Choices) -> dict[str, Traits]:
    """What is known of each endpoint's models."""
    windows = {endpoint.name: endpoint.context_window for endpoint in settings.models}
    return {choice.name: _traits_of(choice, windows.get(choice.name)) for choice in choices.models}


def _traits_of(choice: Choice, window: int | None = None) -> Traits:
    spoken: object = getattr(choice.config, "dialect", None)
    dialect = spoken if isinstance(spoken, Dialect) else Dialect()
    return Traits(dialect, window, getattr(spoken, "files", "text") == "native")


def _models(
    settings: Settings, choices: Choices, parts: Parts, deck: Deck, recordings: Recordings | None
) -> tuple[dict[str, Model], Search | None]:
    """The endpoints by name, and the backend of web search; recordings of others are one more endpoint (the only one
    where they are replayed) and the only backend."""
    if recordings is not None and taping.replays(settings):
        return {RECORDED: ReplayModel(recordings)}, ReplaySearch(recordings)
    endpoints = {choice.name: cast("Model", choice.make(parts)) for choice in choices.models}
    if recordings is not None:
        return {RECORDED: ReplayModel(recordings), **endpoints}, ReplaySearch(recordings)
    search = cast("Search", choices.search.make(parts)) if choices.search else None
    return taping.models(endpoints, deck), taping.search(search, deck)


def _tools(choices: Choices, parts: Parts) -> dict[str, Tool]:
    """Every tool of the room that can be served with these parts, and those of others, by the types it serves."""
    tools: dict[str, Tool] = {}
    room = [Choice(kind, found := adapter("tools", kind), found.config()) for kind in kinds("tools")]
    for choice in (*room, *choices.tools):
        tool = cast("Tool | None", choice.make(parts))
        if tool is not None:
            _check_types(choice, tool)
            tools.update(dict.fromkeys(tool.types, tool))
    return tools


def _check_types(choice: Choice, tool: Tool) -> None:
    """Types that OpenAI's clients do not know carry a prefix, as Open Responses asks; so no later one can be mistaken
    for ours."""
    bare = [kind for kind in tool.types if ":" not in kind and kind not in TOOL_TYPES]
    if bare:
        words = f"{choice.name} serves the type {bare[0]!r}: a type of one's own is called `name:{bare[0]}`"
        raise SettingsError([Problem(("tools", "modules"), words)])


def _limits(settings: Settings) -> Limits:
    bounds = settings.limits
    return Limits(
        rounds=bounds.rounds,
        run_seconds=bounds.run_seconds,
        background_runs=bounds.background_runs,
        background_runs_project=bounds.background_runs_project,
        background_seconds=bounds.background_seconds,
        recoveries=bounds.recoveries,
        lease=bounds.lease,
        live_runs=bounds.live_runs,
        live_runs_project=bounds.live_runs_project,
        items=bounds.items,
        events=bounds.events,
        tool_output=bounds.tool_output_kb * 1024,
        parallel_tools=bounds.parallel_tools,
        journal=bounds.journal_kb * 1024,
    )


def _services(ground: Ground, runner: Runner, library: Library) -> Services:
    settings, store, clock = ground.settings, ground.store, ground.parts.clock
    server = settings.server
    limits = HttpLimits(
        max_body=server.max_body_mb * 1024 * 1024,
        keepalive=server.keepalive,
        strict=server.unknown_parameters == "strict",
        cors_origins=server.cors_origins,
        guarded=not server.api_keys and local(server.host),
        trusted_hosts=server.trusted_hosts,
        idempotency_seconds=settings.retention.idempotency_hours * 3600,
        idempotency_bytes=settings.retention.idempotency_kb * 1024,
        retention=_kept(settings),
        key_digests=tuple(sha256(key.get_secret_value().encode()).digest() for key in server.api_keys),
        socket=_socket_limits(settings),
    )
    return Services(
        runner=runner,
        catalog=ground.catalog,
        conversations=Conversations(store, clock),
        completions=Completions(store, clock, retention=limits.retention),
        prompts=Prompts(store, clock),
        files=library.files,
        uploads=library.uploads,
        vector_stores=library.vector_stores,
        members=library.members,
        retrieval=library.search,
        reranking=library.reranking,
        store=store,
        clock=clock,
        limits=limits,
        idempotency=store,
        sockets=Sockets(settings.websocket.connections),
        tapes=taping.tapes(settings),
    )


def _socket_limits(settings: Settings) -> SocketLimits:
    chosen = settings.websocket
    body = settings.server.max_body_mb * 1024 * 1024
    return SocketLimits(
        seconds=chosen.minutes * 60,
        lanes=LaneLimits(lanes=chosen.lanes, waiting=chosen.waiting, size=body),
        responses=chosen.memory_responses,
        memory=chosen.memory_mb * 1024 * 1024,
    )


def _kept(settings: Settings) -> float | None:
    """Seconds that responses and chat completions are kept; None: for ever."""
    return settings.retention.days * 86_400 or None


def _ports(settings: Settings, own: int) -> dict[str, int]:
    """The ports to ask: never our own."""
    if not settings.discovery.enabled or taping.replays(settings):
        return {}
    return {name: port for name, port in settings.discovery.ports.items() if port != own}


async def _discover(ports: Mapping[str, int], choices: Choices, catalog: Catalog, parts: Parts) -> None:
    """Add local servers to the catalog as they answer, except those that have settings."""
    known = [str(getattr(choice.config, "base_url", "")) for choice in choices.models]
    async with aclosing(discovery.local(ports)) as answers:
        async for found in answers:
            if found.name not in catalog.endpoints and not _configured(found, known):
                choice = _endpoint(found)
                catalog.add(found.name, choice.make(parts), _traits_of(choice))


def _configured(found: discovery.Found, known: Sequence[str]) -> bool:
    """Whether an endpoint of the settings is this server under one of its names."""
    return any(url.rstrip("/").replace("//localhost:", f"//{discovery.LOOPBACK}:") == found.base_url for url in known)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
