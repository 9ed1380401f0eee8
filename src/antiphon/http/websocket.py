"""`GET /v1/responses` as a WebSocket (wire checklist D.2): a connection of which each message creates a response.

Every event is one text frame; every message is answered, at the latest by an error, and no error ends the connection.
Responses that nothing stores are known to the connection that made them, and to no other.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, aclosing
from typing import Final, TypeAlias

from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from antiphon.engine.memory import Chains
from antiphon.http.auth import project
from antiphon.http.errors import VERSION, refuse_websocket
from antiphon.http.keys import keys
from antiphon.http.lanes import Lanes
from antiphon.http.presence import GoneError
from antiphon.http.services import Journal, Services
from antiphon.wire.errors import AntiphonError, InvalidRequestError, RateLimitError, ServerError
from antiphon.wire.frames import documents
from antiphon.wire.requests import CreateFrame, parse_frame
from antiphon.wire.responses import ResponseStatus
from antiphon.wire.sockets import Inject, Reference, Steer, envelope, parse_other, reference, unserved

LOG: Final = logging.getLogger("antiphon.http")

GOING_AWAY: Final = 1001
"""The close code of a connection that was open for as long as it may; clients connect again."""

_ERROR: Final = '{"type":"error"'
_NUMBER: Final = re.compile(r'(?<="sequence_number":)\d+')
_KEPT: Final = frozenset({"completed", "incomplete"})


class LimitReachedError(InvalidRequestError):
    """The connection has been open for as long as it may."""

    default_code = "websocket_connection_limit_reached"


class Refused(Struct, frozen=True):
    """A message that could not be read as a request; it is answered in its turn."""

    error: AntiphonError
    reference: Reference


class Leaving(Struct, frozen=True):
    """Why nothing more is started, the code to close with, and whether the error is told before."""

    error: AntiphonError
    code: int
    said: bool


Asked: TypeAlias = CreateFrame | Refused


class Upgrade:
    """The ASGI application that takes WebSockets in."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer before the upgrade who may not connect; otherwise serve until the connection is closed."""
        services = self._services
        sockets = services.sockets
        named = ((b"x-request-id", services.clock.id("req_").encode()), VERSION)
        try:
            with ExitStack() as stack:
                owner = project(scope, services.limits.key_digests)
                stack.enter_context(services.tapes.chosen(scope))  # for all responses of the connection
                connection = Connection(services, owner, send, keys(scope))
                sockets.add(connection)
                stack.callback(sockets.discard, connection)
                held = stack.pop_all()
        except AntiphonError as error:
            await refuse_websocket(error, scope, receive, send, named)
            return
        with held:
            await receive()  # the request to connect
            await send({"type": "websocket.accept", "headers": [*named]})
            await connection.serve(receive)


class Connection:
    """One WebSocket of one project."""

    def __init__(self, services: Services, owner: str, send: Send, brought: Mapping[str, str]) -> None:
        """`brought`: the keys of its client (http/keys.py)."""
        limits = services.limits.socket
        self._services = services
        self._project = owner
        self._send = send
        self._keys = brought
        self._memory = Chains(responses=limits.responses, size=limits.memory)
        self._lanes = Lanes(self._answer, self._rest, limits.lanes)
        self._active: dict[str, str | None] = {}  # the lane of each response that is being made
        self._leaving: Leaving | None = None
        self._closing: asyncio.Task[None] | None = None
        self._open = False

    async def serve(self, receive: Receive) -> None:
        """Read messages until the connection is closed. It is read at all times, so that pings are answered and a
        client that leaves is noticed; its responses are then abandoned."""
        limit = LimitReachedError("This connection has reached its time limit. Open a new one to continue.")
        seconds = self._services.limits.socket.seconds
        timer = asyncio.get_running_loop().call_later(seconds, lambda: self.leave(GOING_AWAY, limit, said=True))
        self._open = True
        self._rest()  # it may have been asked to leave while it was taken in
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._hear(message)
        except GoneError:
            return
        finally:
            self._open = False
            timer.cancel()
            await self._lanes.close()
            if self._closing is not None:
                await self._closing

    def leave(self, code: int, error: AntiphonError, /, *, said: bool) -> None:
        """Start nothing more, answer what comes with the error, and close when all is finished. `said`: tell the error
        before closing."""
        if self._leaving is None:
            self._leaving = Leaving(error, code, said)
            self._rest()

    # messages

    async def _hear(self, message: Message) -> None:
        text: str | None = message.get("text")
        body: bytes = text.encode() if text is not None else message["bytes"]
        asked = self._read(body)
        if isinstance(asked, Steer | Inject):
            target = asked.previous_response_id if isinstance(asked, Steer) else asked.response_id
            ended = target in self._memory
            answer = unserved(asked, active=target in self._active, ended=ended, stream_id=self._active.get(target))
            await self._write(answer.decode())
        elif not self._lanes.put(_lane(asked), asked, len(body)):
            error = RateLimitError("Too many requests wait on this connection; wait for an answer before the next.")
            await self._tell(error, _lane(asked))

    def _read(self, body: bytes) -> Asked | Steer | Inject:
        try:
            return parse_frame(body, strict=self._services.limits.strict)
        except InvalidRequestError as error:
            if error.param != "type":
                return Refused(error, reference(body))
            unread = error
        try:
            return parse_other(body) or Refused(unread, reference(body))
        except InvalidRequestError as error:
            return Refused(error, reference(body))

    # responses

    async def _answer(self, asked: Asked) -> None:
        """Answer one message, in its lane's turn. What goes wrong is told, and the response it wanted to continue is
        forgotten: the client cannot know how much of the turn took place."""
        lane = _lane(asked)
        if not self._open:
            return
        try:
            if self._leaving is not None:
                raise self._leaving.error
            if isinstance(asked, Refused):
                raise asked.error
            await self._create(asked)
        except GoneError:
            self._open = False
        except AntiphonError as error:
            await self._fail(asked, error, lane)
        except Exception:
            LOG.exception("a message on a WebSocket failed")
            await self._fail(asked, ServerError("The server had an error. It has been logged."), lane)

    async def _create(self, asked: CreateFrame) -> None:
        runner = self._services.runner
        journal = await runner.start(
            self._project, asked.request, self._memory, keys=self._keys, generate=asked.generate
        )
        self._active[journal.response_id] = asked.stream_id
        ended = False
        try:
            await self._relay(journal, asked.stream_id)
            ended = True
        finally:
            del self._active[journal.response_id]
            if not ended:
                journal.abandon()
        await self._settle(asked, journal)

    async def _relay(self, journal: Journal, lane: str | None) -> None:
        """The events as frames; nothing is awaited for an event but room in the socket."""
        tail = "" if lane is None else f',"stream_id":"{lane}"}}'
        async with aclosing(journal.follow()) as batches:
            async for batch in batches:
                for document in _told_once(documents(batch)):
                    await self._write(document[:-1] + tail if tail else document)

    async def _settle(self, asked: CreateFrame, journal: Journal) -> None:
        """Remember what can be continued only here."""
        status = await _status(journal)
        previous = asked.request.previous_response_id
        if status == "cancelled":  # it was deleted, or the server stops: no event tells the end (checklist A.1)
            raise InvalidRequestError("The response was cancelled.", code="response_cancelled")
        if status not in _KEPT:
            self._forget(previous)
        elif not asked.request.store or (previous is not None and previous in self._memory):
            self._memory.keep(journal.response_id, journal.context, previous)

    async def _fail(self, asked: Asked, error: AntiphonError, lane: str | None) -> None:
        continued = asked.reference if isinstance(asked, Refused) else asked.request
        self._forget(continued.previous_response_id)
        try:
            await self._tell(error, lane)
        except GoneError:
            self._open = False

    def _forget(self, response_id: str | None) -> None:
        if response_id is not None:
            self._memory.evict(response_id)

    # frames

    async def _tell(self, error: AntiphonError, lane: str | None = None) -> None:
        await self._write(envelope(error, lane).decode())

    async def _write(self, text: str) -> None:
        """Send a frame; waits while the client does not read. Raises GoneError."""
        try:
            await self._send({"type": "websocket.send", "text": text})
        except (OSError, RuntimeError) as error:  # closed by the client, or by the server's own protocol
            raise GoneError from error

    # closing

    def _rest(self) -> None:
        """Nothing is being made: the moment to leave, if the connection is to."""
        if self._leaving is not None and self._lanes.idle and self._open and self._closing is None:
            self._closing = asyncio.ensure_future(self._close(self._leaving))

    async def _close(self, leaving: Leaving) -> None:
        try:
            if leaving.said:
                await self._tell(leaving.error)
            await self._send({"type": "websocket.close", "code": leaving.code, "reason": leaving.error.message})
        except (GoneError, OSError, RuntimeError):
            self._open = False


def _lane(asked: Asked) -> str | None:
    return asked.reference.stream_id if isinstance(asked, Refused) else asked.stream_id


async def _status(journal: Journal) -> ResponseStatus:
    """How the response ended."""
    try:
        return (await journal.last()).status
    except AntiphonError:
        return "failed"


def _told_once(batch: list[str]) -> Iterator[str]:
    """The events without `error`: on a WebSocket that would be taken for the end, and `response.failed`, which follows
    and says the same, for the beginning of the next answer. Its number closes the gap."""
    dropped = ""
    for document in batch:
        if document.startswith(_ERROR):
            dropped = _NUMBER.findall(document)[0]
        else:
            yield _NUMBER.sub(dropped, document, count=1) if dropped else document
