"""A model endpoint on a real port, whose every byte a test decides.

`upstream.reply(...)` queues an answer; each request takes the next one (or the answer set as `default`) and is kept in
`upstream.exchanges`. A body is a sequence of parts: bytes are written as they are, each in a write of its own; an
asyncio.Event is waited for; HANG waits until the client goes; CUT resets the connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

DEADLINE: Final = 10.0
DONE: Final = b"data: [DONE]\n\n"


class Stop(Enum):
    HANG = "hang"
    CUT = "cut"


HANG: Final = Stop.HANG
CUT: Final = Stop.CUT
Part: TypeAlias = bytes | asyncio.Event | Stop


@dataclass(frozen=True)
class Reply:
    """An answer. `chunked` false: no length is told and the connection closes behind it."""

    parts: Sequence[Part] = ()
    status: int = 200
    type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunked: bool = True


@dataclass
class Exchange:
    """One request, and whether its client has gone."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    def __init__(self) -> None:
        self.port = 0
        self.exchanges: list[Exchange] = []
        self.asked = asyncio.Event()
        """Set once a request has come."""
        self.connections = 0
        self.default: Reply | None = None
        self._replies: list[Reply] = []
        self._serving: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while (exchange := await _request(reader, connection)) is not None:
                self.exchanges.append(exchange)
                self.asked.set()
                reply = self._replies.pop(0) if self._replies else self.default
                assert reply is not None, f"nothing to reply to {exchange.method} {exchange.path}"
                if not await _answer(reply, exchange, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            if self.exchanges:
                self.exchanges[-1].left.set()
        finally:
            self._serving.discard(task)
            writer.close()

    async def stop(self) -> None:
        serving = [*self._serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _request(reader: asyncio.StreamReader, connection: int) -> Exchange | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method, path, headers, body, connection)


async def _answer(reply: Reply, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Write the reply; whether the connection goes on."""
    framing = {"Transfer-Encoding": "chunked"} if reply.chunked else {"Connection": "close"}
    headers = {"Content-Type": reply.type, **framing, **reply.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} Some Reason\r\n{head}\r\n".encode())
    for part in reply.parts:
        if isinstance(part, bytes):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if reply.chunked else part)
            await writer.drain()
            await asyncio.sleep(0)
        elif part is CUT:
            writer.transport.abort()
            return False
        elif await _left(None if part is HANG else part, exchange, reader):
            return False
    if reply.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return reply.chunked


async def _left(gate: Any, exchange: Exchange, reader: asyncio.StreamReader) -> bool:
    """Wait at the gate (None: for ever); whether the client has gone meanwhile."""
    opened = asyncio.ensure_future(gate.wait() if gate is not None else asyncio.Event().wait())
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            gone.exception()
            exchange.left.set()
            return True
        return False
    finally:
        opened.cancel()
        gone.cancel()


@asynccontextmanager
async def running() -> AsyncGenerator[Upstream]:
    """An upstream that listens on a free port of loopback."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()


def sse(document: Any) -> bytes:
    """The document as one event of a stream."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def chunk(*, finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with this delta."""
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
    }


def usage(prompt: int = 5, completion: int = 2) -> dict[str, Any]:
    """The chunk that tells the usage."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**chunk(usage=counts), "choices": []}


def speech(*pieces: str, finish: str = "stop") -> Reply:
    """A stream that says these pieces, each in a write of its own, and ends well."""
    parts = [sse(chunk(role="assistant", content=""))] + [sse(chunk(content=piece)) for piece in pieces]
    return Reply([*parts, sse(chunk(finish=finish)) + sse(usage()) + DONE])


def refusal(status: int, document: Any, **headers: str) -> Reply:
    """An error with a JSON body; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply([json.dumps(document).encode()], status, "application/json", named)
