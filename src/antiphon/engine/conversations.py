"""Conversations: lists of items that turns are added to. The store keeps them; ids and refusals are made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from antiphon.core.choice import declared
from antiphon.core.context import identified
from antiphon.core.effects import Entry
from antiphon.engine.declaring import unarmed
from antiphon.ports.clock import Clock
from antiphon.ports.store import PageQuery, Slice, Store
from antiphon.wire.conversations import Conversation, ConversationDeleted, CreateConversation, ForkConversation
from antiphon.wire.errors import NotFoundError
from antiphon.wire.invalid import invalid_value, wrong_prefix
from antiphon.wire.items import CompactionTrigger, Item, ItemReference

T = TypeVar("T")

PREFIX: Final = "conv_"


class Conversations:
    """The operations on conversations of a project. A malformed id is refused before existence is asked."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, project: str, wanted: CreateConversation, /) -> Conversation:
        """A new conversation with its first items; NotFoundError when an item refers to none that is stored."""
        created_at = int(self._clock.now())
        conversation = Conversation(id=self._clock.id(PREFIX), created_at=created_at, metadata=wanted.metadata)
        await self._store.create_conversation(project, conversation, await self._entries(project, wanted.items))
        return conversation

    async def retrieve(self, project: str, conversation_id: str, /) -> Conversation:
        """The conversation; NotFoundError."""
        found = await self._store.conversation(project, checked(conversation_id))
        return _present(found, conversation_id)

    async def update(self, project: str, conversation_id: str, metadata: dict[str, str], /) -> Conversation:
        """Replace the metadata; NotFoundError."""
        found = await self._store.update_conversation(project, checked(conversation_id), metadata)
        return _present(found, conversation_id)

    async def delete(self, project: str, conversation_id: str, /) -> ConversationDeleted:
        """Delete the conversation; its items stay where else they belong. NotFoundError."""
        if not await self._store.delete_conversation(project, checked(conversation_id)):
            raise missing(conversation_id)
        return ConversationDeleted(id=conversation_id)

    async def fork(self, project: str, conversation_id: str, wanted: ForkConversation, /) -> Conversation:
        """A new conversation with the items of this one, up to `wanted.item_id`; both go on by themselves.
        NotFoundError for the conversation or the item."""
        source = await self.retrieve(project, conversation_id)
        fork = Conversation(
            id=self._clock.id(PREFIX),
            created_at=int(self._clock.now()),
            metadata=source.metadata if wanted.metadata is None else wanted.metadata,
        )
        found = await self._store.fork_conversation(project, conversation_id, fork, wanted.item_id)
        if found is None:
            raise await self._absent(project, conversation_id, wanted.item_id or "")
        return found

    async def add_items(self, project: str, conversation_id: str, items: Sequence[Item], /) -> tuple[Item, ...]:
        """Append the items; they are given back as stored, in order. NotFoundError for the conversation, and for an
        item that is referred to."""
        await self.retrieve(project, conversation_id)
        stored = await self._store.append_items(project, conversation_id, await self._entries(project, items))
        return _present(stored, conversation_id)

    async def list_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice:
        """A page of the items by position; NotFoundError; InvalidRequestError for a cursor that is none of them."""
        found = await self._store.conversation_items(project, checked(conversation_id), page)
        return _present(found, conversation_id)

    async def item(self, project: str, conversation_id: str, item_id: str, /) -> Item:
        """One item; NotFoundError for it or its conversation."""
        found = await self._store.conversation_item(project, checked(conversation_id), item_id)
        if found is None:
            raise await self._absent(project, conversation_id, item_id)
        return found

    async def delete_item(self, project: str, conversation_id: str, item_id: str, /) -> Conversation:
        """Take the item out of the conversation, which is given back; NotFoundError for either."""
        found = await self._store.delete_conversation_item(project, checked(conversation_id), item_id)
        if found is None:
            raise await self._absent(project, conversation_id, item_id)
        return found

    async def _entries(self, project: str, items: Sequence[Item]) -> Sequence[Entry]:
        """The items with ids; references are replaced by what they refer to. InvalidRequestError for tools that hold
        credentials."""
        for place, item in enumerate(items):
            if isinstance(item, CompactionTrigger):
                raise invalid_value(f"items[{place}].type", "compaction_trigger")
        unarmed(declared((), list(map(Entry, items)), "items"), "items")
        wanted = [item.id for item in items if isinstance(item, ItemReference)]
        if not wanted:
            return identified(items, self._clock.id)
        stored = await self._store.items(project, wanted)
        entries: list[Entry] = []
        for item in items:
            if not isinstance(item, ItemReference):
                entries.extend(identified((item,), self._clock.id))
            elif (entry := stored.get(item.id)) is not None:
                entries.append(entry)
            else:
                raise NotFoundError(f"Item with id '{item.id}' not found.", param="items")
        return entries

    async def _absent(self, project: str, conversation_id: str, item_id: str) -> NotFoundError:
        """Which of the two is missing."""
        if await self._store.conversation(project, conversation_id) is None:
            return missing(conversation_id)
        return NotFoundError(f"Item with id '{item_id}' not found in conversation '{conversation_id}'.")


def checked(conversation_id: str) -> str:
    """The id, when it can be a conversation's; InvalidRequestError otherwise."""
    if not conversation_id.startswith(PREFIX):
        raise wrong_prefix("conversation_id", conversation_id, PREFIX)
    return conversation_id


def missing(conversation_id: str) -> NotFoundError:
    """No such conversation in this project."""
    return NotFoundError(f"Conversation with id '{conversation_id}' not found.")


def _present(found: T | None, conversation_id: str) -> T:
    if found is None:
        raise missing(conversation_id)
    return found
