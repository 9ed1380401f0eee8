"""What sealed items hold, and how they stand in the context.

Clients carry the sealed form (`encrypted_content`); an Entry keeps beside its item, as an Exchange of its purpose, what
that holds. Nothing here knows how sealing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, TypeGuard

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.core.effects import Entry, Exchange
from antiphon.wire.codec import encode
from antiphon.wire.items import Compaction, Item, Message, Reasoning

Purpose: TypeAlias = Literal["reasoning", "compaction"]
Opener: TypeAlias = Callable[[Purpose, str], str]
"""Opens a sealed text; raises what its maker raises."""


class Thought(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sealed reasoning item holds: all that the model was seen to think, and the upstream's own sealed form of
    it where it has one."""

    text: str
    opaque: str | UnsetType = UNSET


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a compaction item holds: the words for what it stands for, and messages that are kept as they were, of which
    the first `before` come before those words. `whole`: it also stands for everything in front of it."""

    text: str
    kept: tuple[Message, ...] = ()
    before: int = 0
    whole: bool = True


_THOUGHT: Final = msgspec.json.Decoder(Thought)
_SUMMARY: Final = msgspec.json.Decoder(Summary)


def packed(content: Thought | Summary) -> str:
    """As the text that is sealed."""
    return encode(content).decode()


def carried(item: Item, content: str) -> Entry:
    """The item with what it holds beside it; `content` is what `packed` gave."""
    purpose = "compaction" if isinstance(item, Compaction) else "reasoning"
    return Entry(item, Exchange(call_id="", name=purpose, arguments="", output=content))


def is_exchange(exchange: Exchange | None) -> TypeGuard[Exchange]:
    """Whether it is a tool call, and not what a sealed item holds."""
    return exchange is not None and bool(exchange.call_id)


def purpose_of(item: Item | None) -> Purpose | None:
    """How the item's content was sealed; None: it has none."""
    if isinstance(item, Compaction):
        return "compaction"
    if isinstance(item, Reasoning) and item.encrypted_content:
        return "reasoning"
    return None


def thought_of(entry: Entry) -> Thought | None:
    """What a reasoning entry holds beside its item, if anything."""
    if entry.exchange is None or not isinstance(entry.item, Reasoning):
        return None
    return _THOUGHT.decode(entry.exchange.output)


def summary_of(entry: Entry) -> Summary | None:
    """What a compaction entry holds, once it was opened."""
    if entry.exchange is None or not isinstance(entry.item, Compaction):
        return None
    return _SUMMARY.decode(entry.exchange.output)


def reasoning_text(entry: Entry) -> str:
    """All that is known of what was thought: sealed, said, or summarised."""
    item = entry.item
    assert isinstance(item, Reasoning)
    if (thought := thought_of(entry)) is not None:
        return thought.text
    return "".join(part.text for part in item.content or ()) or "\n\n".join(part.text for part in item.summary)


def closed(entry: Entry) -> bool:
    """Whether the model cannot be told what the entry says before it is opened."""
    item = entry.item
    if entry.exchange is not None or purpose_of(item) is None:
        return False
    return not (isinstance(item, Reasoning) and (item.content or item.summary))


def opened(entry: Entry, opener: Opener) -> Entry:
    """The entry with what it holds beside it; the same object where it is not sealed, or open already."""
    item = entry.item
    purpose = purpose_of(item)
    if purpose is None or entry.exchange is not None:
        return entry
    assert isinstance(item, Compaction | Reasoning)
    return carried(item, opener(purpose, str(item.encrypted_content)))
