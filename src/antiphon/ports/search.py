"""Something that searches the web."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from antiphon.wire.tools import Location


class SearchQuery(Struct, frozen=True):
    """What is searched for, and how many hits are wanted at most. `domains`: only pages of these and their subdomains
    (empty: all), but for those `outside`. `location`: where the user is, a hint that a backend may ignore. `key`: the
    client's own, in place of the one of the settings."""

    text: str
    limit: int = 5
    domains: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    location: Location | None = None
    key: str | None = None


class SearchHit(Struct, frozen=True):
    """A page that was found: an extract of its text, and its score (0 to 1, higher is better; None: not scored)."""

    url: str
    title: str = ""
    content: str = ""
    score: float | None = None


class SearchError(Exception):
    """The search gave no answer. The words are for the model and the client: they name the backend's host, never a key
    or what the backend's body said."""


class Search(Protocol):
    """Contract: the hits come best first and at most `limit`; none found is an empty sequence; whatever goes wrong with
    the backend is SearchError, never a transport error. Cancelling `search` drops the request."""

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """Search once."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
