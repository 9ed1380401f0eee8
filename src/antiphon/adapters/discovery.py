"""Endpoints that need no settings: `OPENAI_*` variables and model servers of this machine. Asks loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from antiphon.core.dialect import Dialect

LOOPBACK: Final = "127.0.0.1"
OPENAI: Final = "https://api.openai.com/v1"


LOCAL_DIALECT: Final = Dialect(developer_role=False, max_tokens_field="max_tokens")
"""What every local server understands; their templates seldom know the role `developer`."""


class Found(msgspec.Struct, frozen=True):
    """An endpoint that can be used. `models` is what it said it serves; empty when it was not asked."""

    name: str
    base_url: str
    api_key: str | None = None
    dialect: Dialect = Dialect()
    models: tuple[str, ...] = ()


class _Card(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: tuple[_Card, ...]


def from_environment(environ: Mapping[str, str]) -> Found | None:
    """The endpoint `openai`, when `OPENAI_API_KEY` or `OPENAI_BASE_URL` is set; it is not asked anything."""
    key, url = environ.get("OPENAI_API_KEY"), environ.get("OPENAI_BASE_URL")
    if not key and not url:
        return None
    own = not url or url.rstrip("/") == OPENAI  # others may not read files
    return Found("openai", url or OPENAI, key or None, Dialect(files="native") if own else Dialect())


async def local(ports: Mapping[str, int], *, timeout: float = 0.3) -> AsyncGenerator[Found]:  # noqa: ASYNC109
    """The servers on these loopback ports (by endpoint name) that list models, each as soon as it has answered.

    `timeout` seconds to connect, and as many to begin an answer; what does not answer like a model server is left out.
    """
    asked = [asyncio.ensure_future(_ask(name, port, timeout)) for name, port in ports.items()]
    try:
        for answer in asyncio.as_completed(asked):
            if (found := await answer) is not None:
                yield found
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def all_local(ports: Mapping[str, int], *, timeout: float = 0.3) -> list[Found]:  # noqa: ASYNC109
    """All of `local`, in the order of the ports."""
    async with aclosing(local(ports, timeout=timeout)) as answers:
        found = {one.name: one async for one in answers}
    return [found[name] for name in ports if name in found]


async def _ask(name: str, port: int, seconds: float) -> Found | None:
    if not await _listens(port, seconds):
        return None
    # aiohttp is not loaded on a machine where nothing listens: it is a third of the start.
    import aiohttp  # noqa: PLC0415

    base_url = f"http://{LOOPBACK}:{port}/v1"
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(f"{base_url}/models", allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                return None
            listed = msgspec.json.decode(await answer.read(), type=_List)
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
        return None
    return Found(name, base_url, dialect=LOCAL_DIALECT, models=tuple(card.id for card in listed.data))


async def _listens(port: int, seconds: float) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(LOOPBACK, port), seconds)
    except (OSError, TimeoutError):
        return False
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return True  # it did listen; how it hangs up is its business
    return True
