"""A client of `/v1/responses` as a WebSocket that checks what it is told.

Every frame is text and one JSON event. Events of a response are checked as a stream is: their order, OpenAI's document,
the official client's types; errors against the envelope (wire checklist D.2).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect

from tests.grammar import TERMINAL, check
from tests.schemas import validate
from tests.shared import SHARED

DEADLINE = 20.0
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)
Json = dict[str, Any]


class Socket:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **body: Any) -> None:
        """A `response.create`."""
        await self.raw(json.dumps({"type": "response.create", "model": "test/m", **body}))

    async def raw(self, frame: str | bytes) -> None:
        await self.connection.send(frame)

    async def event(self) -> Json:
        """The next event of any lane, or an error."""
        async with asyncio.timeout(DEADLINE):
            frame = await self.connection.recv()
        assert isinstance(frame, str)
        event = json.loads(frame)
        if event["type"] == "error":
            check_envelope(event)
        return event

    async def turn(self) -> list[Json]:
        """The events of one response, to its end, while no other lane speaks."""
        events = [await self.event()]
        while events[-1]["type"] not in TERMINAL:
            assert events[-1]["type"] != "error", events[-1]
            events.append(await self.event())
        check_events(events)
        return events

    async def create(self, **body: Any) -> Json:
        """One response, whole."""
        await self.send(**body)
        response: Json = (await self.turn())[-1]["response"]
        return response

    async def refusal(self, **body: Any) -> Json:
        """The error that answers a request."""
        await self.send(**body)
        return await self.error()

    async def error(self) -> Json:
        """The error that comes next."""
        event = await self.event()
        assert event["type"] == "error", event
        found: Json = event["error"]
        return {**found, "status": event["status"], "stream_id": event.get("stream_id")}

    async def closed(self) -> int:
        """The code with which the server closes; nothing more is said before."""
        async with asyncio.timeout(DEADLINE):
            await self.connection.wait_closed()
        assert self.connection.close_code is not None
        return self.connection.close_code


def check_events(events: list[Json]) -> None:
    """The events of one response, `stream_id` among them or not."""
    assert len({event.get("stream_id") for event in events}) == 1
    plain = [{key: value for key, value in event.items() if key != "stream_id"} for event in events]
    check(plain)
    for event in events:
        if not event["type"].endswith("output_item.added"):
            CLIENT_EVENT.validate_python(event)
    if SHARED.is_dir():
        for event in plain:
            validate("ResponseStreamEvent", event)


def check_envelope(event: Json) -> None:
    CLIENT_EVENT.validate_python(event)
    assert set(event) - {"stream_id", "sequence_number"} == {"type", "status", "error"}
    assert isinstance(event["status"], int)
    assert set(event["error"]) - {"headers"} == {"type", "code", "message", "param"}
    assert isinstance(event["error"]["code"], str)
    assert event["error"]["message"]


@asynccontextmanager
async def connected(url: str, path: str = "/v1/responses", **options: Any) -> AsyncGenerator[Socket]:
    """A connection to the server at this `http://` address; all options are those of `websockets`."""
    address = f"{url.replace('http', 'ws', 1)}{path}"
    async with asyncio.timeout(DEADLINE):
        connection = await connect(address, proxy=None, max_size=None, **options)
    try:
        yield Socket(connection)
    finally:
        async with asyncio.timeout(DEADLINE):
            await connection.close()
