"""Streams of the MCP SDK: those of a process, those of HTTP as it was before, and the watch over their end.

The SDK's own client of that older HTTP takes no event of more than 1 MB, and forgets who waits for an answer when the
stream breaks off.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias

import anyio
import httpx2
from anyio.abc import TaskStatus
from mcp import StdioServerParameters
from mcp.client._transport import ReadStream, Transport, TransportStreams, WriteStream
from mcp.client.stdio import stdio_client
from mcp.shared._context_streams import create_context_streams
from mcp.shared.message import SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from antiphon.adapters.mcp.transport import EVENTS
from antiphon.ports.mcp import McpServer

Received: TypeAlias = SessionMessage | Exception
_HEADERS: Final = {"Accept": EVENTS, "Cache-Control": "no-store"}


@asynccontextmanager
async def process(server: McpServer) -> AsyncGenerator[TransportStreams]:
    """A server that is a process of ours; what it says beside the protocol is dropped."""
    command, *arguments = server.command
    wanted = StdioServerParameters(command=command, args=arguments, env=dict(server.env) or None)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: ASYNC230, PTH123 - a device
        async with stdio_client(wanted, errlog=nowhere) as streams:
            yield streams


@asynccontextmanager
async def older(url: str, http: httpx2.AsyncClient, size: int) -> AsyncGenerator[TransportStreams]:
    """A server that answers in a stream of events, of `size` bytes at most, and is told by POST where the first event
    says. httpx2.HTTPError where there is no such stream."""
    async with http, http.stream("GET", url, headers=_HEADERS) as answer:
        answer.raise_for_status()
        into, read = create_context_streams[Received](0)
        write, outof = create_context_streams[SessionMessage](0)
        stream = _Events(httpx2.EventSource(answer, max_event_size=size), http, into)
        async with into, read, write, outof, anyio.create_task_group() as tasks:
            place = await tasks.start(stream.receive)
            tasks.start_soon(stream.send, outof, place)
            yield read, write
            tasks.cancel_scope.cancel()


class _Events:
    """Both ways of such a server, and who waits for an answer."""

    def __init__(self, source: httpx2.EventSource, http: httpx2.AsyncClient, into: WriteStream[Received]) -> None:
        self._source = source
        self._http = http
        self._into = into
        self._waiting: set[RequestId] = set()

    async def receive(self, *, task_status: TaskStatus[httpx2.URL]) -> None:
        """Pass on what comes until the stream ends; then whoever still waits hears of it."""
        words = "The server ended the stream."
        begun = False
        try:
            async for event in self._source:
                if event.event == "endpoint" and not begun:
                    task_status.started(self._place(event.data))
                    begun = True
                elif event.event == "message" and event.data:
                    await self._passed(event.data)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            if not begun:
                raise
            words = str(error)
        if not begun:
            raise httpx2.SSEError("The stream does not say where to write.")
        for request in tuple(self._waiting):
            await self._refused(request, ErrorData(code=CONNECTION_CLOSED, message=words))
        await self._into.aclose()

    async def send(self, outof: ReadStream[SessionMessage], place: httpx2.URL) -> None:
        """Send what is given; whoever waits for what was not taken hears of it."""
        async for given in outof:
            message = given.message
            request = message.id if isinstance(message, JSONRPCRequest) else None
            if request is not None:
                self._waiting.add(request)
            content = message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            try:
                answer = await self._http.post(place, json=content)
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                await self._refused(request, ErrorData(code=CONNECTION_CLOSED, message=str(error)))
                continue
            if not answer.is_success:
                await self._refused(request, _told(answer))

    def _place(self, given: str) -> httpx2.URL:
        """Where to write, which must be where the stream comes from: credentials go along."""
        here = self._source.response.url
        place = here.join(given)
        if (place.scheme, place.host, place.port) != (here.scheme, here.host, here.port):
            raise httpx2.SSEError("The stream says to write to another host.")
        return place

    async def _passed(self, text: str) -> None:
        try:
            message = jsonrpc_message_adapter.validate_json(text, by_name=False)
        except ValidationError as error:
            await self._into.send(error)
            return
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self._waiting.discard(message.id)
        await self._into.send(SessionMessage(message))

    async def _refused(self, request: RequestId | None, error: ErrorData) -> None:
        if request is not None:
            self._waiting.discard(request)
            await self._into.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=error)))


def _told(answer: httpx2.Response) -> ErrorData:
    """Why a message was not taken."""
    try:
        said = jsonrpc_message_adapter.validate_json(answer.content, by_name=False)
    except ValidationError:
        said = None
    if isinstance(said, JSONRPCError):
        return said.error
    return ErrorData(code=CONNECTION_CLOSED, message=f"The message was answered with HTTP {answer.status_code}.")


@asynccontextmanager
async def watched(transport: Transport, ended: Callable[[], None]) -> AsyncGenerator[TransportStreams]:
    """The transport; `ended` is called when nothing more comes."""
    async with transport as (read, write):
        yield _Watched(read, ended), write


class _Watched:
    """A stream that tells of its end."""

    def __init__(self, stream: ReadStream[Received], ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> object:
        """The context of the message that came last."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Received:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> ReadStream[Received]:
        return self

    async def __anext__(self) -> Received:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)
