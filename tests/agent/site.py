"""The server's side of a scripted turn, told three ways: to a client object in this process (sync or async), and over
HTTP to the official client.

A ledger plays the replies of a script and remembers like a server: a request whose context has a call without its
output, or an output without its call, is refused with 400, so that a poisoned session shows.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, cast

import openai
from aiohttp import web

from tests.agent.scripts import CUT, GOODBYE, WHOLE, Json, Names, Reply, Written, written
from tests.listening import listening

DEADLINE: Final = 20.0
CALLS: Final = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


@dataclass(frozen=True, slots=True)
class Fault:
    """An HTTP error in place of a reply, or (`status` 0) no answer at all."""

    status: int
    code: str = "broken"
    message: str = "The server is broken."
    headers: tuple[tuple[str, str], ...] = ()


class Ledger:
    """One server: what it will say, what it was asked, and what it remembers."""

    def __init__(self, replies: Iterable[Reply | Fault], *, resumes: bool = True) -> None:
        self.left = [*replies]
        self.names = Names()
        self.requests: list[Json] = []
        """Bodies of POST /responses."""
        self.paths: list[str] = []
        """What else was asked, in order with the requests."""
        self.refused: list[str] = []
        self.repeated: list[str] = []
        """Calls whose output came a second time."""
        self.contexts: dict[str, list[Json]] = {}
        """All items of a conversation, or of the chain that ends in a response."""
        self.written: dict[str, tuple[Json, Written]] = {}
        self.heard: dict[str, list[Json]] = {}
        """What of each response was sent, over all its connections."""

    def conversation(self) -> Json:
        self.paths.append("conversations")
        found = self.names("conv")
        self.contexts[found] = []
        return {"id": found, "object": "conversation", "created_at": 1, "metadata": {}}

    def add(self, conversation_id: str, items: list[Json]) -> None:
        """Items that a client adds to a conversation by itself."""
        self.paths.append("items")
        self.contexts[conversation_id].extend(self._new(self.contexts[conversation_id], items))

    def begin(self, body: Json) -> Written | Fault:
        """The answer to a request."""
        self.requests.append(json.loads(json.dumps(body, default=str)))
        self.paths.append("responses")
        context = self.context(body)
        if (wrong := unsettled(context)) is not None:
            self.refused.append(wrong)
            return Fault(400, "invalid_request_error", wrong)
        plan = self.left.pop(0) if self.left else GOODBYE
        if isinstance(plan, Fault):
            return plan
        found = written(plan, self.names)
        self.written[found.id] = body, found
        self.heard[found.id] = []
        return found

    def context(self, body: Json) -> list[Json]:
        """All that the model would see."""
        given: Any = body.get("input") or []
        known = self.contexts.get(_key(body), [])
        return [*known, *self._new(known, [{"role": "user"}] if isinstance(given, str) else given)]

    def end(self, found: Written, heard: int) -> None:
        """The client has heard so many events of it, and hears no more."""
        body, _ = self.written[found.id]
        context = self.context(body)
        if heard >= len(found.events) and found.plan.ending in WHOLE | CUT:
            context += found.output
        elif not found.plan.kept:
            return
        else:
            done = [event["item"] for event in found.events[:heard] if event["type"] == "response.output_item.done"]
            context += done
        if body.get("store") is not False:
            self.contexts[found.id] = context
            if key := conversation_of(body):
                self.contexts[key] = context

    def rest(self, response_id: str, after: int) -> list[Json]:
        """The events behind that number; none when it cannot tell them."""
        self.paths.append("retrieve")
        _, found = self.written[response_id]
        return [*found.events[after + 1 :]] if found.plan.resumes else []

    def _new(self, known: list[Json], given: list[Json]) -> list[Json]:
        outputs = {item["call_id"] for item in known if item.get("type") in CALLS.values()}
        calls = {item["call_id"] for item in known if item.get("type") in CALLS}
        new: list[Json] = []
        for item in given:
            kind, call_id = item.get("type"), item.get("call_id")
            if kind in CALLS.values() and call_id in outputs:
                self.repeated.append(str(call_id))
            elif kind not in CALLS or call_id not in calls:
                new.append(item)
        return new


def conversation_of(body: Json) -> str:
    found: Any = body.get("conversation") or ""
    return found if isinstance(found, str) else str(found["id"])


def _key(body: Json) -> str:
    return conversation_of(body) or str(body.get("previous_response_id") or "")


def unsettled(context: list[Json]) -> str | None:
    """What is wrong with the calls and outputs of a context: each call has one output, behind it."""
    calls: dict[str, str] = {}
    answered: set[str] = set()
    for item in context:
        kind = item.get("type")
        if kind in CALLS:
            calls[item["call_id"]] = CALLS[kind]
        elif kind in CALLS.values():
            if calls.get(item["call_id"]) != kind:
                return f"No tool call found for {kind} with call_id {item['call_id']}."
            if item["call_id"] in answered:
                return f"Two outputs for {item['call_id']}."
            answered.add(item["call_id"])
    open_calls = [call_id for call_id in calls if call_id not in answered]
    return f"No tool output found for {open_calls[0]}." if open_calls else None


# in this process


def refusal(fault: Fault) -> openai.APIError:
    """The official client's error for it."""
    if not fault.status:
        return openai.APITimeoutError(request=cast("Any", None))
    kinds: dict[int, type[openai.APIStatusError]] = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
    }
    kind = kinds.get(fault.status, openai.InternalServerError)
    answer: Any = SimpleNamespace(status_code=fault.status, headers=dict(fault.headers), request=None)
    return kind(fault.message, response=answer, body={"message": fault.message, "code": fault.code})


class _Telling:
    """A stream that is heard event by event."""

    def __init__(self, ledger: Ledger, found: Written, events: Iterable[Json], start: int, stop: str | None) -> None:
        self._ledger = ledger
        self._found = found
        self._events = iter(events)
        self._heard = start
        self._stop = stop
        self._over = self._remembered = False

    def hear(self) -> Json | None:
        """The next event, None at the end."""
        if self._over:
            return None
        event = next(self._events, None)
        if event is not None:
            self._heard += 1
            self._ledger.heard[self._found.id].append(event)
            if self._heard == len(self._found.events):
                self._remember()  # a server knows it before it says it
            return event
        self.leave()
        if self._stop == "broken":
            raise openai.APIConnectionError(request=cast("Any", None))
        return None

    def leave(self) -> None:
        """Nothing more is heard."""
        self._over = True
        self._remember()

    def _remember(self) -> None:
        if not self._remembered:
            self._remembered = True
            self._ledger.end(self._found, self._heard)


class Stream:
    """As the official client gives it."""

    def __init__(self, telling: _Telling) -> None:
        self._telling = telling

    def __iter__(self) -> Iterator[Json]:
        return self

    def __next__(self) -> Json:
        event = self._telling.hear()
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        self._telling.leave()


class AsyncStream:
    """As the official asynchronous client gives it."""

    def __init__(self, telling: _Telling) -> None:
        self._telling = telling

    def __aiter__(self) -> AsyncIterator[Json]:
        return self

    async def __anext__(self) -> Json:
        event = self._telling.hear()
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        self._telling.leave()


def _create(ledger: Ledger, body: Json) -> _Telling:
    found = ledger.begin({name: value for name, value in body.items() if value is not None and name != "timeout"})
    if isinstance(found, Fault):
        raise refusal(found)
    stop = found.plan.ending if found.plan.ending in CUT else None
    return _Telling(ledger, found, found.told, 0, stop)


def _retrieve(ledger: Ledger, response_id: str, after: int) -> _Telling:
    events = ledger.rest(response_id, after)
    if not events:
        raise refusal(Fault(404, "not_found", "No such response."))
    _, found = ledger.written[response_id]
    return _Telling(ledger, found, events, after + 1, None)


def direct(ledger: Ledger) -> Any:
    """A client object of the shape of `openai.OpenAI`; events are plain dicts."""

    def retrieve(response_id: str, *, starting_after: int = -1, **_: Any) -> Stream:
        return Stream(_retrieve(ledger, response_id, starting_after))

    def items(conversation_id: str, *, items: list[Json], **_: Any) -> None:
        ledger.add(conversation_id, items)

    def listed(conversation_id: str, *, order: str = "desc", **_: Any) -> Json:
        return _list(_page(ledger, conversation_id, order))

    return SimpleNamespace(
        responses=SimpleNamespace(create=lambda **body: Stream(_create(ledger, body)), retrieve=retrieve),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - a double
        conversations=SimpleNamespace(
            create=lambda **_: ledger.conversation(),  # pyright: ignore[reportUnknownLambdaType] - a double
            items=SimpleNamespace(create=items, list=listed),
        ),
    )


def _page(ledger: Ledger, conversation_id: str, order: str) -> list[Json]:
    ledger.paths.append("list")
    found = ledger.contexts[conversation_id]
    return [*found] if order == "asc" else found[::-1]


def async_direct(ledger: Ledger) -> Any:
    """The same in the shape of `openai.AsyncOpenAI`."""

    async def create(**body: Any) -> AsyncStream:
        return AsyncStream(_create(ledger, body))

    async def retrieve(response_id: str, *, starting_after: int = -1, **_: Any) -> AsyncStream:
        return AsyncStream(_retrieve(ledger, response_id, starting_after))

    async def conversation(**_: Any) -> Json:
        return ledger.conversation()

    async def items(conversation_id: str, *, items: list[Json], **_: Any) -> None:
        ledger.add(conversation_id, items)

    async def listed(conversation_id: str, *, order: str = "desc", **_: Any) -> Json:
        return _list(_page(ledger, conversation_id, order))

    return SimpleNamespace(
        responses=SimpleNamespace(create=create, retrieve=retrieve),
        conversations=SimpleNamespace(create=conversation, items=SimpleNamespace(create=items, list=listed)),
    )


# over HTTP


class Site:
    """A server of ledgers, each under an address of its own."""

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {}
        self.origin = ""

    def serve(self, ledger: Ledger) -> str:
        """The base URL at which a client meets it."""
        key = f"l{len(self.ledgers)}"
        self.ledgers[key] = ledger
        return f"{self.origin}/{key}/v1"

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{key}/v1/responses", self._create)
        app.router.add_get("/{key}/v1/responses/{id}", self._retrieve)
        app.router.add_post("/{key}/v1/conversations", self._conversation)
        app.router.add_post("/{key}/v1/conversations/{id}/items", self._add)
        app.router.add_get("/{key}/v1/conversations/{id}/items", self._list)
        return app

    def _ledger(self, request: web.Request) -> Ledger:
        return self.ledgers[request.match_info["key"]]

    async def _conversation(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._ledger(request).conversation())

    async def _add(self, request: web.Request) -> web.StreamResponse:
        self._ledger(request).add(request.match_info["id"], (await request.json())["items"])
        return web.json_response(_list([]))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        order = request.query.get("order", "desc")
        return web.json_response(_list(_page(self._ledger(request), request.match_info["id"], order)))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        ledger = self._ledger(request)
        found = ledger.begin(await request.json())
        if isinstance(found, Fault):
            return await _refused(found)
        stop = found.plan.ending if found.plan.ending in CUT else None
        return await _told(request, _Telling(ledger, found, found.told, 0, None), stop)

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        ledger, response_id = self._ledger(request), request.match_info["id"]
        after = int(request.query.get("starting_after", "-1"))
        if response_id not in ledger.written or not (events := ledger.rest(response_id, after)):
            return await _refused(Fault(404, "not_found", "No such response."))
        return await _told(request, _Telling(ledger, ledger.written[response_id][1], events, after + 1, None), None)


def _list(items: list[Json]) -> Json:
    ids = [str(item.get("id")) for item in items] or [""]
    return {"object": "list", "data": items, "first_id": ids[0], "last_id": ids[-1], "has_more": False}


async def _refused(fault: Fault) -> web.StreamResponse:
    if not fault.status:
        await asyncio.Event().wait()
    error = {"message": fault.message, "type": "error", "code": fault.code, "param": None}
    return web.json_response({"error": error}, status=fault.status, headers=dict(fault.headers))


async def _told(request: web.Request, telling: _Telling, stop: str | None) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    try:
        while (event := telling.hear()) is not None:
            await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    finally:
        telling.leave()
    if stop == "broken" and request.transport is not None:
        request.transport.close()
    return answer


@contextmanager
def open_site() -> Generator[Site]:
    """A site on a thread of its own, for clients that block."""
    site, ready, over = Site(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with listening(site.app(), cancelling=True) as site.origin:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(DEADLINE), "the site never opened"
        yield site
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(DEADLINE)
        loop.close()
