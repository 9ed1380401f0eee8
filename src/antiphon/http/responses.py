"""`/v1/responses`."""

from __future__ import annotations

from typing import Final

from antiphon.core.includes import shown_all, shown_response
from antiphon.http.keys import keys
from antiphon.http.operation import Operation, Parameter
from antiphon.http.pages import INCLUDE, PAGE, page_of, page_wanted
from antiphon.http.presence import Presence
from antiphon.http.reply import Reply, json, warned
from antiphon.http.request import Request
from antiphon.http.services import Journal
from antiphon.http.sse import HEADERS, EventStream
from antiphon.http.tapes import refuse_later
from antiphon.wire.events import Event
from antiphon.wire.pages import ItemPage, Query, integer
from antiphon.wire.requests import parse_create, parse_include
from antiphon.wire.responses import CreateResponse, Response, ResponseDeleted, ResponsePage

ID: Final = "response_id"
PREFIX: Final = "resp_"

MOST: Final = 2**53
"""The highest sequence number that can be asked for."""
STREAM: Final = (
    Parameter("stream", {"type": "boolean"}, "Send the events of a background response created with stream"),
    Parameter("starting_after", {"type": "integer", "minimum": 0}, "Begin behind the event of this number"),
)

_NO: Final = frozenset({"false", "False", "0", ""})


async def create(request: Request) -> Reply:
    """Start a run; the answer is its events, or the last of them."""
    wanted = parse_create(await request.body(), strict=request.strict)
    if wanted.background:
        refuse_later("A background response", "background")
    journal = await request.services.runner.start(request.project, wanted, keys=keys(request.scope))
    if wanted.stream:
        idle = request.services.limits.keepalive
        return EventStream(journal.follow(), idle, journal.abandon, (*HEADERS, *warned(journal.warnings)))
    response = await _last(journal, request)
    return json(shown_response(response, wanted.include), journal.warnings)


async def _last(journal: Journal, request: Request) -> Response:
    """The final response; a client that does not wait for it abandons the run."""
    ended = False
    try:
        async with Presence(request.receive):
            response = await journal.last()
        ended = True
    finally:
        if not ended:
            journal.abandon()
    return response


async def retrieve(request: Request) -> Reply:
    """The response as it stands, or its events from anywhere on."""
    query = request.query
    response_id = request.id(ID, PREFIX)
    if _asks_for_stream(query):
        after = integer("starting_after", query["starting_after"][-1], 0, MOST) if "starting_after" in query else -1
        events = await request.services.runner.follow(request.project, response_id, after)
        return EventStream(events, request.services.limits.keepalive)
    response = await request.services.runner.retrieve(request.project, response_id)
    return json(shown_response(response, parse_include(query)))


def _asks_for_stream(query: Query) -> bool:
    return any(value not in _NO for value in query.get("stream", ()))


async def list_responses(request: Request) -> Reply:
    """Those that are stored, background ones from the moment they are accepted."""
    query = request.query
    include = parse_include(query)
    found, more = await request.services.store.responses(request.project, page_wanted(query))
    shown = [shown_response(response, include) for response in found]
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return json(ResponsePage(data=tuple(shown), first_id=first, last_id=last, has_more=more))


async def delete(request: Request) -> Reply:
    """Delete it."""
    response_id = request.id(ID, PREFIX)
    await request.services.runner.delete(request.project, response_id)
    return json(ResponseDeleted(id=response_id))


async def cancel(request: Request) -> Reply:
    """Cancel it, when it runs in the background."""
    response = await request.services.runner.cancel(request.project, request.id(ID, PREFIX))
    return json(shown_response(response, ()))


async def input_items(request: Request) -> Reply:
    """What the response was made from."""
    query = request.query
    wanted = page_wanted(query)
    found = await request.services.runner.input_items(request.project, request.id(ID, PREFIX), wanted)
    return json(page_of(shown_all(found.items, parse_include(query)), more=found.has_more))


OPERATIONS: Final = (
    Operation(
        id="createResponse",
        method="POST",
        path="/responses",
        about="Create a model response",
        answer=create,
        asks="now",
        body=CreateResponse,
        result=Response,
        events=Event,
    ),
    Operation(
        id="listResponses",
        method="GET",
        path="/responses",
        about="List stored responses by creation (extension)",
        answer=list_responses,
        result=ResponsePage,
        query=(*PAGE, INCLUDE),
    ),
    Operation(
        id="getResponse",
        method="GET",
        path="/responses/{response_id}",
        about="Get a response",
        answer=retrieve,
        result=Response,
        query=(INCLUDE, *STREAM),
        events=Event,
    ),
    Operation(
        id="deleteResponse",
        method="DELETE",
        path="/responses/{response_id}",
        about="Delete a response",
        answer=delete,
        result=ResponseDeleted,
    ),
    Operation(
        id="cancelResponse",
        method="POST",
        path="/responses/{response_id}/cancel",
        about="Cancel a background response",
        answer=cancel,
        result=Response,
    ),
    Operation(
        id="listInputItems",
        method="GET",
        path="/responses/{response_id}/input_items",
        about="List the input of a response",
        answer=input_items,
        result=ItemPage,
        query=(*PAGE, INCLUDE),
    ),
)
