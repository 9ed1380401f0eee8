"""A small client of our own API, for commands: JSON, uploads and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

_LINE: Final = 16 * 1024 * 1024
"""Bytes of the longest event that is read."""


class ApiError(Exception):
    """The server refused; the words are its own."""


class Api:
    """The API at `url` (with `/v1`). All methods raise ApiError."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10), read_bufsize=_LINE
        )

    async def close(self) -> None:
        """Release connections."""
        await self._session.close()

    async def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The JSON answer to a request with a JSON body."""
        return await self._answer(method, path, json=body)

    async def upload(self, path: Path) -> dict[str, Any]:
        """The file object of an upload."""
        with path.open("rb") as content:
            form = aiohttp.FormData({"purpose": "assistants"})
            form.add_field("file", content, filename=path.name)
            return await self._answer("POST", "/files", data=form)

    async def listed(self, path: str, query: str = "") -> list[dict[str, Any]]:
        """All elements of a list, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.call("GET", f"{path}?limit=100{query}{after}")
            found += page["data"]
            if not page["has_more"] or not page["data"]:
                return found
            after = f"&after={page['last_id']}"

    async def events(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[dict[str, Any]]:
        """The events of a stream, as they come."""
        try:
            async with self._session.post(self._url + path, json={**body, "stream": True}) as answer:
                await _accepted(answer)
                async for line in answer.content:
                    if line.startswith(b"data: {"):
                        yield json.loads(line[6:])
        except (aiohttp.ClientError, ValueError) as error:
            raise ApiError(f"the stream broke off: {error}") from error

    async def _answer(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            async with self._session.request(method, self._url + path, **options) as answer:
                await _accepted(answer)
                return cast("dict[str, Any]", await answer.json())
        except aiohttp.ClientError as error:
            raise ApiError(f"{self._url} does not answer: {error}") from error


async def _accepted(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    try:
        words = json.loads(await answer.read())["error"]["message"]
    except (ValueError, KeyError, TypeError):
        words = f"the server answered {answer.status}"
    raise ApiError(words)
