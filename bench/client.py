"""A light HTTP client for load: one kept-alive connection that counts server-sent events and keeps no more than asked.

It costs little, because it shares the core with the server that it loads.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

DELTA = b"response.output_text.delta"
TERMINAL = (b"response.completed", b"response.incomplete", b"response.failed", b"error")
TYPE = re.compile(rb'"type" *: *"((?:response\.[a-z_.]+)|error)"')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


class Answer:
    """One answer. Times are seconds since the request was written; `body` is kept unless it is a stream, of a stream
    `events` counts the types and `last` is the newest event that is not `[DONE]`."""

    def __init__(self) -> None:
        self.status = 0
        self.streamed = False
        self.body = b""
        self.events: Counter[bytes] = Counter()
        self.last = b""
        self.first_event: float | None = None
        self.first_delta: float | None = None
        self.seconds = 0.0
        self.closes = False

    def json(self) -> dict[str, Any]:
        """The body, or the response of the terminal event; raises ValueError when there is none."""
        if not self.streamed:
            return json.loads(self.body)
        return json.loads(self.last.partition(b"data:")[2])["response"]

    def delivered(self, tokens: int) -> bool:
        """Whether this is a whole stream: exactly so many deltas, and one terminal event which says completed."""
        terminal = sum(self.events[name] for name in TERMINAL)
        return (
            self.status == 200
            and self.events[DELTA] == tokens
            and terminal == 1
            and self.events[b"response.completed"] == 1
        )

    def fault(self) -> str:
        """What came instead, in few words."""
        counts = {name.decode(errors="replace"): count for name, count in self.events.items()}
        return f"{self.status} {counts or ''} {self.body[:200].decode(errors='replace')}"


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._buffer = b""
        self._text = b""
        self._mode = "idle"
        self._left = 0
        self._answer = Answer()
        self._done: asyncio.Future[Answer] | None = None

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come."""
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side: the end of an answer without a length, otherwise a fault."""
        del exc
        self.closed = True
        if self._mode == "until close":
            self._finish()
        elif self._done and not self._done.done():
            self._done.set_exception(ConnectionError(f"closed in the middle: {self._answer.fault()}"))

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Write a request; the future holds its answer."""
        self._done = asyncio.get_running_loop().create_future()
        self._answer, self._mode, self._buffer, self._text = Answer(), "head", b"", b""
        self._start = time.perf_counter()
        self._transport.write(request)
        return self._done

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        if self._mode == "head":
            head, found, data = (self._buffer + data).partition(b"\r\n\r\n")
            self._buffer = b"" if found else head
            if not found:
                return
            self._open(head.lower())
        if self._mode == "chunks":
            self._chunks(data)
        elif self._mode == "length":
            self._left -= len(data)
            self._take(data)
            if self._left <= 0:
                self._finish()
        else:
            self._take(data)

    def _open(self, head: bytes) -> None:
        answer = self._answer
        answer.status = int(head.split(b" ", 2)[1])
        answer.streamed = b"text/event-stream" in head
        answer.closes = b"connection: close" in head
        length = LENGTH.search(head)
        if b"transfer-encoding: chunked" in head:
            self._mode = "chunks"
        elif length:
            self._mode, self._left = "length", int(length[1])
        else:
            self._mode = "until close"

    def _chunks(self, data: bytes) -> None:
        buffer = self._buffer + data
        place, pieces, ended = 0, list[bytes](), False
        while not ended and (line := buffer.find(b"\r\n", place)) >= 0:
            size = int(buffer[place:line].partition(b";")[0], 16)
            if len(buffer) < line + 4 + size:
                break
            pieces.append(buffer[line + 2 : line + 2 + size])
            place, ended = line + 4 + size, size == 0
        self._buffer = buffer[place:]
        self._take(b"".join(pieces))
        if ended:
            self._finish()

    def _take(self, data: bytes) -> None:
        answer = self._answer
        if not answer.streamed:
            answer.body += data
            return
        *events, self._text = (self._text + data).replace(b"\r\n", b"\n").split(b"\n\n")
        now = time.perf_counter() - self._start
        for event in events:
            self._count(event, now)

    def _count(self, event: bytes, now: float) -> None:
        answer = self._answer
        if event.startswith(b"event:"):
            kind = event[6 : event.find(b"\n")].strip()
        elif event.startswith(b"data: {"):
            found = TYPE.search(event)
            kind = found[1] if found else b"unknown"
        else:
            return  # a comment, or [DONE]
        answer.events[kind] += 1
        answer.last = event
        if answer.first_event is None:
            answer.first_event = now
        if answer.first_delta is None and kind == DELTA:
            answer.first_delta = now

    def _finish(self) -> None:
        self._mode = "idle"
        self._answer.seconds = time.perf_counter() - self._start
        if self._done and not self._done.done():
            self._done.set_result(self._answer)


class Client:
    """Where a server answers, and how requests to it are written."""

    def __init__(self, base_url: str, model: str, key: str = "sk-bench") -> None:
        url = urlsplit(base_url)
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 80
        self.base_url, self.model, self.key = base_url, model, key
        self._prefix, self._key = url.path.rstrip("/"), key

    async def connect(self) -> Connection:
        """A fresh connection."""
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection

    def request(self, path: str, body: object = None, *, method: str = "POST") -> bytes:
        """The bytes of a request."""
        payload = b"" if body is None else json.dumps(body).encode()
        lines = (
            f"{method} {self._prefix}{path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Authorization: Bearer {self._key}",
            "Content-Type: application/json",
            "Accept: */*",
            f"Content-Length: {len(payload)}",
        )
        return "\r\n".join((*lines, "", "")).encode() + payload

    def respond(self, text: str, *, stream: bool, **more: object) -> bytes:
        """The bytes of a stored response to this text."""
        fields = {"model": self.model, "input": text, "stream": stream, "store": True}
        return self.request("/responses", {**fields, **more})
