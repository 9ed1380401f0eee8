"""What is kept. Tables, commits and ids: docs/architecture.md, "State".

Every method takes the project first (law 8); an id of another project answers exactly like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from antiphon.core.effects import Entry
from antiphon.wire.conversations import Conversation
from antiphon.wire.items import Item
from antiphon.wire.responses import Response, ResponseStatus


class PageQuery(msgspec.Struct, frozen=True):
    """A page of a list: exclusive cursors, `order` asc or desc. An unknown cursor raises InvalidRequestError
    (code `invalid_value`, param the cursor's name). The page begins behind `after`; with `before` alone it is the items
    right in front of that, and "more" are those in front of the page; with both it lies between them."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None


class Slice(msgspec.Struct, frozen=True):
    """The items of one page and whether there are more behind it."""

    items: tuple[Item, ...]
    has_more: bool


class Finished(msgspec.Struct, frozen=True):
    """A terminal response as one transaction stores it: the response (its `output` is what `output` holds), the new
    input of this turn, the output, and the conversation that both are appended to, if any.

    `input` holds only what the turn added, never the history. `append` is false when the turn failed: the lock is
    released and nothing is appended. `expires_at`: epoch seconds, None: never.
    """

    response: Response
    input: tuple[Entry, ...]
    output: tuple[Entry, ...]
    conversation_id: str | None = None
    append: bool = True
    expires_at: float | None = None


class Store(Protocol):
    """Contract: a call that returns has committed; a call that raises has changed nothing; what was stored is read back
    equal, item order is the order of insertion and never a clock's. Items are stored once: an Entry whose item id this
    project already holds with an equal body is referred to again; with another body it is stored under a fresh id and
    the returned items say so. An id stands for one item of a list: what comes again in one call, or is already in the
    conversation, gets a fresh id as well. Items that no response and no conversation refers to any more are deleted. A
    project is made when it is first written to. All methods may be called concurrently; what the store cannot do raises
    StoreError."""

    async def open(self) -> None:
        """Open, migrate to the newest schema, and make the `default` project."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then release the files."""
        ...

    async def check(self) -> None:
        """Raise StoreError unless the store answers (used by /ready)."""
        ...

    # responses

    async def save_response(self, project: str, finished: Finished, /) -> None:
        """Store a terminal response, append its entries to its conversation and release the conversation's lock."""
        ...

    async def response(self, project: str, response_id: str, /) -> Response | None:
        """The stored response with its whole output, equal to the one saved; that of a run that has not ended with its
        status and what is finished of its output."""
        ...

    async def status(self, project: str, response_id: str, /) -> ResponseStatus | None:
        """The status that `response` would tell; cheap, however long the output is."""
        ...

    async def delete_response(self, project: str, response_id: str, /) -> bool:
        """Delete the response and its memberships; False when there is none. Conversations keep their items."""
        ...

    async def chain(self, project: str, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response: for every response from the chain's first to this one, its input
        and then its output. None when this response or one that it builds on does not exist (any more) or is not
        terminal."""
        ...

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice | None:
        """The full resolved input of the response (the chain before it, then its own input), paged; the response may be
        one that is not terminal."""
        ...

    async def items(self, project: str, item_ids: Sequence[str], /) -> dict[str, Entry]:
        """The stored items with these ids, for `item_reference`; unknown ids are absent from the result."""
        ...

    async def responses(self, project: str, page: PageQuery, /) -> tuple[Sequence[Response], bool]:
        """A page of stored responses by creation, each with its output; whether there are more."""
        ...

    async def expire(self, now: float, /) -> int:
        """Delete every terminal response, chat completion and first answer whose time has passed; how many. Items that
        a conversation refers to stay. In parts: others write in between."""
        ...

    # conversations

    async def create_conversation(self, project: str, conversation: Conversation, items: Sequence[Entry], /) -> None:
        """Store a new conversation with its first items."""
        ...

    async def conversation(self, project: str, conversation_id: str, /) -> Conversation | None:
        """The conversation, or None."""
        ...

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: dict[str, str], /
    ) -> Conversation | None:
        """Replace the metadata; None when there is no such conversation."""
        ...

    async def delete_conversation(self, project: str, conversation_id: str, /) -> bool:
        """Delete the conversation and its memberships; False when there is none."""
        ...

    async def fork_conversation(
        self, project: str, source_id: str, fork: Conversation, last_item: str | None, /
    ) -> Conversation | None:
        """Store `fork` as a new conversation that refers to the items of `source_id` up to and including `last_item`
        (None: all); nothing is copied (law 5). None when there is no such conversation, or no such item in it."""
        ...

    async def append_items(
        self, project: str, conversation_id: str, items: Sequence[Entry], /
    ) -> tuple[Item, ...] | None:
        """Append; the items as stored, in order (ids may be fresh, see above); None: no such conversation."""
        ...

    async def conversation_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice | None:
        """A page of the conversation's items by position; None: no such conversation."""
        ...

    async def conversation_entries(self, project: str, conversation_id: str, /) -> Sequence[Entry] | None:
        """All of the conversation, oldest first, as context of a turn; None: no such conversation."""
        ...

    async def conversation_item(self, project: str, conversation_id: str, item_id: str, /) -> Item | None:
        """One item of the conversation; None when it is not in it."""
        ...

    async def delete_conversation_item(
        self, project: str, conversation_id: str, item_id: str, /
    ) -> Conversation | None:
        """Remove the item from the conversation; the conversation, or None when either does not exist."""
        ...

    async def lock_conversation(self, project: str, conversation_id: str, owner: str, until: float, /) -> bool | None:
        """Take the lock for `owner` until that time (epoch seconds; `until` <= 0 releases it). False: another owner
        holds it; None: no such conversation."""
        ...
