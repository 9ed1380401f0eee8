"""Entries as rows of the table `item`, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from antiphon.core.context import PREFIXES, type_of
from antiphon.core.effects import Entry, Exchange
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.items import Item, identified, item_id, read_item

_EXCHANGE: Final = msgspec.json.Decoder(Exchange)


class Row(msgspec.Struct, frozen=True):
    """An entry that holds an item, encoded. `id` is the item's, or one that only the table knows for an item that
    cannot have one."""

    entry: Entry
    item: Item
    id: str
    type: str
    status: str | None
    body: str
    exchange: str | None

    @property
    def weight(self) -> int:
        """About how many bytes the decoded entry takes in memory."""
        return weight(self.body, self.exchange)


def weight(body: str, exchange: str | None) -> int:
    """About how many bytes an entry of this body takes once decoded."""
    return 1000 + len(body) * (1 if body.isascii() else 2) + len(exchange or "")


def rows(entries: Iterable[Entry], new_id: Callable[[str], str]) -> tuple[Row, ...]:
    """The entries that hold an item; the others are not stored. Items without an id get one."""
    return tuple([_row(entry, entry.item, new_id) for entry in entries if entry.item is not None])


def _row(entry: Entry, item: Item, new_id: Callable[[str], str]) -> Row:
    kind = type_of(item)
    own = item_id(item)
    if own is None:
        own = new_id(PREFIXES.get(kind, "item_"))
        item = identified(item, own)
        entry = Entry(item, entry.exchange)
    status: object = item.fields.get("status") if isinstance(item, Unknown) else getattr(item, "status", None)
    return Row(
        entry=entry,
        item=item,
        id=own,
        type=kind,
        status=status if isinstance(status, str) else None,
        body=encode(item).decode(),
        exchange=None if entry.exchange is None else encode(entry.exchange).decode(),
    )


def stored(own: str, entry: Entry, body: str, exchange: str | None) -> Row:
    """The row of an item that was read from the table, where `own` is its id."""
    assert entry.item is not None
    return Row(entry, entry.item, own, type_of(entry.item), None, body, exchange)


def renamed(row: Row, new_id: Callable[[str], str]) -> Row:
    """The same entry under a fresh id."""
    item = identified(row.item, new_id(PREFIXES.get(row.type, "item_")))
    return _row(Entry(item, row.entry.exchange), item, new_id)


def entry(body: str, exchange: str | None) -> Entry:
    """The entry that was stored."""
    return Entry(read_item(body.encode()), None if exchange is None else _EXCHANGE.decode(exchange))


def same(one: str, other: str) -> bool:
    """Whether two bodies are equal as JSON: the order of keys does not matter."""
    return one == other or _sorted(one) == _sorted(other)


def _sorted(body: str) -> bytes:
    value: Any = msgspec.json.decode(body)
    return msgspec.json.encode(value, order="deterministic")
