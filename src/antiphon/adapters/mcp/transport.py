"""HTTP of the MCP SDK through the egress door (law 9).

What goes wrong becomes an answer that the SDK gives to whoever asked: an error of the protocol that carries the HTTP
status. Nothing that a server says in a refusal is passed on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final
from urllib.parse import urlsplit

import httpx2

from antiphon.ports.door import Answer, Ask, Door, DoorError, DoorLimits

FAULT: Final = -32090
"""The code of errors that are ours; their data is `{"status", "lost"}`, with status 0 where nothing answered."""
SIZE: Final = 50 * 1024 * 1024
"""Bytes of one answer, or of one event of a stream, which may go on for long."""
REDIRECTS: Final = 3
EVENTS: Final = "text/event-stream"
LARGE: Final = 4 * 1024 * 1024
"""Bytes from which on an answer, or an event, waits for its turn: so many at once take much memory."""
_BLANK: Final = (b"\n\n", b"\n\r\n", b"\r\r")
_OURS: Final = frozenset({"host", "content-length", "connection", "accept-encoding", "transfer-encoding"})
_UNPACKED: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class _BrokenError(httpx2.StreamError):
    """The answer broke off, or is too large."""


class _Body(httpx2.AsyncByteStream):
    """An answer's body; the door stays open until it is closed. What is large waits for its turn. Of a stream the bytes
    of each event count, and whoever reads the events refuses those that are too large."""

    def __init__(self, answer: Answer, opened: AbstractAsyncContextManager[Answer], turns: asyncio.Semaphore) -> None:
        self._opened = opened
        self._pieces: AsyncGenerator[bytes] = answer.pieces()
        self._events = answer.headers.get("content-type", "").lower().startswith(EVENTS)
        self._turns = turns
        self._turn = False
        self._size = 0
        self._last = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                self._count(piece)
                await self._wait()
                yield piece
        except DoorError as error:
            raise _BrokenError(error.message) from None

    async def aclose(self) -> None:
        self._size = 0
        await self._wait()
        await self._pieces.aclose()
        await self._opened.__aexit__(None, None, None)

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if not self._events:
            if self._size > SIZE:
                raise _BrokenError(f"the answer is larger than {SIZE} bytes.")
            return
        near = self._last + piece
        end = max(near.rfind(blank) for blank in _BLANK)
        if end >= 0:
            self._size = len(near) - end
        self._last = near[-2:]

    async def _wait(self) -> None:
        """Take a turn for what is large, and give it back behind it."""
        large = self._size > LARGE
        if large and not self._turn:
            await self._turns.acquire()
        elif self._turn and not large:
            self._turns.release()
        self._turn = large


class DoorTransport(httpx2.AsyncBaseTransport):
    """A transport of the SDK's HTTP client. `seconds` to the first byte of an answer; `failed` is told of every request
    that came to nothing; for each of the `turns` one large answer is read at a time."""

    def __init__(
        self, door: Door, seconds: float, failed: Callable[[str, int], None], turns: asyncio.Semaphore
    ) -> None:
        self._door = door
        self._turns = turns
        self._failed = failed
        self._limits = DoorLimits(size=None, seconds=None, first=seconds, redirects=REDIRECTS, within=True)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask through the door."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
        body = await request.aread()
        opened = self._door.open(
            Ask(url=str(request.url), method=request.method, headers=headers, body=body or None), self._limits
        )
        try:
            answer = await opened.__aenter__()
        except DoorError as error:
            return self._fault(request, error.message, 0)
        if self._told(request, answer):
            kept = [(name, value) for name, value in answer.headers.items() if name not in _UNPACKED]
            return httpx2.Response(
                answer.status, headers=kept, stream=_Body(answer, opened, self._turns), request=request
            )
        await opened.__aexit__(None, None, None)
        host = urlsplit(str(request.url)).hostname
        return self._fault(request, f"{host} answered with HTTP {answer.status}.", answer.status)

    def _told(self, request: httpx2.Request, answer: Answer) -> bool:
        """Whether the answer is the protocol's."""
        if answer.status < 400:
            return True
        if answer.status not in {400, 404} or (answer.status == 404 and "mcp-session-id" in request.headers):
            return False
        return answer.headers.get("content-type", "").lower().startswith("application/json")

    def _fault(self, request: httpx2.Request, words: str, status: int) -> httpx2.Response:
        if request.method == "POST":
            self._failed(words, status)
        lost = status == 404 and "mcp-session-id" in request.headers
        error = {"code": FAULT, "message": words, "data": {"status": status, "lost": lost}}
        content = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = {"content-type": "application/json"}
        return httpx2.Response(status or 502, headers=headers, content=content, request=request)
