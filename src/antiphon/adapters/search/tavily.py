"""Web search through the Tavily API, or any server that answers `POST {url}/search` the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.adapters.searching import Backend
from antiphon.ports.search import SearchHit, SearchQuery


class TavilyBackend(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the backend."""

    url: str = "https://api.tavily.com"
    """Without `/search`."""
    key: str | None = None
    """Sent as `Authorization: Bearer`."""
    timeout: float = 20.0
    """Seconds for a whole search."""


class _Result(msgspec.Struct):
    url: str = ""
    title: str | None = None
    content: str | None = None
    score: float | None = None


class _Answer(msgspec.Struct):
    results: tuple[_Result, ...]


class Tavily:
    """A backend of `web_search`.

    `location` is not passed on: the API wants the English names of its own list of countries, the tool has ISO codes.
    """

    def __init__(self, config: TavilyBackend) -> None:
        bearer = ("Authorization", "Bearer ")
        self._backend = Backend(config.url.rstrip("/") + "/search", bearer, config.key, config.timeout)

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """One POST."""
        body: dict[str, Any] = {"query": wanted.text, "max_results": wanted.limit}
        if wanted.domains:
            body["include_domains"] = list(wanted.domains)
        if wanted.outside:
            body["exclude_domains"] = list(wanted.outside)
        answer = await self._backend.post(body, _Answer, wanted.key)
        hits = [SearchHit(r.url, r.title or "", r.content or "", r.score) for r in answer.results if r.url]
        return hits[: wanted.limit]

    async def close(self) -> None:
        """Close the session."""
        await self._backend.close()


def make(config: TavilyBackend, parts: Parts) -> Tavily:
    """The backend that the settings describe."""
    del parts
    return Tavily(config)
