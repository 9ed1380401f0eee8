"""`/v1/conversations`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from antiphon.wire.items import Item
from antiphon.wire.pages import ItemPage
from antiphon.wire.responses import Metadata

MOST_ITEMS: Final = 20
"""How many items one request may bring."""

ConversationItemList: TypeAlias = ItemPage


class Conversation(Struct, frozen=True, kw_only=True):
    """A conversation; its items are listed under it."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str] = {}


class ConversationDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


class CreateConversation(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/conversations after parsing."""

    items: Annotated[tuple[Item, ...], Meta(max_length=MOST_ITEMS)] = ()
    metadata: Metadata = {}


class UpdateConversation(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/conversations/{id} after parsing: the map replaces the old one."""

    metadata: Metadata


class CreateConversationItems(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/conversations/{id}/items after parsing."""

    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MOST_ITEMS)]


class ForkConversation(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/conversations/{id}/fork after parsing (our extension): the last item that the fork has
    (None: all of them), and its metadata (None: those of the conversation)."""

    item_id: str | None = None
    metadata: Metadata | None = None
