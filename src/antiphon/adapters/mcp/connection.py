"""One session with one MCP server.

The SDK's client lives in a task of its own from its handshake to its end; calls come from any task. A session whose
stream ends, or whose server does not know it any more, is dead and is not used again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
import msgspec
from mcp import Client, MCPError
from mcp.client._transport import Transport, TransportStreams
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import Implementation, ToolListChangedNotification
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from antiphon.adapters.egress.urls import read
from antiphon.adapters.mcp.pool import Waits
from antiphon.adapters.mcp.results import listed, result
from antiphon.adapters.mcp.streams import older, process, watched
from antiphon.adapters.mcp.transport import FAULT, SIZE, DoorTransport
from antiphon.ports.door import Door, DoorError
from antiphon.ports.mcp import McpError, McpListing, McpResult, McpServer
from antiphon.wire.items import ListedTool

T = TypeVar("T")
TOOLS: Final = 512
"""Tools of one server, at most."""
PAGES: Final = 100
LONGEST: Final = 12
"""Times the wait for a call that it may take in all, however often its server tells of progress."""
TUNING: Final = 2.0
"""Seconds that a server gets to say that it will tell of changes."""
_OLDER: Final = frozenset({400, 404, 405, 406, 415})
"""What servers answer that speak only the older form of the protocol."""
_LOGGERS: Final = ("mcp", "httpx2", "httpcore2")


class _Told(msgspec.Struct, frozen=True):
    """The data of an error that is ours."""

    status: int = 0
    lost: bool = False


class Connection:
    """A session that is being made, or that lives. `changed` is called when the server says that its tools have."""

    def __init__(
        self, server: McpServer, door: Door, waits: Waits, turns: asyncio.Semaphore, changed: Callable[[], None]
    ) -> None:
        self._server = server
        self._turns = turns
        self._door = door
        self._waits = waits
        self._changed = changed
        self._ended = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._used = asyncio.get_running_loop().time()
        self._tuned = asyncio.Event()  # changes are heard of, or will not be
        self._busy = 0
        self._status: int | None = None  # of the last request that came to nothing
        self._words = ""
        for name in _LOGGERS:  # they tell of URLs and of what servers say
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._keeper = asyncio.ensure_future(self._keep())
        self._keeper.add_done_callback(self._gone)

    @property
    def dead(self) -> bool:
        """Whether it is of no use any more."""
        return self._ended.is_set() or self._keeper.done()

    @property
    def host(self) -> str:
        """What the server is called in messages."""
        try:
            return (urlsplit(self._server.url).hostname if self._server.url else None) or "The MCP server"
        except ValueError:  # it is no URL
            return "The MCP server"

    async def tools(self) -> McpListing:
        """All pages of the list. McpError."""
        return await self._do(self._listed, 2 * self._waits.connect)

    async def call(self, name: str, arguments: dict[str, Any]) -> McpResult:
        """Call a tool; each word of its progress gives the server as long again. McpError."""
        seconds, loop = self._waits.call, asyncio.get_running_loop()
        bound = asyncio.timeout(seconds)
        last = loop.time() + LONGEST * seconds

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            del progress, total, message
            if not bound.expired():
                bound.reschedule(min(loop.time() + seconds, last))

        async def called(client: Client) -> McpResult:
            return result(await client.call_tool(name, arguments, progress_callback=heard))

        return await self._do(called, seconds, bound)

    @property
    def busy(self) -> bool:
        """Whether something is being asked."""
        return self._busy > 0

    def end(self) -> None:
        """End it soon."""
        self._ended.set()

    async def close(self) -> None:
        """End it."""
        self._ended.set()
        if not self._ready.done():
            self._keeper.cancel()
        await asyncio.wait([self._keeper])

    def _gone(self, keeper: asyncio.Task[None]) -> None:
        self._ended.set()
        if not keeper.cancelled():
            keeper.exception()  # told to whoever asked

    # work

    async def _do(
        self, work: Callable[[Client], Awaitable[T]], seconds: float, bound: asyncio.Timeout | None = None
    ) -> T:
        self._busy += 1
        task = asyncio.ensure_future(self._worked(work))
        try:
            async with bound or asyncio.timeout(seconds):
                await asyncio.wait([task, self._keeper], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self._fault(None if self._keeper.cancelled() else self._keeper.exception())
            if (error := task.exception()) is not None:
                raise self._fault(error)
            return task.result()
        except TimeoutError:
            raise McpError(f"{self.host} did not answer within {seconds:g} seconds.", code=-32001) from None
        finally:
            self._busy -= 1
            self._used = asyncio.get_running_loop().time()
            task.cancel()
            await asyncio.wait([task])

    async def _worked(self, work: Callable[[Client], Awaitable[T]]) -> T:
        return await work(await asyncio.shield(self._ready))

    async def _listed(self, client: Client) -> McpListing:
        with suppress(TimeoutError):  # no change may fall between the list and its news
            async with asyncio.timeout(TUNING):
                await self._tuned.wait()
        tools: list[ListedTool] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            tools += map(listed, page.tools)
            cursor = page.next_cursor
            if cursor is None or len(tools) >= TOOLS:
                break
        return McpListing(tuple(tools[:TOOLS]), left=cursor is not None or len(tools) > TOOLS)

    def _fault(self, error: BaseException | None) -> McpError:
        """What went wrong, in words that name the host; nothing of what an HTTP server said is passed on."""
        error = _first(error)
        if isinstance(error, McpError):
            return error
        if isinstance(error, TimeoutError):
            return McpError(f"{self.host} did not finish its handshake in time.", code=-32001)
        status, words = self._status, self._words
        if isinstance(error, MCPError):
            if error.code != FAULT:
                return McpError(f"{self.host}: {error.message}", code=error.code)
            told = msgspec.convert(error.data, _Told)
            status, lost, words = told.status, told.lost, error.message
            if lost:
                self._ended.set()
            if status:
                return McpError(words, "http", status, lost=lost)
            return McpError(words)
        if isinstance(error, httpx2.HTTPStatusError):
            status = error.response.status_code
            words = f"{self.host} answered with HTTP {status}."
        if status:
            return McpError(words, "http", status)
        return McpError(words or f"{self.host} broke off the session.")

    # life

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._waits.connect):
                client = await self._entered(stack)
            self._ready.set_result(client)
            listening = asyncio.ensure_future(self._listen(client))
            try:
                await self._last()
            finally:
                listening.cancel()
                await asyncio.wait([listening])

    async def _listen(self, client: Client) -> None:
        """Hear of changes, where the server has to be asked for that. A list is not kept for long without it."""
        try:
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                async with client.listen(tools_list_changed=True) as changes:
                    self._tuned.set()
                    async for _ in changes:
                        self._changed()
        except (MCPError, SubscriptionLost, ListenNotSupportedError, TimeoutError):
            return
        finally:
            self._tuned.set()

    async def _last(self) -> None:
        """Wait until nobody has used it for long, or it has ended."""
        loop = asyncio.get_running_loop()
        while not self._ended.is_set():
            left = self._waits.idle if self._busy else self._used + self._waits.idle - loop.time()
            if left <= 0:
                self._ended.set()  # from here on nobody begins to use it
                return
            try:
                async with asyncio.timeout(left):
                    await self._ended.wait()
            except TimeoutError:
                continue

    async def _entered(self, stack: AsyncExitStack) -> Client:
        """The client behind its handshake. A server at a URL is asked in the newer form of the protocol, then in the
        older one where it does not know that; where its URL says so, the other way round."""
        if self._server.url is None:
            return await stack.enter_async_context(self._client(process(self._server)))
        try:
            url = str(read(self._server.url))  # so that the SDK reads the URL as the door does
        except DoorError as error:
            raise McpError(error.message) from None
        forms = [self._streamable, self._sse]
        if urlsplit(url).path.rstrip("/").endswith("/sse"):
            forms.reverse()
        try:
            return await stack.enter_async_context(self._client(forms[0](url), sse=forms[0] == self._sse))
        except (MCPError, httpx2.HTTPError, BaseExceptionGroup) as error:
            fault = self._fault(error)
            if fault.code not in _OLDER:
                raise fault from None
        try:
            return await stack.enter_async_context(self._client(forms[1](url), sse=forms[1] == self._sse))
        except (MCPError, httpx2.HTTPError, BaseExceptionGroup) as error:
            again = self._fault(error)
            raise (fault if again.code in _OLDER else again) from None

    def _client(self, transport: Transport, *, sse: bool = False) -> Client:
        return Client(
            watched(transport, self._over),
            mode="legacy" if sse else "auto",
            client_info=Implementation(name="antiphon", version="1"),
            message_handler=self._heard,
            cache=None,
        )

    def _over(self) -> None:
        """The stream has ended; during the handshake there may be another one."""
        if self._ready.done():
            self._ended.set()

    async def _heard(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()

    @asynccontextmanager
    async def _streamable(self, url: str) -> AsyncGenerator[TransportStreams]:
        async with (
            self._http(dict(self._server.headers)) as http,
            streamable_http_client(url, http_client=http, max_sse_event_size=SIZE) as streams,
        ):
            yield streams

    @asynccontextmanager
    async def _sse(self, url: str) -> AsyncGenerator[TransportStreams]:
        async with older(url, self._http(dict(self._server.headers), broken=self._ended.set), SIZE) as streams:
            yield streams

    def _http(self, headers: dict[str, str], broken: Callable[[], None] | None = None) -> httpx2.AsyncClient:
        def failed(words: str, status: int) -> None:
            self._words, self._status = words, status
            if broken is not None:
                broken()

        transport = DoorTransport(self._door, self._waits.call, failed, self._turns)
        return httpx2.AsyncClient(transport=transport, headers=headers, timeout=None, trust_env=False)


def _first(error: BaseException | None) -> BaseException | None:
    """What went wrong first, where several things did."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
