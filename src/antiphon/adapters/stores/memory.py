"""A store in plain dicts, for tests and for servers that need not remember. Nothing survives `close`.

Law: no method awaits, so each is one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.sql.rows import Row, renamed, rows, same
from antiphon.adapters.sql.window import page as paged
from antiphon.core.effects import Entry
from antiphon.ports.clock import Clock
from antiphon.ports.store import Finished, PageQuery, Slice
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import StoreError
from antiphon.wire.items import Item
from antiphon.wire.responses import Response


class _Turn:
    """A stored response. `previous` is None at a chain's start; `gone` when it was deleted, or never was stored."""

    def __init__(self, response: Response | None, previous: _Turn | None, input: list[str], output: list[str]) -> None:  # noqa: A002  # OpenAI's word
        self.response = response
        self.previous = previous
        self.input = input
        self.output = output
        self.gone = response is None


class _Talk:
    """A stored conversation: the ids of its items in order, and its lock."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.items: list[str] = []
        self.owner: str | None = None
        self.until = 0.0


class _Project:
    """What one project owns. `uses` counts the memberships of an item."""

    def __init__(self) -> None:
        self.turns: dict[str, _Turn] = {}
        self.talks: dict[str, _Talk] = {}
        self.items: dict[str, Row] = {}
        self.uses: Counter[str] = Counter()

    def place(self, given: Iterable[Row], taken: Iterable[str], clock: Clock) -> list[str]:
        """Store the items, or find them stored; their ids. None of `taken` and no id twice, see `_place` in SQL."""
        seen = set(taken)
        placed: list[str] = []
        for row in given:
            held = self.items.setdefault(row.id, row)
            if row.id in seen or not same(held.body, row.body):
                held = renamed(row, clock.id)
                self.items[held.id] = held
            seen.add(held.id)
            placed.append(held.id)
        return placed

    def release(self, ids: Iterable[str]) -> None:
        """Take away one use of each; what nothing refers to is deleted."""
        for item_id in ids:
            self.uses[item_id] -= 1
            if self.uses[item_id] <= 0:
                del self.uses[item_id], self.items[item_id]

    def entries(self, ids: Iterable[str]) -> tuple[Entry, ...]:
        """The items as context."""
        return tuple([self.items[item_id].entry for item_id in ids])


def _walk(turn: _Turn) -> Iterator[_Turn]:
    """The turn and those before it, newest first."""
    found: _Turn | None = turn
    while found is not None:
        yield found
        found = found.previous


class MemoryStore:
    """The port `Store` without files."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._projects: dict[str, _Project] | None = None

    async def open(self) -> None:
        """Begin empty."""
        self._projects = {"default": _Project()}

    async def close(self) -> None:
        """Forget everything."""
        self._projects = None

    async def check(self) -> None:
        """Raise StoreError unless the store is open."""
        self._project("default")

    # responses

    async def save_response(self, project: str, finished: Finished, /) -> None:
        """Store a terminal response, append its entries to its conversation and release the conversation's lock."""
        state = self._project(project)
        response = finished.response
        if response.id in state.turns:
            raise StoreError("The store already holds an object with this id.")
        talk = None if finished.conversation_id is None else state.talks.get(finished.conversation_id)
        inputs, outputs = rows(finished.input, self._clock.id), rows(finished.output, self._clock.id)
        ids = state.place((*inputs, *outputs), talk.items if talk is not None and finished.append else (), self._clock)
        previous = None
        if response.previous_response_id is not None:
            previous = state.turns.get(response.previous_response_id, _Turn(None, None, [], []))
        state.turns[response.id] = _Turn(response, previous, ids[: len(inputs)], ids[len(inputs) :])
        state.uses.update(ids)
        if talk is not None:
            talk.owner = None
            if finished.append:
                talk.items.extend(ids)
                state.uses.update(ids)

    async def response(self, project: str, response_id: str, /) -> Response | None:
        """The stored response with its whole output, equal to the one saved."""
        found = self._project(project).turns.get(response_id)
        return None if found is None else found.response

    async def delete_response(self, project: str, response_id: str, /) -> bool:
        """Delete the response and its memberships; False when there is none. Conversations keep their items."""
        state = self._project(project)
        found = state.turns.pop(response_id, None)
        if found is None:
            return False
        found.gone = True
        state.release([*found.input, *found.output])
        return True

    async def chain(self, project: str, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it or one that it builds on does not exist."""
        state = self._project(project)
        ids = self._chain(state, response_id)
        return None if ids is None else state.entries(ids)

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice | None:
        """The full resolved input of the response (the chain before it, then its own input), paged."""
        state = self._project(project)
        ids = self._chain(state, response_id)
        if ids is None:
            return None
        given = ids[: len(ids) - len(state.turns[response_id].output)]
        return paged([state.items[item_id].item for item_id in given], page)

    def _chain(self, state: _Project, response_id: str) -> list[str] | None:
        last = state.turns.get(response_id)
        turns = [] if last is None else list(_walk(last))
        if not turns or any(turn.gone for turn in turns):
            return None
        return [item_id for turn in reversed(turns) for item_id in (*turn.input, *turn.output)]

    async def items(self, project: str, item_ids: Sequence[str], /) -> dict[str, Entry]:
        """The stored items with these ids; unknown ids are absent from the result."""
        held = self._project(project).items
        return {item_id: held[item_id].entry for item_id in item_ids if item_id in held}

    # conversations

    async def create_conversation(self, project: str, conversation: Conversation, items: Sequence[Entry], /) -> None:
        """Store a new conversation with its first items."""
        state = self._project(project)
        if conversation.id in state.talks:
            raise StoreError("The store already holds an object with this id.")
        state.talks[conversation.id] = _Talk(conversation)
        self._append(state, state.talks[conversation.id], items)

    async def conversation(self, project: str, conversation_id: str, /) -> Conversation | None:
        """The conversation, or None."""
        talk = self._project(project).talks.get(conversation_id)
        return None if talk is None else talk.conversation

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: dict[str, str], /
    ) -> Conversation | None:
        """Replace the metadata; None when there is no such conversation."""
        talk = self._project(project).talks.get(conversation_id)
        if talk is None:
            return None
        talk.conversation = structs.replace(talk.conversation, metadata=metadata)
        return talk.conversation

    async def delete_conversation(self, project: str, conversation_id: str, /) -> bool:
        """Delete the conversation and its memberships; False when there is none."""
        state = self._project(project)
        talk = state.talks.pop(conversation_id, None)
        if talk is None:
            return False
        state.release(talk.items)
        return True

    async def append_items(
        self, project: str, conversation_id: str, items: Sequence[Entry], /
    ) -> tuple[Item, ...] | None:
        """Append; the items as stored, in order; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        if talk is None:
            return None
        return tuple([state.items[item_id].item for item_id in self._append(state, talk, items)])

    def _append(self, state: _Project, talk: _Talk, items: Sequence[Entry]) -> list[str]:
        ids = state.place(rows(items, self._clock.id), talk.items, self._clock)
        talk.items.extend(ids)
        state.uses.update(ids)
        return ids

    async def conversation_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice | None:
        """A page of the conversation's items by position; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return None if talk is None else paged([state.items[item_id].item for item_id in talk.items], page)

    async def conversation_entries(self, project: str, conversation_id: str, /) -> Sequence[Entry] | None:
        """All of the conversation, oldest first, as context of a turn; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return None if talk is None else state.entries(talk.items)

    async def conversation_item(self, project: str, conversation_id: str, item_id: str, /) -> Item | None:
        """One item of the conversation; None when it is not in it."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return state.items[item_id].item if talk is not None and item_id in talk.items else None

    async def delete_conversation_item(
        self, project: str, conversation_id: str, item_id: str, /
    ) -> Conversation | None:
        """Remove the item from the conversation; the conversation, or None when either does not exist."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        if talk is None or item_id not in talk.items:
            return None
        talk.items.remove(item_id)
        state.release([item_id])
        return talk.conversation

    async def lock_conversation(self, project: str, conversation_id: str, owner: str, until: float, /) -> bool | None:
        """Take the lock for `owner` until that time, or release it; False: another owner holds it; None: no such
        conversation."""
        talk = self._project(project).talks.get(conversation_id)
        if talk is None:
            return None
        if talk.owner not in {None, owner} and talk.until > self._clock.now():
            return False
        talk.owner, talk.until = (owner, until) if until > 0 else (None, 0.0)
        return True

    def _project(self, name: str) -> _Project:
        if self._projects is None:
            raise StoreError("The store is closed.")
        return self._projects.setdefault(name, _Project())


def make(config: Plain, parts: Parts) -> MemoryStore:
    """An empty store."""
    del config
    return MemoryStore(parts.clock)
