"""The one place where concrete things meet: settings become a store, endpoints, tools, a runner and an ASGI app."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from hashlib import sha256
from typing import Any, cast

import msgspec
from starlette.types import ASGIApp

from antiphon.adapters import discovery
from antiphon.adapters.clock import SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import Adapter, AdapterError, adapter, kinds
from antiphon.adapters.seal import Keys, secrets_in
from antiphon.adapters.tokens import BpeTokens
from antiphon.core.dialect import Dialect
from antiphon.core.limits import Limits
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
from antiphon.ports.model import Model
from antiphon.ports.seal import SealError
from antiphon.ports.search import Search
from antiphon.ports.storage import Storage
from antiphon.ports.tool import Tool
from antiphon.replay.model import ReplayModel
from antiphon.replay.recordings import Recordings
from antiphon.replay.tool import ReplaySearch
from antiphon.settings import Problem, Settings, SettingsError, unknown
from antiphon.settings.errors import Path

BUILTIN = "builtin"
RECORDED = "recorded"


class Choice(msgspec.Struct, frozen=True):
    """An adapter, its checked config, and what it is called."""

    name: str
    adapter: Adapter
    config: Any

    def make(self, parts: Parts) -> Any:
        """The port."""
        return self.adapter.make(self.config, msgspec.structs.replace(parts, name=self.name))


class Choices(msgspec.Struct, frozen=True):
    """What the settings name, checked, with nothing opened yet."""

    store: Choice
    models: tuple[Choice, ...]
    search: Choice | None


class Composition(msgspec.Struct, frozen=True):
    """A server that is ready to be asked. `discovered` ends when all local ports have been asked."""

    app: ASGIApp
    runner: Runner
    catalog: Catalog
    store: Storage
    tools: Mapping[str, Tool]
    sockets: Sockets
    discovered: asyncio.Task[None]


def choose(settings: Settings, environ: Mapping[str, str]) -> Choices:
    """Find every adapter that the settings name and check its keys; SettingsError names the key."""
    problems: list[Problem] = []

    def one(room: str, path: Path, kind: str, options: Mapping[str, object], name: str) -> Choice | None:
        try:
            found = adapter(room, kind)
        except AdapterError as error:
            problems.append(Problem((*path, "kind"), str(error)))
            return None
        try:
            return Choice(name, found, _config(found, options, path, environ))
        except SettingsError as error:
            problems.extend(error.problems)
            return None

    store = one("stores", ("store",), settings.store.kind, settings.store.options, settings.store.kind)
    models = [
        one("models", ("models", place), endpoint.kind, endpoint.options, endpoint.name)
        for place, endpoint in enumerate(settings.models)
    ]
    found = discovery.from_environment(environ) if settings.discovery.enabled else None
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
    if problems or store is None:
        raise SettingsError(problems)
    return Choices(store, tuple(model for model in models if model is not None), search)


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


_AT = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"missing required field `(.*?)`")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]")


def _config(found: Adapter, options: Mapping[str, object], path: Path, environ: Mapping[str, str]) -> Any:
    """The adapter's keys as its own type; `KEY_env` names the variable that holds the value of `KEY`."""
    known = [field.encode_name for field in msgspec.structs.fields(found.config)]
    given: dict[str, object] = {}
    for name, value in options.items():
        target = name.removesuffix("_env")
        if name in known:
            given[name] = value
        elif target in known and name != target:
            given[target] = _variable(str(value), environ, (*path, name))
        else:
            raise SettingsError([Problem((*path, name), unknown(name, known))])
    try:
        return msgspec.convert(given, found.config, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError([_problem(str(error), path)]) from None


def _problem(words: str, path: Path) -> Problem:
    """What msgspec says of a config, with the place in our tree."""
    at = _AT.search(words)
    steps = tuple(name or int(index) for name, index in _STEP.findall(at[1])) if at else ()
    if missing := _MISSING.search(words):
        return Problem((*path, *steps, missing[1]), "is required")
    return Problem((*path, *steps), _AT.sub("", words))


def _variable(name: str, environ: Mapping[str, str], path: Path) -> str:
    value = environ.get(name)
    if not value:
        raise SettingsError([Problem(path, f"the environment variable {name} is not set")])
    return value


@asynccontextmanager
async def compose(settings: Settings, choices: Choices, *, port: int = 0) -> AsyncGenerator[Composition]:
    """Open everything that was chosen, and close it again. `port` is the one that this server listens on: nothing is
    looked for there. The data folder must exist. Raises StoreError when the store cannot be opened.
    """
    clock = SystemClock()
    parts = Parts(name="", clock=clock, folder=settings.data.dir)
    async with AsyncExitStack() as stack:
        store = cast("Storage", choices.store.make(parts))
        await store.open()
        stack.push_async_callback(store.close)
        endpoints, search = _models(settings, choices, parts)
        catalog = Catalog(endpoints, clock, traits=_traits(settings, choices))
        stack.push_async_callback(catalog.close)
        tools = _tools(msgspec.structs.replace(parts, search=search))
        for tool in set(tools.values()):
            stack.push_async_callback(tool.close)
        means = Means(_seal(settings), BpeTokens())
        intake = Intake(store=store, clock=clock, catalog=catalog, tools=tools, means=means)
        runner = Runner(
            store=store,
            clock=clock,
            intake=intake,
            limits=_limits(settings),
            retention=_kept(settings),
        )
        stack.push_async_callback(runner.drain, 0)
        runner.open()
        retention = Retention(store=store, clock=clock, seconds=settings.retention.sweep_seconds)
        stack.push_async_callback(retention.close)
        retention.open()
        discovered = asyncio.create_task(_discover(_ports(settings, port), choices, catalog, parts))
        stack.push_async_callback(_stop, discovered)
        services = _services(settings, runner, catalog, store, clock)
        services = msgspec.structs.replace(services, contexts=Contexts(intake, catalog, clock))
        yield Composition(build(services), runner, catalog, store, tools, services.sockets, discovered)


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
    return {choice.name: Traits(_dialect(choice), windows.get(choice.name)) for choice in choices.models}


def _dialect(choice: Choice) -> Dialect:
    found: object = getattr(choice.config, "dialect", None)
    return found if isinstance(found, Dialect) else Dialect()


def _models(settings: Settings, choices: Choices, parts: Parts) -> tuple[dict[str, Model], Search | None]:
    """The endpoints by name, and the backend of web search; recordings are one more endpoint and the only backend."""
    endpoints = {choice.name: cast("Model", choice.make(parts)) for choice in choices.models}
    if settings.recordings.dir is not None:
        recordings = Recordings(settings.recordings.dir, case=settings.recordings.case)
        return {RECORDED: ReplayModel(recordings), **endpoints}, ReplaySearch(recordings)
    search = cast("Search", choices.search.make(parts)) if choices.search else None
    return endpoints, search


def _tools(parts: Parts) -> dict[str, Tool]:
    """Every tool of the room that can be served with these parts, by the types it serves."""
    tools: dict[str, Tool] = {}
    for kind in kinds("tools"):
        found = adapter("tools", kind)
        tool = cast("Tool | None", found.make(found.config(), msgspec.structs.replace(parts, name=kind)))
        if tool is not None:
            tools.update(dict.fromkeys(tool.types, tool))
    return tools


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


def _services(settings: Settings, runner: Runner, catalog: Catalog, store: Storage, clock: Clock) -> Services:
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
        catalog=catalog,
        conversations=Conversations(store, clock),
        completions=Completions(store, clock, retention=limits.retention),
        prompts=Prompts(store, clock),
        store=store,
        clock=clock,
        limits=limits,
        idempotency=store,
        sockets=Sockets(settings.websocket.connections),
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
    if not settings.discovery.enabled:
        return {}
    return {name: port for name, port in settings.discovery.ports.items() if port != own}


async def _discover(ports: Mapping[str, int], choices: Choices, catalog: Catalog, parts: Parts) -> None:
    """Add local servers to the catalog as they answer, except those that have settings."""
    known = [str(getattr(choice.config, "base_url", "")) for choice in choices.models]
    async with aclosing(discovery.local(ports)) as answers:
        async for found in answers:
            if found.name not in catalog.endpoints and not _configured(found, known):
                choice = _endpoint(found)
                catalog.add(found.name, choice.make(parts), Traits(_dialect(choice)))


def _configured(found: discovery.Found, known: Sequence[str]) -> bool:
    """Whether an endpoint of the settings is this server under one of its names."""
    return any(url.rstrip("/").replace("//localhost:", f"//{discovery.LOOPBACK}:") == found.base_url for url in known)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
