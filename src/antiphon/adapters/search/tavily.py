"""Web search through the Tavily API, or any server that answers `POST {url}/search` the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from antiphon.adapters.parts import Parts
from antiphon.ports.search import SearchError, SearchHit, SearchQuery

LIMIT: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read; a longer one is refused."""

_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


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
    """A backend of `web_search`. The session opens at the first search.

    `location` is not passed on: the API wants the English names of its own list of countries, the tool has ISO codes.
    """

    def __init__(self, config: TavilyBackend) -> None:
        self._url = config.url.rstrip("/") + "/search"
        self._host = urlsplit(config.url).hostname or "the search backend"
        self._headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
        self._timeout = aiohttp.ClientTimeout(total=config.timeout, connect=min(config.timeout, 10.0))
        self._session: aiohttp.ClientSession | None = None

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """One POST. Redirects are not followed: the key goes to no other host."""
        body: dict[str, Any] = {"query": wanted.text, "max_results": wanted.limit}
        if wanted.domains:
            body["include_domains"] = list(wanted.domains)
        answer = _decoded(await self._post(body), self._host)
        hits = [SearchHit(r.url, r.title or "", r.content or "", r.score) for r in answer.results if r.url]
        return hits[: wanted.limit]

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: dict[str, Any]) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                self._url, data=msgspec.json.encode(body), headers=self._headers | _JSON, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise SearchError(_refusal(self._host, response.status))
                return await self._read(response)
        except TimeoutError as error:
            raise SearchError(f"{self._host} did not answer in {self._timeout.total:g} seconds.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SearchError(f"{self._host} cannot be reached.") from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > LIMIT:
                raise SearchError(f"{self._host} sent more than {LIMIT // 1024 // 1024} MB.")
            pieces.append(piece)
        return b"".join(pieces)


def _refusal(host: str, status: int) -> str:
    if status in {401, 403}:
        return f"{host} refused the server's key (HTTP {status})."
    if status == 429:
        return f"{host} is limiting the rate of searches (HTTP 429)."
    return f"{host} answered with HTTP {status}."


def _decoded(body: bytes, host: str) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as error:
        raise SearchError(f"{host} sent something that is not a list of search results.") from error


def make(config: TavilyBackend, parts: Parts) -> Tavily:
    """The backend that the settings describe."""
    del parts
    return Tavily(config)
