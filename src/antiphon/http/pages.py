"""Lists: what a query may ask of them, and the envelope they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.http.operation import Parameter
from antiphon.ports.store import PageQuery
from antiphon.wire.items import Item, item_id
from antiphon.wire.pages import DEFAULT_PAGE, ItemPage, PageParams, Query, parse_page
from antiphon.wire.responses import INCLUDES

PAGE: Final = (
    Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "How many items at the most"),
    Parameter("order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}, "By position"),
    Parameter("after", {"type": "string"}, "The item that the page begins behind"),
    Parameter("before", {"type": "string"}, "The item that the page ends before"),
)
ASCENDING: Final = (
    PAGE[0],
    Parameter("order", {"type": "string", "enum": ["asc", "desc"], "default": "asc"}, "By position"),
    PAGE[2],
)

INCLUDE: Final = Parameter(
    "include", {"type": "array", "items": {"type": "string", "enum": list(INCLUDES)}}, "Fields to show besides"
)


def page_wanted(query: Query, default: PageParams = DEFAULT_PAGE) -> PageQuery:
    """The page that the query asks for; InvalidRequestError for a value outside its range."""
    wanted = parse_page(query, default=default)
    return PageQuery(limit=wanted.limit, order=wanted.order, after=wanted.after, before=wanted.before)


def page_of(items: Sequence[Item], *, more: bool) -> ItemPage:
    """The envelope of these items."""
    return ItemPage(
        data=tuple(items),
        first_id=item_id(items[0]) if items else None,
        last_id=item_id(items[-1]) if items else None,
        has_more=more,
    )
