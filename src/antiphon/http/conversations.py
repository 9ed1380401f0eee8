"""`/v1/conversations` and their items."""

from __future__ import annotations

from typing import Final

from antiphon.core.includes import shown, shown_all
from antiphon.http.operation import Operation
from antiphon.http.pages import INCLUDE, PAGE, page_of, page_wanted
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.conversations import (
    Conversation,
    ConversationDeleted,
    ConversationItemList,
    CreateConversation,
    CreateConversationItems,
    ForkConversation,
    UpdateConversation,
)
from antiphon.wire.items import Item
from antiphon.wire.requests import (
    parse_conversation,
    parse_conversation_items,
    parse_conversation_update,
    parse_fork,
    parse_include,
)

ID: Final = "conversation_id"


async def create(request: Request) -> Reply:
    """Create a conversation."""
    wanted = parse_conversation(await request.body() or b"{}", strict=request.strict)
    return json(await request.services.conversations.create(request.project, wanted))


async def retrieve(request: Request) -> Reply:
    """Get a conversation."""
    return json(await request.services.conversations.retrieve(request.project, request.named(ID)))


async def update(request: Request) -> Reply:
    """Replace its metadata."""
    wanted = parse_conversation_update(await request.body(), strict=request.strict)
    return json(await request.services.conversations.update(request.project, request.named(ID), wanted.metadata))


async def delete(request: Request) -> Reply:
    """Delete it."""
    return json(await request.services.conversations.delete(request.project, request.named(ID)))


async def fork(request: Request) -> Reply:
    """Begin another conversation with its items."""
    wanted = parse_fork(await request.body(), strict=request.strict)
    return json(await request.services.conversations.fork(request.project, request.named(ID), wanted))


async def add_items(request: Request) -> Reply:
    """Append items."""
    include = parse_include(request.query)
    items = parse_conversation_items(await request.body(), strict=request.strict)
    stored = await request.services.conversations.add_items(request.project, request.named(ID), items)
    return json(page_of(shown_all(stored, include), more=False))


async def list_items(request: Request) -> Reply:
    """List its items."""
    query = request.query
    include, wanted = parse_include(query), page_wanted(query)
    found = await request.services.conversations.list_items(request.project, request.named(ID), wanted)
    return json(page_of(shown_all(found.items, include), more=found.has_more))


async def item(request: Request) -> Reply:
    """Get one item."""
    include = parse_include(request.query)
    found = await request.services.conversations.item(request.project, request.named(ID), request.named("item_id"))
    return json(shown(found, include))


async def delete_item(request: Request) -> Reply:
    """Delete one item; the answer is the conversation."""
    conversations = request.services.conversations
    return json(await conversations.delete_item(request.project, request.named(ID), request.named("item_id")))


OPERATIONS: Final = (
    Operation(
        id="createConversation",
        method="POST",
        path="/conversations",
        about="Create a conversation",
        answer=create,
        body=CreateConversation,
        result=Conversation,
    ),
    Operation(
        id="getConversation",
        method="GET",
        path="/conversations/{conversation_id}",
        about="Get a conversation",
        answer=retrieve,
        result=Conversation,
    ),
    Operation(
        id="updateConversation",
        method="POST",
        path="/conversations/{conversation_id}",
        about="Replace the metadata of a conversation",
        answer=update,
        body=UpdateConversation,
        result=Conversation,
    ),
    Operation(
        id="deleteConversation",
        method="DELETE",
        path="/conversations/{conversation_id}",
        about="Delete a conversation; its items are kept where else they belong",
        answer=delete,
        result=ConversationDeleted,
    ),
    Operation(
        id="forkConversation",
        method="POST",
        path="/conversations/{conversation_id}/fork",
        about="Begin a new conversation with the items of this one, up to one of them (extension)",
        answer=fork,
        body=ForkConversation,
        result=Conversation,
    ),
    Operation(
        id="createConversationItems",
        method="POST",
        path="/conversations/{conversation_id}/items",
        about="Append items to a conversation",
        answer=add_items,
        body=CreateConversationItems,
        result=ConversationItemList,
        query=(INCLUDE,),
    ),
    Operation(
        id="listConversationItems",
        method="GET",
        path="/conversations/{conversation_id}/items",
        about="List the items of a conversation",
        answer=list_items,
        result=ConversationItemList,
        query=(*PAGE, INCLUDE),
    ),
    Operation(
        id="getConversationItem",
        method="GET",
        path="/conversations/{conversation_id}/items/{item_id}",
        about="Get an item of a conversation",
        answer=item,
        result=Item,
        query=(INCLUDE,),
    ),
    Operation(
        id="deleteConversationItem",
        method="DELETE",
        path="/conversations/{conversation_id}/items/{item_id}",
        about="Take an item out of a conversation",
        answer=delete_item,
        result=Conversation,
    ),
)
