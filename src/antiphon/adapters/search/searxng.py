"""Web search through a SearXNG instance, which must have `json` among its `search.formats`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.adapters.searching import Backend, within
from antiphon.ports.search import SearchHit, SearchQuery


class SearxngBackend(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the backend."""

    url: str = "http://127.0.0.1:8888"
    """Without `/search`."""
    key: str | None = None
    """Sent as `Authorization: Bearer`, for instances behind a proxy that asks for it."""
    timeout: float = 20.0
    """Seconds for a whole search."""
    engines: str | None = None
    """The engines to ask, with commas between; default: those of the instance."""


class _Result(msgspec.Struct):
    url: str = ""
    title: str | None = None
    content: str | None = None


class _Answer(msgspec.Struct):
    results: tuple[_Result, ...]


class Searxng:
    """A backend of `web_search`. Its scores are not between 0 and 1, so that hits have an order and no scores."""

    def __init__(self, config: SearxngBackend) -> None:
        bearer = ("Authorization", "Bearer ")
        self._backend = Backend(config.url.rstrip("/") + "/search", bearer, config.key, config.timeout)
        self._engines = {"engines": config.engines} if config.engines else {}

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """One GET."""
        query = {"q": within(wanted), "format": "json", **self._engines}
        answer = await self._backend.get(query, _Answer, wanted.key)
        hits = [SearchHit(r.url, r.title or "", r.content or "") for r in answer.results if r.url]
        return hits[: wanted.limit]

    async def close(self) -> None:
        """Close the session."""
        await self._backend.close()


def make(config: SearxngBackend, parts: Parts) -> Searxng:
    """The backend that the settings describe."""
    del parts
    return Searxng(config)
