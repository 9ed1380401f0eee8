"""Endpoints without settings: real servers on loopback, real connections."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from aiohttp import web

from antiphon.adapters.discovery import LOCAL_DIALECT, OPENAI, Found, all_local, from_environment
from antiphon.core.dialect import Dialect
from tests.listening import listening

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncGenerator[int]:
    """A server on a free loopback port that answers GET /v1/models."""
    app = web.Application()
    app.router.add_get("/v1/models", answer)
    async with listening(app) as origin:
        yield int(origin.rpartition(":")[2])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listing(*names: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    return answer


async def test_local_servers_are_found_in_the_order_of_the_ports() -> None:
    async with server(listing("llama3", "qwen")) as one, server(listing("phi")) as two:
        found = await all_local({"b": two, "none": free_port(), "a": one}, timeout=5)
    assert found == [
        Found("b", f"http://127.0.0.1:{two}/v1", dialect=LOCAL_DIALECT, models=("phi",)),
        Found("a", f"http://127.0.0.1:{one}/v1", dialect=LOCAL_DIALECT, models=("llama3", "qwen")),
    ]


async def _page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>Hello</html>", content_type="text/html")


async def _other_json(request: web.Request) -> web.StreamResponse:
    return web.json_response({"data": [{"name": "no id"}]})


async def _refusal(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "no"}, status=401)


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://192.0.2.1/v1/models")


@pytest.mark.parametrize("answer", [_page, _other_json, _refusal, _elsewhere])
async def test_a_server_that_is_no_model_server_is_left_out(answer: Answer) -> None:
    async with server(answer) as port:
        assert await all_local({"x": port}, timeout=5) == []


async def test_a_server_that_does_not_answer_holds_nobody_up() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with server(silent) as port, server(listing("m")) as other:
        began = time.monotonic()
        found = await all_local({"silent": port, "other": other}, timeout=0.3)
        assert time.monotonic() - began < 2
    assert [one.name for one in found] == ["other"]


async def test_no_ports_means_nothing_is_asked() -> None:
    assert await all_local({}) == []


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": ""}, None),
        ({"OPENAI_API_KEY": "k"}, Found("openai", OPENAI, "k", Dialect(files="native"))),
        ({"OPENAI_BASE_URL": "http://h/v1"}, Found("openai", "http://h/v1")),
        ({"OPENAI_BASE_URL": "http://h/v1", "OPENAI_API_KEY": "k"}, Found("openai", "http://h/v1", "k")),
    ],
)
def test_the_variables_of_the_openai_client_are_an_endpoint(environ: dict[str, str], found: Found | None) -> None:
    assert from_environment(environ) == found
