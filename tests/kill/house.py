"""A data folder, the server processes on it, and the database as it lies there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import antiphon
from antiphon.adapters.stores.sqlite import FILE
from antiphon.wire.codec import encode
from tests.kill.server import Birth
from tests.patience import eventually
from tests.process import DEADLINE, ROOT, environ

LEASE: Final = 1.0
"""Seconds for which a process holds a run without a sign of life."""


class StartError(Exception):
    """A server did not begin to listen; what it said."""


class Server:
    """One process."""

    def __init__(self, pid: int, url: str, log: Path) -> None:
        self.url = url
        self.log = log
        self.pid = pid
        self._killed = False

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone; its number may be another process's then."""
        if self._killed:
            return
        self._killed = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await eventually(self._gone, deadline=DEADLINE)

    async def _gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def stop(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def complaints(self) -> list[str]:
        """What its log tells of faults of ours: the line before a traceback, and the traceback's last."""
        log = self.log.read_text(encoding="utf-8")
        return re.findall(r"(?:.*\n)?Traceback(?:.*\n[ \n])*.*\n.*", log)


class Nursery:
    """A process that has imported everything and forks servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._born: list[asyncio.Future[tuple[int, str]]] = []
        self._reading = asyncio.ensure_future(self._read())

    async def birth(self, settings: Path, effects: str, log: Path) -> Server:
        """A server that listens."""
        born: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        birth = Birth(len(self._born), str(settings), effects, str(log))
        self._born.append(born)
        assert self._process.stdin is not None
        self._process.stdin.write(encode(birth) + b"\n")
        async with asyncio.timeout(DEADLINE):
            pid, url = await born
        if not url:
            raise StartError(log.read_text(encoding="utf-8"))
        return Server(pid, url, log)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            number, pid, url = line.decode().removesuffix("\n").split(" ")
            self._born[int(number)].set_result((int(pid), url))

    async def close(self) -> None:
        """No more servers. Those that live are their houses'."""
        self._reading.cancel()
        self._process.kill()
        await asyncio.wait([self._reading])
        await self._process.wait()


@asynccontextmanager
async def nursery() -> AsyncGenerator[Nursery]:
    """One for the servers of a test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kill.server"),
        cwd=ROOT,
        env=environ(ROOT, PYTHONPATH=str(Path(antiphon.__file__).parents[1])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    made = Nursery(process)
    try:
        yield made
    finally:
        await made.close()


class House:
    """A data folder and its servers."""

    def __init__(self, folder: Path, nursery: Nursery, world: str, *, patience: float = 5.0, more: str = "") -> None:
        """`world` is the URL of everything outside; `patience`: seconds that a server waits for a locked database;
        `more`: further settings."""
        self.folder = folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self.servers: list[Server] = []
        self._nursery = nursery
        self._world = world
        self._settings = folder / "settings.toml"
        self._settings.write_text(_toml(folder / "data", world, patience) + more, encoding="utf-8")

    async def start(self) -> Server:
        """One more process on the folder, from the moment it listens."""
        log = self.folder / f"server{len(self.servers)}.log"
        server = await self._nursery.birth(self._settings, f"{self._world}/effect", log)
        self.servers.append(server)
        return server

    async def close(self) -> None:
        """No process is left."""
        for server in self.servers:
            await server.kill()

    # the database

    @contextmanager
    def locked(self, database: Path | None = None) -> Generator[sqlite3.Connection]:
        """Nobody else writes meanwhile. Rolling the connection back ends it early."""
        db = sqlite3.connect(database or self.database, timeout=5.0, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
        finally:
            db.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a reader of the file finds."""
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5.0)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    @property
    def database(self) -> Path:
        """The file."""
        return self.folder / "data" / FILE


def _toml(data: Path, world: str, patience: float) -> str:
    """The settings; JSON strings are TOML strings."""
    return f"""
[data]
dir = {json.dumps(str(data))}

[store]
patience = {patience}

[discovery]
enabled = false
builtin = false

[limits]
lease = {LEASE}
background_runs_project = 32

[[models]]
name = "world"
base_url = {json.dumps(world + "/v1")}
models = ["m"]
timeouts = {{ connect = 30.0, first_byte = 60.0, idle = 60.0 }}

[web_search]
url = {json.dumps(world)}
key = "none"
"""
