"""Responses that one WebSocket connection knows although nothing stored them, so that it can go on from them.

A response remembers what its turn added and refers to the one it continues: a chain holds every entry once, and forks
share what is before the fork. What was used least recently is forgotten first; whatever is forgotten is then answered
with `previous_response_not_found`, never with a shorter history.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from msgspec import Struct

from antiphon.core.effects import Entry
from antiphon.wire.codec import encode


class _Link(Struct):
    """One response: what it added, in bytes too, and how many need it (a name, and links that continue it)."""

    parent: _Link | None
    added: tuple[Entry, ...]
    size: int
    users: int = 0


class Chains:
    """The Memory of one connection: at most `responses` of them and `size` bytes of their items as JSON."""

    def __init__(self, *, responses: int, size: int) -> None:
        self._most = responses
        self._bound = size
        self._links: dict[str, _Link] = {}  # the least recently used first
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of all that is remembered."""
        return self._size

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._links

    def chain(self, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it is not known here (any more)."""
        link = self._links.pop(response_id, None)
        if link is None:
            return None
        self._links[response_id] = link
        return _whole(link)

    def keep(self, response_id: str, context: Sequence[Entry], previous: str | None = None) -> None:
        """Remember a response that left this context and continues `previous`."""
        parent = self._links.get(previous) if previous is not None else None
        known = _whole(parent) if parent is not None else ()
        if len(known) > len(context) or not all(map(is_, known, context)):
            parent, known = None, ()  # the turn changed what was before it: the history was compacted
        added = tuple(context[len(known) :])
        link = _Link(parent, added, sum(map(_size, added)))
        if parent is not None:
            parent.users += 1
        self._size += link.size
        self.evict(response_id)
        link.users += 1
        self._links[response_id] = link
        while self._links and (len(self._links) > self._most or self._size > self._bound):
            self.evict(next(iter(self._links)))

    def evict(self, response_id: str) -> None:
        """Forget a response; what others continue stays with them."""
        link = self._links.pop(response_id, None)
        while link is not None:
            link.users -= 1
            if link.users:
                return
            self._size -= link.size
            link = link.parent


def _whole(link: _Link) -> tuple[Entry, ...]:
    links: list[_Link] = []
    at: _Link | None = link
    while at is not None:
        links.append(at)
        at = at.parent
    return tuple(entry for each in reversed(links) for entry in each.added)


def _size(entry: Entry) -> int:
    """Bytes of the entry as JSON."""
    return len(encode(entry.item)) + (len(encode(entry.exchange)) if entry.exchange is not None else 0)
