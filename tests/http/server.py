"""Our application on a real port, in the loop of the test."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from openai import AsyncOpenAI

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.indexes.memory import MemoryIndex
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.engine.completions import Completions
from antiphon.engine.conversations import Conversations
from antiphon.engine.prompts import Prompts
from antiphon.http.app import build
from antiphon.http.services import HttpLimits, Services
from antiphon.ports.blobs import Blobs
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.storage import Storage
from tests.blobs import MemoryBlobs
from tests.http.library import library
from tests.http.stubs import StubCatalog, StubContexts, StubModel, StubRunner

DEADLINE = 10.0


@dataclass
class Parts:
    """What a test may replace."""

    runner: StubRunner = field(default_factory=StubRunner)
    model: StubModel = field(default_factory=StubModel)
    catalog: StubCatalog | None = None
    limits: HttpLimits = field(default_factory=HttpLimits)
    store: Storage | None = None
    keys: Idempotency | None = None
    blobs: Blobs = field(default_factory=MemoryBlobs)


@dataclass
class Answer:
    """An HTTP answer as it was read from the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error; checks the shape that every error has."""
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        assert list(self.json["error"]) == ["message", "type", "param", "code"]
        return self.json["error"]


class Server:
    """A server that runs: its port, its clients."""

    def __init__(self, port: int, parts: Parts) -> None:
        self.port = port
        self.parts = parts
        self.url = f"http://127.0.0.1:{port}/v1"

    def client(self, *, api_key: str = "key", base_url: str = "") -> AsyncOpenAI:
        """The official client, without its retries."""
        return AsyncOpenAI(base_url=base_url or self.url, api_key=api_key, max_retries=0, timeout=DEADLINE)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(
        self, method: str, path: str, body: bytes | object | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on its own connection."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"host": "test", "connection": "close", "content-length": str(len(content)), **(headers or {})}
        if content and "content-type" not in sent:
            sent["content-type"] = "application/json"
        lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in sent.items() if value != "")]
        return await self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content)

    async def raw(self, sent: bytes) -> Answer:
        """Send these bytes, read until the server closes."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await self.connect()
            try:
                writer.write(sent)
                await writer.drain()
                return parsed(await reader.read())
            finally:
                writer.close()


def parsed(received: bytes) -> Answer:
    """The answer with its body put together from its chunks."""
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = dechunked(rest) if headers.get("transfer-encoding") == "chunked" else rest
    return Answer(int(first.split(" ")[1]), headers, body)


def dechunked(rest: bytes) -> bytes:
    """What the chunks hold, as far as they are complete."""
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body


@asynccontextmanager
async def serving(parts: Parts | None = None) -> AsyncGenerator[Server]:
    """Start, and stop within the deadline whatever the test left open."""
    parts = parts or Parts()
    parts.catalog = parts.catalog or StubCatalog(parts.model, "m", "org/family/model")
    clock = SystemClock()
    store = parts.store = parts.store or MemoryStore(clock)
    await store.open()
    index = MemoryIndex()
    await index.open()
    services = Services(
        runner=parts.runner,
        catalog=parts.catalog,
        conversations=Conversations(store, clock),
        completions=Completions(store, clock),
        prompts=Prompts(store, clock),
        **library(store, clock, index, parts.blobs),
        store=store,
        clock=clock,
        limits=parts.limits,
        contexts=StubContexts(),
        idempotency=parts.keys or store,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        build(services), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield Server(listening.getsockname()[1], parts)
    finally:
        server.should_exit = True
        async with asyncio.timeout(DEADLINE):
            await running
        await store.close()
