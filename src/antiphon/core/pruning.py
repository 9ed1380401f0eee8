"""Truncation: which of the oldest items go when a context is too long for the model (`truncation: auto`).

System and developer messages stay, and so does everything from the user's last message on; a call goes together with
its output, and reasoning with what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from antiphon.core.effects import Entry
from antiphon.core.recall import answered_id_of, call_id_of
from antiphon.wire.items import Message, Reasoning, item_id

Groups: TypeAlias = tuple[tuple[Entry, ...], ...]


def grouped(context: Sequence[Entry]) -> Groups:
    """The context cut where nothing belongs together, in order."""
    joined: set[int] = set()  # places that stay with the one before them
    called: dict[str, int] = {}
    for place, entry in enumerate(context):
        if entry.item is None:
            continue
        if (call_id := call_id_of(entry.item)) is not None:
            called.setdefault(call_id, place)
            called.setdefault(item_id(entry.item) or call_id, place)  # some clients answer by the item's id
        elif (answered := answered_id_of(entry.item)) is not None:
            joined.update(range(called.get(answered, place) + 1, place + 1))
        elif isinstance(entry.item, Reasoning):
            joined.add(place + 1)
    cuts = [place for place in range(len(context)) if place not in joined or place == 0]
    return tuple(tuple(context[start:end]) for start, end in pairwise([*cuts, len(context)]))


def droppable(groups: Groups) -> tuple[int, ...]:
    """The places of the groups that may go, oldest first."""
    last = max(
        (place for place, group in enumerate(groups) if any(_is(entry, "user") for entry in group)),
        default=len(groups) - 1,
    )
    return tuple(
        place
        for place in range(last)
        if not any(_is(entry, "system") or _is(entry, "developer") for entry in groups[place])
    )


def without(groups: Groups, sizes: Sequence[int], excess: int) -> tuple[tuple[Entry, ...], int]:
    """The context without its oldest groups, so many that together they are of at least `excess` size (or all that may
    go), and how many entries went."""
    gone: set[int] = set()
    for place in droppable(groups):
        if excess <= 0:
            break
        gone.add(place)
        excess -= sizes[place]
    kept = tuple(entry for place, group in enumerate(groups) if place not in gone for entry in group)
    return kept, sum(len(groups[place]) for place in gone)


def halved(context: Sequence[Entry]) -> tuple[tuple[Entry, ...], int]:
    """The context without the older half of what may go, where nobody knows how much is too much; and how many entries
    went (0: none may)."""
    groups = grouped(context)
    share = (len(droppable(groups)) + 1) // 2
    return without(groups, [1] * len(groups), share)


def truncated(gone: int) -> str:
    """What a client is told of it."""
    return f"truncation: {oldest(gone)} not given to the model"


def oldest(gone: int) -> str:
    """So many items, as the beginning of a sentence."""
    return "the oldest item was" if gone == 1 else f"the {gone} oldest items were"


def _is(entry: Entry, role: str) -> bool:
    return isinstance(entry.item, Message) and entry.item.role == role
