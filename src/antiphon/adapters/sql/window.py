"""Which part of an ordered list a page is. Shared by all stores, so that they page alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import Item, item_id

T = TypeVar("T")

_END: Final = 2**62


class Window(msgspec.Struct, frozen=True):
    """The positions strictly between `low` and `high`, read from the high end when `descending`; what was read is
    `turned` round for the answer when only `before` was given, for then the items next to the cursor are wanted."""

    low: int
    high: int
    descending: bool
    turned: bool

    @property
    def direction(self) -> str:
        """For ORDER BY."""
        return "DESC" if self.descending else "ASC"


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


def cut(found: Sequence[T], limit: int, part: Window) -> tuple[tuple[T, ...], bool]:
    """The page and whether there are more, given up to `limit` + 1 members of the window in the order it is read."""
    members = found[:limit]
    return tuple(reversed(members)) if part.turned else tuple(members), len(found) > limit


def sliced(found: Sequence[Item], limit: int, part: Window) -> Slice:
    """The page of items, given as to `cut`."""
    return Slice(*cut(found, limit, part))


def pick(
    members: Sequence[T],
    query: PageQuery,
    id_of: Callable[[T], str | None],
    wanted: Callable[[T], bool] | None = None,
) -> tuple[tuple[T, ...], bool]:
    """The page of a list that is at hand, oldest first, and whether there are more. Only what is `wanted` is listed;
    anything may be a cursor."""
    part = window(query, lambda cursor: next((at for at, own in enumerate(map(id_of, members)) if own == cursor), None))
    inside = [one for one in members[part.low + 1 : min(part.high, len(members))] if wanted is None or wanted(one)]
    ordered = inside[::-1] if part.descending else inside
    return cut(ordered[: query.limit + 1], query.limit, part)


def page(items: Sequence[Item], query: PageQuery) -> Slice:
    """The page of items that are at hand, oldest first."""
    return Slice(*pick(items, query, item_id))
