"""One search backend's HTTP: a bounded JSON answer, or SearchError in words that name the host and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from antiphon.ports.search import SearchError, SearchQuery

T = TypeVar("T")

LIMIT: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read; a longer one is refused."""


class Backend:
    """The server behind `url`. The session opens at the first request. Redirects are not followed: the key goes to no
    other host."""

    def __init__(self, url: str, header: tuple[str, str], key: str | None, timeout: float) -> None:
        """`header`: the name of the one that carries the key, and what stands before the key there. `timeout`: seconds
        for a whole request."""
        self._url = url
        self._host = urlsplit(url).hostname or "the search backend"
        self._header = header
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=min(timeout, 10.0))
        self._session: aiohttp.ClientSession | None = None

    async def get(self, query: Mapping[str, str], answer: type[T], key: str | None = None) -> T:
        """What the server answers to GET with this query; `key`: in place of the one of the settings."""
        return self._decoded(await self._asked("GET", params=dict(query), headers=self._keyed(key)), answer)

    async def post(self, body: Mapping[str, Any], answer: type[T], key: str | None = None) -> T:
        """What the server answers to POST with this JSON body; `key` as for `get`."""
        headers = {**self._keyed(key), "Content-Type": "application/json"}
        return self._decoded(await self._asked("POST", data=msgspec.json.encode(body), headers=headers), answer)

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _keyed(self, key: str | None) -> dict[str, str]:
        """The headers of a request."""
        name, front = self._header
        key = key or self._key
        return {"Accept": "application/json"} | ({name: f"{front}{key}"} if key else {})

    async def _asked(self, method: str, **options: Any) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.request(method, self._url, allow_redirects=False, **options) as response:
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

    def _decoded(self, body: bytes, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=answer)
        except msgspec.DecodeError as error:
            raise SearchError(f"{self._host} sent something that is not a list of search results.") from error


def _refusal(host: str, status: int) -> str:
    if status in {401, 403}:
        return f"{host} refused the key (HTTP {status})."
    if status == 429:
        return f"{host} is limiting the rate of searches (HTTP 429)."
    return f"{host} answered with HTTP {status}."


def within(wanted: SearchQuery) -> str:
    """The query for a backend that has no parameter for domains, in the words that most engines understand."""
    only = " OR ".join(f"site:{domain}" for domain in wanted.domains)
    without = (f"-site:{domain}" for domain in wanted.outside)
    return " ".join([wanted.text, *([f"({only})"] if only else []), *without])
