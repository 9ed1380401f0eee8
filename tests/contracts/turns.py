"""Items, turns and pages for the tests of stores."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from antiphon.core.effects import Entry, Exchange
from antiphon.ports.store import Finished, PageQuery, Store
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.conversations import Conversation
from antiphon.wire.items import Item, Message, WebSearchCall, item_id
from antiphon.wire.responses import ConversationRef, Response, Usage

DEFAULT = "default"
OTHER = "another project"


def said(name: str, text: str = "Hello.") -> Entry:
    """A message of the user with the id `msg_<name>`."""
    return Entry(Message(id=f"msg_{name}", role="user", content=(InputText(text=text),)))


def answered(name: str, text: str = "Hello to you.") -> Entry:
    """A message of the assistant."""
    return Entry(Message(id=f"msg_{name}", role="assistant", content=(OutputText(text=text),)))


def searched(name: str) -> Entry:
    """A web search, with what the model was told."""
    item = WebSearchCall(id=f"ws_{name}", status="completed", action={"type": "search", "query": "experts"})
    return Entry(item, Exchange("call_1", "web_search", '{"query":"experts"}', '{"top_k":[]}'))


def entries(name: str, count: int) -> tuple[Entry, ...]:
    """As many messages, `msg_<name>_0` first."""
    return tuple(said(f"{name}_{place}", f"This is {name} {place}.") for place in range(count))


def turn(
    name: str,
    previous: str | None = None,
    *,
    given: Sequence[Entry] | None = None,
    made: Sequence[Entry] | None = None,
    conversation: str | None = None,
    append: bool = True,
) -> Finished:
    """The response `resp_<name>` after `resp_<previous>`; one message in and one out where nothing else is said."""
    output = (answered(f"{name}_out", f"Answer {name}."),) if made is None else tuple(made)
    return Finished(
        response=Response(
            id=f"resp_{name}",
            created_at=1_700_000_000,
            completed_at=1_700_000_001,
            status="completed" if append else "failed",
            model="test/model",
            previous_response_id=None if previous is None else f"resp_{previous}",
            output=tuple(entry.item for entry in output if entry.item is not None),
            usage=Usage(input_tokens=3, output_tokens=4, total_tokens=7),
            metadata={"name": name},
            conversation=UNSET if conversation is None else ConversationRef(id=conversation),
        ),
        input=(said(f"{name}_in", f"Question {name}."),) if given is None else tuple(given),
        output=output,
        conversation_id=conversation,
        append=append,
    )


async def save(store: Store, *turns: Finished) -> None:
    """Save the turns, one after the other."""
    for finished in turns:
        await store.save_response(DEFAULT, finished)


async def talk(store: Store, name: str, items: Sequence[Entry] = (), project: str = DEFAULT) -> str:
    """Make the conversation `conv_<name>`; its id."""
    conversation = Conversation(id=f"conv_{name}", created_at=1_700_000_000, metadata={"name": name})
    await store.create_conversation(project, conversation, items)
    return conversation.id


def ids(found: Sequence[Entry | Item] | None) -> list[str | None]:
    """The ids of entries or items, in order."""
    assert found is not None
    items = [thing.item if isinstance(thing, Entry) else thing for thing in found]
    return [None if item is None else item_id(item) for item in items]


async def context(store: Store, response_id: str, project: str = DEFAULT) -> list[Entry] | None:
    """The chain that ends with the response."""
    found = await store.chain(project, response_id)
    return None if found is None else list(found)


async def listed(store: Store, conversation_id: str, project: str = DEFAULT) -> list[str | None]:
    """The ids of all the conversation's items, oldest first, as a list and as context alike."""
    page = await store.conversation_items(project, conversation_id, PageQuery(limit=10_000, order="asc"))
    assert page is not None
    assert ids(await store.conversation_entries(project, conversation_id)) == ids(page.items)
    return ids(page.items)
