"""`Idempotency-Key`: a POST that is sent again is answered again and not done again.

The first request takes the key and renews its hold while it runs; its answer is committed before its last byte leaves,
so that whoever has an answer finds it kept. What was not done frees the key: 408, 429, 5xx, a stream that failed, a
locked conversation, a client that left. A key stands for method, path, query and body, in its project.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Final

from msgspec.structs import replace
from starlette.types import Message, Scope, Send

from antiphon.http.errors import named, rendered
from antiphon.http.limits import is_json
from antiphon.http.presence import GoneError
from antiphon.http.reply import JSON, Body, Header, Reply
from antiphon.http.request import Request
from antiphon.http.sse import HEADERS as STREAM
from antiphon.ports.idempotency import FirstAnswer, Idempotency
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError, StoreError
from antiphon.wire.frames import PING

LOG: Final = logging.getLogger("antiphon.http")

LONGEST: Final = 255

_HEADER: Final = b"idempotency-key"
_REPLAYED: Final = (b"idempotent-replayed", b"true")
_FINAL: Final = (b"x-should-retry", b"false")
_HEAD: Final = 4096
_ID: Final = re.compile(rb'"id":"([a-z]+[_-][^"\\]{1,100})"')
_FAILURE: Final = re.compile(rb'^(?:event: response\.failed|data: \{"error":)', re.MULTILINE)
_AGAIN: Final = frozenset({408, 409, 425, 429})
_TRANSIENT: Final = frozenset({"conversation_locked", "replay_miss"})

Answer = Callable[[Request], Awaitable[Reply]]


class KeyInUseError(AntiphonError):
    """The first request with this key is still being answered."""

    http_status, type, default_code = 409, "invalid_request_error", "idempotency_key_in_use"


class NotKeptError(AntiphonError):
    """The first request was done, but its answer cannot be given again."""

    http_status, type, default_code = 409, "invalid_request_error", "idempotent_answer_not_kept"


def key_of(scope: Scope) -> str | None:
    """As `given_key`, but None for a body that is declared as something else than JSON."""
    key = given_key(scope)
    return key if is_json(scope) or not named(scope, b"content-type") else None


def given_key(scope: Scope) -> str | None:
    """The request's key; None without one. Raises InvalidRequestError for one that is empty or too long."""
    for name, value in scope["headers"]:
        if name == _HEADER:
            key: str = value.decode("latin-1")
            if not 0 < len(key) <= LONGEST:
                raise InvalidRequestError(
                    f"Invalid 'Idempotency-Key': expected 1 to {LONGEST} characters, but got {len(key)}.",
                    code="invalid_idempotency_key",
                )
            return key
    return None


async def once(key: str, keys: Idempotency, request: Request, answer: Answer, send: Send) -> None:
    """Answer by `answer`, or as the first request with this key was answered."""
    services = request.services
    content = await request.body()
    now = services.clock.now()
    until = now + services.limits.idempotency_lease
    mine = FirstAnswer(key=key, digest=_digest(request.scope, content), until=until)
    found = await keys.begin(request.project, mine, now)
    if found is not None:
        await _again(found, mine).send(request.receive, send)
        return
    hold = Hold(keys, request, mine)
    try:
        await _first(hold, _rewound(request, content), answer, Recording(hold, send))
    except GoneError:
        await hold.left()
        raise
    finally:
        await hold.free()


async def once_whole(request: Request, content: bytes, make: Callable[[], Awaitable[Body]]) -> Body:
    """As `once`, of a request whose body was read already, for an answer that is known as a whole. `content`: what
    stands for the body (forms differ in their boundaries although they say the same)."""
    key, keys, services = given_key(request.scope), request.services.idempotency, request.services
    if key is None or keys is None:
        return await make()
    now = services.clock.now()
    mine = FirstAnswer(key=key, digest=_digest(request.scope, content), until=now + services.limits.idempotency_lease)
    found = await keys.begin(request.project, mine, now)
    if found is not None:
        return _again(found, mine)
    hold = Hold(keys, request, mine)
    try:
        try:
            answer = await make()
        except AntiphonError as error:
            answer = rendered(error, request.scope["method"])
        await hold.keep(answer.status, JSON[1].decode(), answer.content)
    finally:
        await hold.free()
    return answer


async def _first(hold: Hold, request: Request, answer: Answer, recording: Recording) -> None:
    try:
        reply = await answer(request)
        await reply.send(request.receive, recording)
    except AntiphonError as error:
        if recording.status:
            raise
        hold.transient = error.code in _TRANSIENT
        await rendered(error, request.scope["method"]).send(request.receive, recording)


def _digest(scope: Scope, content: bytes) -> bytes:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    head = f"{scope['method']} {path}?".encode()
    return sha256(b"\n".join((head, scope["query_string"], content))).digest()


def _again(found: FirstAnswer, mine: FirstAnswer) -> Body:
    """The answer to a request that is not the first with its key."""
    if found.digest != mine.digest:
        raise InvalidRequestError(
            "This Idempotency-Key was used for another request before: same key, but another path or body.",
            code="idempotency_key_reused",
        )
    if not found.status:
        raise KeyInUseError("The first request with this Idempotency-Key is still being answered.", retry_after=1)
    kind = (b"content-type", found.content_type.encode())
    headers: tuple[Header, ...] = STREAM if kind == STREAM[0] else (kind,)
    settled = (_FINAL,) if found.status == 409 else ()
    return Body(found.body, found.status, (*headers, _REPLAYED, *settled))


def _rewound(request: Request, content: bytes) -> Request:
    """The request with its body still to be read, which is plain now."""
    headers = [pair for pair in request.scope["headers"] if pair[0] != b"content-encoding"]
    first: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return first.pop() if first else await request.receive()

    return Request(request.services, request.project, {**request.scope, "headers": headers}, receive)


class Hold:
    """A key that this request has taken: renewed until it is kept or freed."""

    def __init__(self, keys: Idempotency, request: Request, mine: FirstAnswer) -> None:
        self._keys = keys
        self._services = request.services
        self._project = request.project
        self._mine = mine
        self._settled = False
        self._renewal = asyncio.create_task(self._renew())
        self.transient = False
        """The refusal is one of the moment: the key is not kept for it."""
        self.most = request.services.limits.idempotency_bytes
        """Bytes of an answer that are kept."""
        self.head = b""
        """How the answer began, as far as it was sent."""

    async def keep(self, status: int, content_type: str, body: bytes | None) -> None:
        """The answer is whole (None: longer than `most`): keep it, or free the key when nothing was done."""
        if self.transient or status in _AGAIN or status >= 500:
            await self.free()
        elif body is None:
            await self._point("it is longer than what is kept of an answer")
        elif content_type == STREAM[0][1].decode() and _FAILURE.search(body):
            await self.free()
        else:
            await self._settle(status, content_type, body)

    async def left(self) -> None:
        """The client went away. A run that it was waiting for is cancelled and may be asked for again; one that goes on
        without it, or had just ended, may not."""
        if self._settled or (response_id := self._named()) is None:
            return
        with suppress(NotFoundError):
            response = await self._services.runner.retrieve(self._project, response_id)
            if response.background or response.status in {"completed", "incomplete"}:
                await self._point("the client left before its end")

    async def free(self) -> None:
        """Free the key, unless it is settled."""
        if self._settled:
            return
        await self._end()
        with suppress(StoreError):  # then it stays taken until its time
            await self._keys.forget(self._project, self._mine.key)

    async def _point(self, why: str) -> None:
        """Keep where the answer's object is found."""
        found = self._named()
        where = f"Its object is '{found}'." if found else "It was done all the same."
        error = NotKeptError(f"The first answer to this Idempotency-Key cannot be given again: {why}. {where}")
        await self._settle(error.http_status, JSON[1].decode(), error.body())

    async def _settle(self, status: int, content_type: str, body: bytes) -> None:
        await self._end()
        until = self._services.clock.now() + self._services.limits.idempotency_seconds
        kept = replace(self._mine, status=status, content_type=content_type, body=body, until=until)
        try:
            await asyncio.shield(self._keys.complete(self._project, kept))  # also when the client leaves meanwhile
        except StoreError as error:  # the answer is worth more than its copy
            LOG.warning("an answer was not kept for its Idempotency-Key: %s", error.message)

    async def _end(self) -> None:
        """From here on nobody renews."""
        self._settled = True
        self._renewal.cancel()
        await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        lease = self._services.limits.idempotency_lease
        while True:
            await asyncio.sleep(lease / 3)
            until = self._services.clock.now() + lease
            try:
                await self._keys.complete(self._project, replace(self._mine, until=until))
            except StoreError as error:
                LOG.warning("an Idempotency-Key was not renewed: %s", error.message)

    def _named(self) -> str | None:
        """The id of what was made, as the answer told it."""
        found = _ID.search(self.head)
        return found[1].decode("latin-1") if found else None


class Recording:
    """Sends an answer, and hands it to the hold before its last byte."""

    def __init__(self, hold: Hold, send: Send) -> None:
        self._hold = hold
        self._send = send
        self._kind = ""
        self._pieces: list[bytes] | None = []
        self._size = 0
        self.status = 0
        """0 until the answer has begun."""

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._kind = next((value.decode() for name, value in message["headers"] if name == b"content-type"), "")
        else:
            self._note(message.get("body", b""))
            if not message.get("more_body", False):
                body = None if self._pieces is None else b"".join(self._pieces)
                await self._hold.keep(self.status, self._kind, body)
        await self._send(message)

    def _note(self, piece: bytes) -> None:
        if piece == PING:
            return
        if len(self._hold.head) < _HEAD:
            self._hold.head += piece[:_HEAD]
        self._size += len(piece)
        if self._size > self._hold.most:
            self._pieces = None
        if self._pieces is not None:
            self._pieces.append(piece)
