"""The WebSocket as an ASGI application: what it says when the engine or the server fails it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from antiphon.http.app import build
from antiphon.http.services import Services
from antiphon.http.sockets import Sockets
from antiphon.wire.errors import AntiphonError, ModelError, OverloadedError
from antiphon.wire.events import Completed, Created, ErrorEvent, Failed
from tests.http.stubs import COMPLETED, CREATED, DONE, StubJournal, StubRunner, frames
from tests.http.test_asgi import services
from tests.sockets import check_envelope

DEADLINE = 5.0
Said = dict[str, Any]
CREATE = '{"type":"response.create","model":"m","input":"x"}'


class Client:
    """The server's side of one socket: what comes in is queued, what goes out is kept."""

    def __init__(self, services: Services, *, broken: type[Exception] | None = None) -> None:
        self.said: list[Said] = []
        self.broken = broken
        self._services = services
        self._coming: asyncio.Queue[Said] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._coming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(self._serve())

    def hears(self, text: str) -> None:
        self._coming.put_nowait({"type": "websocket.receive", "text": text})

    def leaves(self) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def sees(self, number: int) -> list[Said]:
        """The first frames, once there are so many."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: len(self.frames) >= number)
        return self.frames

    @property
    def frames(self) -> list[Said]:
        return [json.loads(message["text"]) for message in self.said if message["type"] == "websocket.send"]

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.task

    async def _serve(self) -> None:
        scope: Said = {
            "type": "websocket",
            "path": "/v1/responses",
            "headers": [],
            "extensions": {"websocket.http.response": {}},
        }
        await build(self._services)(scope, self._coming.get, self._send)

    async def _send(self, message: Any) -> None:
        if self.broken is not None and message["type"] == "websocket.send":
            raise self.broken
        async with self._news:
            self.said.append(message)
            self._news.notify_all()
        if message["type"] == "websocket.close":
            self.leaves()


def serving(runner: StubRunner, sockets: Sockets | None = None) -> Services:
    return replace(services(), runner=runner, sockets=Sockets() if sockets is None else sockets)


def ended(*batches: bytes, outcome: Any = DONE) -> StubJournal:
    journal = StubJournal(*batches, outcome=outcome)
    journal.over.set()
    return journal


def texts(events: Sequence[Said]) -> list[str]:
    return [event["type"] for event in events]


async def test_a_batch_is_one_frame_for_each_event() -> None:
    batch = frames(Created(response=DONE), Completed(response=DONE))
    client = Client(serving(StubRunner(ended(batch))))
    client.hears(CREATE)
    assert texts(await client.sees(2)) == ["response.created", "response.completed"]
    client.leaves()
    await client.ended()


async def test_the_error_of_a_run_is_told_by_its_last_event_alone() -> None:
    failure = frames(ErrorEvent(code="server_error", message="no"), Failed(response=DONE), first=1)
    client = Client(serving(StubRunner(ended(CREATED, failure, outcome=ModelError("no")))))
    client.hears(CREATE)
    events = await client.sees(2)
    assert texts(events) == ["response.created", "response.failed"]
    assert [event["sequence_number"] for event in events] == [0, 1]
    client.leaves()
    await client.ended()


async def test_a_run_that_was_cancelled_ends_with_an_error() -> None:
    journal = ended(CREATED, outcome=replace(DONE, status="cancelled"))
    client = Client(serving(StubRunner(journal)))
    client.hears(CREATE)
    event = (await client.sees(2))[-1]
    check_envelope(event)
    assert event["error"]["code"] == "response_cancelled"
    client.leaves()
    await client.ended()


@pytest.mark.parametrize("refusal", [OverloadedError("full", retry_after=1), ValueError("secret")])
async def test_whatever_the_engine_raises_is_told_and_the_socket_goes_on(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    runner = StubRunner(ended(CREATED, COMPLETED))
    runner.refusal = refusal
    client = Client(serving(runner))
    with caplog.at_level(logging.CRITICAL):
        client.hears(CREATE)
        event = (await client.sees(1))[0]
    check_envelope(event)
    assert event["status"] == (503 if isinstance(refusal, AntiphonError) else 500)
    assert "secret" not in str(event)
    runner.refusal = None
    client.hears(CREATE)
    assert texts(await client.sees(3))[1:] == ["response.created", "response.completed"]
    client.leaves()
    await client.ended()


@pytest.mark.parametrize("broken", [OSError, RuntimeError])
async def test_a_socket_that_the_server_has_closed_abandons_its_run(broken: type[Exception]) -> None:
    journal = StubJournal(CREATED)
    client = Client(serving(StubRunner(journal)), broken=broken)
    client.hears(CREATE)
    client.hears(CREATE)
    async with asyncio.timeout(DEADLINE):
        await journal.abandoned.wait()
    client.leaves()
    await client.ended()
    assert client.frames == []


async def test_a_client_that_leaves_abandons_its_run() -> None:
    journal = StubJournal(CREATED)
    sockets = Sockets()
    client = Client(serving(StubRunner(journal), sockets))
    client.hears(CREATE)
    await client.sees(1)
    assert len(sockets) == 1
    client.leaves()
    await client.ended()
    assert journal.abandoned.is_set()
    assert len(sockets) == 0


async def test_draining_closes_idle_sockets_and_refuses_new_ones() -> None:
    sockets = Sockets()
    journal = StubJournal(CREATED)
    idle = Client(serving(StubRunner(), sockets))
    busy = Client(serving(StubRunner(journal), sockets))
    busy.hears(CREATE)
    await busy.sees(1)
    sockets.drain()
    await idle.ended()
    assert idle.said[-1]["type"] == "websocket.close"
    assert idle.said[-1]["code"] == 1012
    late = Client(serving(StubRunner(), sockets))
    await late.ended()
    assert late.said[0]["status"] == 503
    busy.hears(CREATE)
    assert not busy.task.done()
    journal.over.set()
    await busy.ended()
    assert busy.frames[-1]["status"] == 503
    assert busy.said[-1]["code"] == 1012
