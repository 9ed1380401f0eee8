"""`/v1/chat/completions`: passed to the model's endpoint as it came, and back as it answered; stored where asked."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from antiphon.engine.catalog import UnknownModelError
from antiphon.http.operation import Operation, Parameter
from antiphon.http.pages import ASCENDING, page_wanted
from antiphon.http.relay import model_named, passed
from antiphon.http.reply import Body, Reply, json
from antiphon.http.request import Request
from antiphon.wire.bodies import parse_chat_update, parse_metadata
from antiphon.wire.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionList,
    ChatParams,
    StoredMessageList,
    UpdateChatCompletion,
)
from antiphon.wire.pages import PageParams, text
from antiphon.wire.requests import parse_chat

ID: Final = "completion_id"

_OLDEST_FIRST: Final = PageParams(order="asc")
_MODEL: Final = Parameter("model", {"type": "string"}, "Only completions of this model")
_METADATA: Final = Parameter(
    "metadata",
    {"type": "object", "additionalProperties": {"type": "string"}},
    "Only completions that have all these pairs: `metadata[key]=value`",
    style="deepObject",
)


async def create(request: Request) -> Reply:
    """Relay."""
    wanted = parse_chat(await request.body())
    served = await model_named(request, wanted.model)
    wanted = replace(wanted, model=served.name, body={**wanted.body, "model": served.name})
    if wanted.store:
        completions = request.services.completions
        documents = completions.relayed(request.project, wanted, served.model, served.card.id)
    else:
        documents = served.model.relay(wanted)
    return await passed(request, documents, stream=wanted.stream)


async def list_stored(request: Request) -> Reply:
    """A page of the stored ones."""
    query = request.query
    page, metadata = page_wanted(query, _OLDEST_FIRST), parse_metadata(query)
    named = text(query, "model")
    model = await _listed_as(request, named) if named else None
    return json(await request.services.completions.list(request.project, page, model, metadata))


async def _listed_as(request: Request, name: str) -> str:
    """The name that completions of this model are stored under: a model may be called in two ways."""
    try:
        return (await request.services.catalog.resolve(name)).card.id
    except UnknownModelError:
        return name


async def retrieve(request: Request) -> Reply:
    """One of them."""
    return Body(await request.services.completions.retrieve(request.project, request.named(ID)))


async def update(request: Request) -> Reply:
    """Replace its metadata."""
    wanted = parse_chat_update(await request.body(), strict=request.strict)
    return Body(await request.services.completions.update(request.project, request.named(ID), wanted.metadata))


async def delete(request: Request) -> Reply:
    """Delete it."""
    return json(await request.services.completions.delete(request.project, request.named(ID)))


async def messages(request: Request) -> Reply:
    """A page of the messages that it answers."""
    page = page_wanted(request.query, _OLDEST_FIRST)
    return json(await request.services.completions.messages(request.project, request.named(ID), page))


OPERATIONS: Final = (
    Operation(
        id="createChatCompletion",
        method="POST",
        path="/chat/completions",
        about="Create a chat completion",
        asks="now",
        answer=create,
        body=ChatParams,
        result=ChatCompletion,
        events=ChatCompletionChunk,
    ),
    Operation(
        id="listChatCompletions",
        method="GET",
        path="/chat/completions",
        about="List the chat completions that were stored",
        answer=list_stored,
        result=ChatCompletionList,
        query=(*ASCENDING, _MODEL, _METADATA),
    ),
    Operation(
        id="getChatCompletion",
        method="GET",
        path="/chat/completions/{completion_id}",
        about="Get a stored chat completion",
        answer=retrieve,
        result=ChatCompletion,
    ),
    Operation(
        id="updateChatCompletion",
        method="POST",
        path="/chat/completions/{completion_id}",
        about="Replace the metadata of a stored chat completion",
        answer=update,
        body=UpdateChatCompletion,
        result=ChatCompletion,
    ),
    Operation(
        id="deleteChatCompletion",
        method="DELETE",
        path="/chat/completions/{completion_id}",
        about="Delete a stored chat completion",
        answer=delete,
        result=ChatCompletionDeleted,
    ),
    Operation(
        id="getChatCompletionMessages",
        method="GET",
        path="/chat/completions/{completion_id}/messages",
        about="List the messages of the request of a stored chat completion",
        answer=messages,
        result=StoredMessageList,
        query=ASCENDING,
    ),
)
