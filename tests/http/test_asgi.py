"""What a server asks besides HTTP requests: its lifespan, and upgrades."""

from __future__ import annotations

from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.engine.completions import Completions
from antiphon.engine.conversations import Conversations
from antiphon.engine.prompts import Prompts
from antiphon.http.app import build
from antiphon.http.services import Services
from tests.http.library import library
from tests.http.stubs import StubCatalog, StubModel, StubRunner

Said = MutableMapping[str, Any]


def services() -> Services:
    clock = SystemClock()
    store = MemoryStore(clock)
    conversations = Conversations(store, clock)
    catalog = StubCatalog(StubModel(), "m")
    return Services(
        runner=StubRunner(),
        catalog=catalog,
        conversations=conversations,
        completions=Completions(store, clock),
        prompts=Prompts(store, clock),
        **library(store, clock),
        store=store,
        clock=clock,
    )


async def test_the_lifespan_is_entered_and_left() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        steps.append("open")
        yield
        steps.append("closed")

    async def receive() -> Said:
        return {"type": "lifespan.startup" if not steps else "lifespan.shutdown"}

    async def send(message: Said) -> None:
        steps.append(message["type"])

    await build(services(), lifespan)({"type": "lifespan", "state": {}}, receive, send)
    assert steps == ["open", "lifespan.startup.complete", "closed", "lifespan.shutdown.complete"]


async def _upgrade(extensions: dict[str, Any]) -> list[Said]:
    said: list[Said] = []

    async def receive() -> Said:
        return {"type": "websocket.connect"}

    async def send(message: Said) -> None:
        said.append(message)

    scope: Said = {"type": "websocket", "path": "/v1/models", "headers": [], "extensions": extensions}
    await build(services())(scope, receive, send)
    return said


async def test_an_upgrade_is_404_so_that_clients_fall_back_to_post() -> None:
    start, body = await _upgrade({"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert b'"code":"unknown_url"' in body["body"]
    assert [message["type"] for message in await _upgrade({})] == ["websocket.close"]
