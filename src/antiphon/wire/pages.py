"""Pages of lists: the envelope, and the query that asks for one (checklist 0)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Struct

from antiphon.wire.invalid import invalid_type, invalid_value, out_of_range
from antiphon.wire.items import Item

Order: TypeAlias = Literal["asc", "desc"]
Query: TypeAlias = Mapping[str, str | Sequence[str]]
"""A decoded query string; a repeated key has a list of values."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")


class Page(Struct, frozen=True, kw_only=True):
    """A page of objects; `first_id` and `last_id` are null when it is empty."""

    object: Literal["list"] = "list"
    data: tuple[Any, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ItemPage(Struct, frozen=True, kw_only=True):
    """A page of items: `/responses/{id}/input_items` and `/conversations/{id}/items`."""

    object: Literal["list"] = "list"
    data: tuple[Item, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class PageParams(Struct, frozen=True, kw_only=True):
    """What a query asks for: at most `limit` objects in this order, between exclusive cursors."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


DEFAULT_PAGE: Final = PageParams()


def parse_page(query: Query, *, default: PageParams = DEFAULT_PAGE, most: int = 100) -> PageParams:
    """Read `limit` (1 to `most`), `order`, `after` and `before`; what is absent or empty is as in `default`."""
    limit, order = text(query, "limit"), text(query, "order")
    if order and order not in {"asc", "desc"}:
        raise invalid_value("order", order, ("asc", "desc"))
    return PageParams(
        limit=integer("limit", limit, 1, most) if limit else default.limit,
        order=cast("Order", order) if order else default.order,
        after=text(query, "after") or default.after,
        before=text(query, "before") or default.before,
    )


def integer(name: str, text: str, least: int, most: int) -> int:
    """A whole number of a query, within these bounds."""
    if not _INTEGER.fullmatch(text):
        raise invalid_type(name, "an integer", text)
    value = int(text)
    if value < least:
        raise out_of_range(name, "integer", f">= {least}", value)
    if value > most:
        raise out_of_range(name, "integer", f"<= {most}", value)
    return value


def listed(query: Query, name: str) -> tuple[str, ...]:
    """An array of a query, in all its spellings: `name[]=a&name[]=b`, `name=a&name=b`, `name=a,b`."""
    found = [text for key in (f"{name}[]", name) for text in _texts(query, key)]
    return tuple(part for text in found for part in text.split(",") if part)


def _texts(query: Query, name: str) -> Sequence[str]:
    value = query.get(name, ())
    return (value,) if isinstance(value, str) else value


def text(query: Query, name: str) -> str | None:
    """The last value under this name, as servers do with repeated keys."""
    found = _texts(query, name)
    return found[-1] if found else None
