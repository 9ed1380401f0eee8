"""Operations: the one table that both the routes and the OpenAPI document are made from, so that they cannot drift."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from antiphon.http import idempotency
from antiphon.http.auth import project
from antiphon.http.errors import wrong_method
from antiphon.http.reply import Body, Reply
from antiphon.http.request import Request
from antiphon.http.services import Services
from antiphon.http.tapes import refuse_later

Answer: TypeAlias = Callable[[Request], Awaitable[Reply]]


class Parameter(Struct, frozen=True):
    """A parameter in the query: its name, its JSON Schema, and what it does."""

    name: str
    schema: dict[str, Any]
    about: str
    style: str | None = None
    """How it is written where it is no plain value, in the words of OpenAPI."""


class Operation(Struct, frozen=True, kw_only=True):
    """A method on a path (without `/v1`), how it is answered, and what the document says of it."""

    id: str
    method: str
    path: str
    about: str
    answer: Answer
    body: Any = None
    """The type of the JSON body; None: there is none."""
    form: Any = None
    """The type of the fields of a form; None: the body is no form."""
    file: str = ""
    """What the form calls its file."""
    result: Any = None
    """The type of the JSON answer; None: it is not JSON."""
    media: str = "application/json"
    """The media type of an answer that is not JSON."""
    events: Any = None
    """The type of one event, where the answer may be a stream."""
    status: int = 200
    """The status of the answer; what is always refused has another one."""
    query: tuple[Parameter, ...] = ()
    open: bool = False
    """Whether it is answered without a key."""
    asks: Literal["nobody", "now", "later"] = "nobody"
    """Whether models and others outside are asked while it is answered, or when it has been: a request may choose the
    cassette only of what is asked now."""


class Resource:
    """All operations of one path, as an ASGI application."""

    def __init__(self, services: Services, operations: Iterable[Operation]) -> None:
        self._services = services
        self._operations = {operation.method: operation for operation in operations}
        if get := self._operations.get("GET"):
            self._operations["HEAD"] = get  # the server leaves the body out
        self._allowed = ", ".join([*self._operations, "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the operation of this method."""
        method: str = scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            await self._without(method, scope["path"]).send(receive, send)
            return
        owner = "" if operation.open else project(scope, self._services.limits.key_digests)
        request = Request(self._services, owner, scope, receive)
        with self._services.tapes.chosen(scope):
            await self._answer(operation, request, send)

    async def _answer(self, operation: Operation, request: Request, send: Send) -> None:
        if operation.asks == "later":
            refuse_later("Reading files for a vector store")
        keys = self._services.idempotency
        if operation.method == "POST" and keys is not None and (key := idempotency.key_of(request.scope)) is not None:
            await idempotency.once(key, keys, request, operation.answer, send)
            return
        reply = await operation.answer(request)
        await reply.send(request.receive, send)

    def _without(self, method: str, path: str) -> Body:
        """The answer to a method that has no operation."""
        if method == "OPTIONS":
            return Body(b"", 200, ((b"allow", self._allowed.encode()),))
        return wrong_method(method, path, self._allowed)


def routes(services: Services, operations: Iterable[Operation]) -> list[Route]:
    """A route for each path, in the order of the table."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [Route(path, Resource(services, listed)) for path, listed in by_path.items()]
