"""The whole server on a real port: composed from settings, driven by the official client, every answer checked.

What goes over the socket is kept and checked as it passes: streams against the grammar, every event and object against
OpenAI's document and the official client's types.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from openai import AsyncOpenAI
from openai.types.responses import Response as ClientResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from antiphon.cli.protocol import WebSocket
from antiphon.compose import Composition, choose, compose
from antiphon.settings import Settings
from tests.grammar import check, parse_sse
from tests.schemas import validate
from tests.shared import SHARED
from tests.upstream import Upstream

DEADLINE = 20.0
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CLIENT_RESPONSE: TypeAdapter[ClientResponse] = TypeAdapter(ClientResponse)
Json = dict[str, Any]


class Whole:
    """A server that runs, and the ways of its clients."""

    def __init__(self, composition: Composition, url: str, raw: aiohttp.ClientSession) -> None:
        self.composition = composition
        self.url = url
        self.raw = raw
        self.client = AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=DEADLINE)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """One request; the status and the JSON of the answer."""
        async with self.raw.request(method, f"{self.url}/v1{path}", json=body) as answer:
            return answer.status, await answer.json()

    async def stream(self, **body: Any) -> list[Json]:
        """A streamed response, read raw and checked: its form, order, schema, and the client's types."""
        async with self.raw.post(f"{self.url}/v1/responses", json={**body, "stream": True}) as answer:
            assert answer.status == 200, await answer.text()
            received = await answer.read()
        assert received.endswith(b"data: [DONE]\n\n")
        events = parse_sse(received)
        check(events)
        if SHARED.is_dir():
            for event in events:
                validate("ResponseStreamEvent", event)
        for event in events:
            if not event["type"].endswith("output_item.added"):  # a search shows its action only when it is done
                CLIENT_EVENT.validate_python(event)
        return events

    async def create(self, **body: Any) -> Json:
        """A response in one answer, checked likewise."""
        status, found = await self.ask("POST", "/responses", body)
        assert status == 200, found
        if SHARED.is_dir():
            validate("Response", found)
        CLIENT_RESPONSE.validate_python(found)
        return found


def text_of(response: Json) -> str:
    """What the assistant said."""
    return "".join(p["text"] for item in response["output"] if item["type"] == "message" for p in item["content"])


def fast(upstream: Upstream, **options: Any) -> Json:
    """Settings of an endpoint that neither waits nor retries for long."""
    patience = {"connect": 2.0, "first_byte": 5.0, "idle": 5.0}
    return {"name": "test", "base_url": upstream.url, "models": ["m"], "timeouts": patience, **options}


@asynccontextmanager
async def whole(data: Path, **tree: Any) -> AsyncGenerator[Whole]:
    """The server with these settings; nothing is discovered unless they say so."""
    quiet: Json = {"enabled": False, "builtin": False}
    settings = Settings.model_validate({"data": {"dir": data}, "discovery": quiet, **tree})
    async with compose(settings, choose(settings, {})) as composition:
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            composition.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws=WebSocket,
            ws_max_size=settings.server.max_body_mb * 1024 * 1024,
            ws_ping_interval=settings.websocket.ping_seconds,
            ws_ping_timeout=settings.websocket.pong_seconds,
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with aiohttp.ClientSession(json_serialize=json.dumps) as raw:
                served = Whole(composition, url, raw)
                async with served.client:
                    yield served
        finally:
            composition.sockets.drain()
            server.should_exit = True
            async with asyncio.timeout(DEADLINE):
                await running
