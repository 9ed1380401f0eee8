"""Web search through the Brave Search API, or any server that answers `GET {url}/web/search` the same way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import Final

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.adapters.searching import Backend, within
from antiphon.ports.search import SearchHit, SearchQuery

_MOST: Final = 20
"""Hits that the API gives at once."""
_QUERY: Final = 400
"""Characters of a query that it takes."""
_TAG: Final = re.compile(r"</?[a-z]+>")


class BraveBackend(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the backend."""

    url: str = "https://api.search.brave.com/res/v1"
    """Without `/web/search`."""
    key: str | None = None
    """Sent as `X-Subscription-Token`."""
    timeout: float = 20.0
    """Seconds for a whole search."""


class _Result(msgspec.Struct):
    url: str = ""
    title: str | None = None
    description: str | None = None
    extra_snippets: tuple[str, ...] = ()


class _Pages(msgspec.Struct):
    results: tuple[_Result, ...] = ()


class _Answer(msgspec.Struct):
    type: str
    web: _Pages | None = None
    """Absent where nothing was found."""


class Brave:
    """A backend of `web_search`. Its hits have an order and no scores."""

    def __init__(self, config: BraveBackend) -> None:
        token = ("X-Subscription-Token", "")
        self._backend = Backend(config.url.rstrip("/") + "/web/search", token, config.key, config.timeout)

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """One GET."""
        query = {"q": within(wanted)[:_QUERY], "count": str(min(wanted.limit, _MOST))}
        if wanted.location is not None and wanted.location.country:
            query["country"] = wanted.location.country
        answer = await self._backend.get(query, _Answer, wanted.key)
        results = answer.web.results if answer.web is not None else ()
        hits = [SearchHit(r.url, _plain(r.title or ""), _text(r)) for r in results if r.url]
        return hits[: wanted.limit]

    async def close(self) -> None:
        """Close the session."""
        await self._backend.close()


def _text(result: _Result) -> str:
    return "\n".join(_plain(text) for text in (result.description or "", *result.extra_snippets) if text)


def _plain(text: str) -> str:
    """Without the marks around the words that were searched for."""
    return unescape(_TAG.sub("", text))


def make(config: BraveBackend, parts: Parts) -> Brave:
    """The backend that the settings describe."""
    del parts
    return Brave(config)
