"""`/v1/models`, `/health` and `/ready`."""

from __future__ import annotations

import asyncio

import pytest
from openai import NotFoundError as OpenAINotFoundError

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.http.services import HttpLimits
from antiphon.wire.errors import ModelError, StoreError
from tests.http.server import Parts, serving
from tests.http.stubs import StubCatalog, StubModel


async def test_models_are_listed_and_found_by_names_with_slashes() -> None:
    async with serving() as server, server.client() as client:
        assert [model.id async for model in client.models.list()] == ["m", "org/family/model"]
        assert (await client.models.retrieve("org/family/model")).id == "org/family/model"
        for path in ("org/family/model", "org%2Ffamily%2Fmodel"):
            assert (await server.ask("GET", f"/v1/models/{path}")).json["id"] == "org/family/model"


async def test_an_unknown_model_is_404() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(OpenAINotFoundError, match="The model `a/b` does not exist or you do not have access to it"):
            await client.models.retrieve("a/b")


async def test_a_server_that_answers_is_healthy_whatever_else_fails() -> None:
    catalog = StubCatalog(StubModel())
    catalog.failure = ModelError("away")
    async with serving(Parts(catalog=catalog, store=_Broken(SystemClock()))) as server:
        answer = await server.ask("GET", "/health")
        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_ready_names_the_parts_that_fail_and_nothing_else() -> None:
    async with serving() as server:
        assert (await server.ask("GET", "/ready")).json == {"status": "ready"}
    catalog = StubCatalog(StubModel(), "m")
    async with serving(Parts(store=_Broken(SystemClock()), catalog=catalog)) as server:
        answer = await server.ask("GET", "/ready")
        assert answer.status == 503
        assert answer.error["code"] == "not_ready"
        assert answer.error["message"] == "Not ready: store."
        assert b"secret" not in answer.body
        catalog.failure = ModelError("secret")
        assert (await server.ask("GET", "/ready")).error["message"] == "Not ready: store, models."


async def test_ready_does_not_wait_for_ever() -> None:
    async with serving(Parts(store=_Silent(SystemClock()), limits=HttpLimits(ready_timeout=0.05))) as server:
        assert (await server.ask("GET", "/ready")).error["message"] == "Not ready: store."


async def test_a_server_without_models_is_not_ready() -> None:
    async with serving(Parts(catalog=StubCatalog(StubModel()))) as server:
        assert (await server.ask("GET", "/ready")).status == 503


class _Broken(MemoryStore):
    async def check(self) -> None:
        raise StoreError("secret path")


class _Silent(MemoryStore):
    async def check(self) -> None:
        await asyncio.Event().wait()
