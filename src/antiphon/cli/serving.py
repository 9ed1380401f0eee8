"""One serving process: its socket, its folder, uvicorn, and how it stops."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Final, TypeAlias

import msgspec
import uvicorn

from antiphon.cli.banner import banner, summary, told
from antiphon.cli.protocol import WebSocket
from antiphon.compose import Around, Choices, Composition, choose, compose
from antiphon.http.sites import local
from antiphon.ports.clock import Clock
from antiphon.replay.exchange import RecordingError
from antiphon.replay.tape import Deck
from antiphon.settings import Loaded, Settings
from antiphon.settings.tree import Tapes
from antiphon.taping import Report
from antiphon.wire.errors import StoreError

BACKLOG: Final = 2048
LOOPBACK: Final = "127.0.0.1"
GRACE: Final = 5.0
"""Seconds that answers get to leave after the runs were stopped."""

Say: TypeAlias = Callable[[str], None]


class RefusalError(Exception):
    """The server cannot run here; the words say what to do."""


class Server(uvicorn.Server):
    """uvicorn that tells when it listens, and drains the runs while it shuts down."""

    def __init__(
        self, config: uvicorn.Config, *, listening: Callable[[], None], drain: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._listening = listening
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening; wait for the runs and for the answers that carry them; a second Ctrl-C cuts it short."""
        draining = asyncio.ensure_future(self._drain())
        await super().shutdown(sockets)
        if self.force_exit:
            draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)


def run(loaded: Loaded, environ: Mapping[str, str], say: Say) -> Report | None:
    """Serve until told to stop; what became of the cassette, where there is one. Raises RefusalError, SettingsError."""
    settings = loaded.settings
    choices = choose(settings, environ)
    _guard(settings)
    _prepare(settings)
    logging.basicConfig(level=settings.log.level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))
    with _bind(settings.server.host, settings.server.port) as listener, asyncio.Runner(loop_factory=_loop()) as runner:
        report = runner.run(_serve(loaded, choices, listener, say))
    if report is not None:
        _report(report, settings, say)
    return report


async def _serve(loaded: Loaded, choices: Choices, listener: socket.socket, say: Say) -> Report | None:
    settings = loaded.settings
    port: int = listener.getsockname()[1]
    url = f"http://{_shown(settings.server.host)}:{port}"
    try:
        async with compose(settings, choices, port=port) as composition:
            telling: list[asyncio.Task[None]] = []

            def listening() -> None:
                say(f"antiphon listening on {url}")
                if settings.cassette != Tapes():
                    say(told(settings))
                telling.append(asyncio.create_task(_tell(composition, loaded, url, say)))

            async def drain() -> None:
                composition.sockets.drain()
                await composition.runner.drain(settings.server.drain_seconds)

            server = Server(_uvicorn(composition, settings), listening=listening, drain=drain)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _stopped)  # not before: until it serves, a signal just ends the process
            await server.serve([listener])
            for task in telling:
                task.cancel()
            await asyncio.gather(*telling, return_exceptions=True)
        return composition.report()
    except StoreError as error:
        raise RefusalError(f"the store cannot be opened: {error.message}") from error
    except RecordingError as error:
        raise RefusalError(error.message) from error


class Guest(uvicorn.Server):
    """uvicorn inside of a program that handles its signals itself."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """None are."""
        yield


@asynccontextmanager
async def served(settings: Settings, environ: Mapping[str, str]) -> AsyncGenerator[str]:
    """A server in this process, for this process: its URL, on a free port of loopback. Raises RefusalError,
    SettingsError."""
    async with hosted(settings, choose(settings, environ)) as (url, composition):
        await composition.discovered
        yield url


@asynccontextmanager
async def hosted(
    settings: Settings,
    choices: Choices,
    *,
    clock: Clock | None = None,
    around: Around | None = None,
    deck: Deck | None = None,
) -> AsyncGenerator[tuple[str, Composition]]:
    """As `served`, of parts that were chosen, with what it is composed of; see `compose` for the rest."""
    _prepare(settings)
    with _bind(LOOPBACK, 0) as listener:
        port: int = listener.getsockname()[1]
        try:
            async with compose(settings, choices, port=port, clock=clock, around=around, deck=deck) as composition:
                server = Guest(_uvicorn(composition, settings))
                serving = asyncio.create_task(server.serve([listener]))
                try:
                    yield f"http://{LOOPBACK}:{port}", composition
                finally:
                    server.should_exit = True
                    composition.sockets.drain()
                    await composition.runner.drain(0)  # answers that still stream end with it
                    await serving
        except StoreError as error:
            raise RefusalError(f"the store cannot be opened: {error.message}") from error


def _report(report: Report, settings: Settings, say: Say) -> None:
    """Tell what became of the cassette, and write it down where that is wanted. Raises RefusalError."""
    for each in summary(report):
        say(each)
    path = settings.cassette.report
    if path is None:
        return
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise RefusalError(f"the report {path} cannot be written: {error.strerror}") from error


async def _tell(composition: Composition, loaded: Loaded, url: str, say: Say) -> None:
    say(await banner(composition, loaded, url))


def _uvicorn(composition: Composition, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        composition.app,
        http="httptools",
        ws=WebSocket,
        ws_max_size=settings.server.max_body_mb * 1024 * 1024,
        ws_ping_interval=settings.websocket.ping_seconds,
        ws_ping_timeout=settings.websocket.pong_seconds,
        ws_per_message_deflate=settings.websocket.compression,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.server.drain_seconds + GRACE),
    )


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop, where that runs."""
    if sys.platform == "win32" or sys.implementation.name != "cpython":
        return None
    import uvloop  # noqa: PLC0415  # not installed on the platforms above

    return uvloop.new_event_loop


def _stopped(number: int, frame: FrameType | None) -> None:
    """Nothing: uvicorn repeats a signal after it has stopped, for whoever runs it, and here that is nobody."""


def _guard(settings: Settings) -> None:
    """Other machines are let in only with keys, or when the operator says so."""
    server = settings.server
    if not server.api_keys and not server.open and not local(server.host):
        raise RefusalError(
            f"{server.host} can be reached from other machines and there are no API keys, so anyone could use this "
            "server. Set server.api_keys (ANTIPHON_SERVER_API_KEYS), listen on 127.0.0.1, or pass --open to allow it."
        )


def _shown(host: str) -> str:
    """The host as a client on this machine would write it."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  # compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _prepare(settings: Settings) -> None:
    folder = settings.data.dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RefusalError(
            f"the data folder {folder} cannot be made: {error.strerror}. Choose another: --data DIR"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RefusalError(f"the data folder {folder} is not writable. Choose another: --data DIR")


def _bind(host: str, port: int) -> socket.socket:
    """Listen at once: whoever connects while the parts are loaded waits for the answer and is not refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RefusalError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            words = f"{host}:{port} is in use by another program. Choose another port: --port N (0 takes a free one)"
            raise RefusalError(words) from None
        raise RefusalError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
