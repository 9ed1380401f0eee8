"""Which part of an ordered list a page is. Shared by all stores, so that they page alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import Item, item_id

_END: Final = 2**62


class Window(msgspec.Struct, frozen=True):
    """The positions strictly between `low` and `high`, read from the high end when `descending`; what was read is
    `turned` round for the answer when only `before` was given, for then the items next to the cursor are wanted."""

    low: int
    high: int
    descending: bool
    turned: bool


def window(query: PageQuery, place: Callable[[str], int | None]) -> Window:
    """The window of the query; `place` gives the position of an id, None when the list does not hold it. Raises
    InvalidRequestError for such a cursor."""
    newest_first = query.order == "desc"
    after = None if query.after is None else _placed("after", query.after, place)
    before = None if query.before is None else _placed("before", query.before, place)
    low, high = (before, after) if newest_first else (after, before)
    turned = after is None and before is not None
    return Window(
        low=-1 if low is None else low,
        high=_END if high is None else high,
        descending=newest_first != turned,
        turned=turned,
    )


def _placed(param: str, cursor: str, place: Callable[[str], int | None]) -> int:
    found = place(cursor)
    if found is None:
        raise InvalidRequestError(
            f"Invalid '{param}': there is no item with id '{cursor}' in this list.", param=param, code="invalid_value"
        )
    return found


def sliced(found: Sequence[Item], limit: int, part: Window) -> Slice:
    """The page, given up to `limit` + 1 items of the window in the order it is read."""
    items = found[:limit]
    return Slice(tuple(reversed(items)) if part.turned else tuple(items), has_more=len(found) > limit)


def page(items: Sequence[Item], query: PageQuery) -> Slice:
    """The page of a list that is at hand, oldest first."""
    part = window(query, lambda wanted: next((at for at, item in enumerate(items) if item_id(item) == wanted), None))
    inside = items[part.low + 1 : min(part.high, len(items))]
    ordered = inside[::-1] if part.descending else inside
    return sliced(ordered[: query.limit + 1], query.limit, part)
