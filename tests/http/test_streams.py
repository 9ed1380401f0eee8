"""Streams over a real socket: batches, comments, the end, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from antiphon.http.services import HttpLimits
from antiphon.wire.errors import InvalidRequestError
from tests.http.server import DEADLINE, Parts, Server, serving
from tests.http.stubs import COMPLETED, CREATED, StubJournal, StubRunner, ended

BODY = b'{"model": "m", "input": "Hi", "stream": true}'
REQUEST = (
    b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    % len(BODY)
    + BODY
)


@asynccontextmanager
async def streaming(server: Server) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream whose headers have been read."""
    reader, writer = await server.connect()
    writer.write(REQUEST)
    try:
        async with asyncio.timeout(DEADLINE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            yield reader, writer
    finally:
        writer.close()


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk: what the server wrote at once."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def test_a_stream_has_its_headers() -> None:
    async with serving(Parts(runner=StubRunner(ended(warnings=["careful"])))) as server:
        answer = await server.raw(REQUEST.replace(b"host: x", b"host: x\r\nconnection: close"))
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-antiphon-warning"] == "careful"
        assert answer.body == CREATED + COMPLETED + b"data: [DONE]\n\n"


async def test_every_batch_is_one_write_and_done_is_the_last() -> None:
    async with serving() as server, streaming(server) as (reader, _):
        assert [await chunk(reader) for _ in range(4)] == [CREATED, COMPLETED, b"data: [DONE]\n\n", b""]
        assert not server.parts.runner.journal.abandoned.is_set()


async def test_a_connection_serves_the_next_request_after_a_stream() -> None:
    async with serving() as server, streaming(server) as (reader, writer):
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_the_official_client_reads_the_stream() -> None:
    async with serving() as server, server.client() as client:
        stream = await client.responses.create(model="m", input="Hi", stream=True)
        events = [event async for event in stream]
        assert [event.type for event in events] == ["response.created", "response.completed"]
        assert [event.sequence_number for event in events] == [0, 1]


async def test_a_request_that_is_refused_is_no_stream() -> None:
    runner = StubRunner()
    runner.refusal = InvalidRequestError("No.", param="input")
    async with serving(Parts(runner=runner)) as server:
        answer = await server.raw(REQUEST.replace(b"host: x", b"host: x\r\nconnection: close"))
        assert answer.status == 400
        assert answer.error["param"] == "input"


async def test_silence_is_broken_by_comments() -> None:
    runner = StubRunner(StubJournal(CREATED))
    parts = Parts(runner=runner, limits=HttpLimits(keepalive=0.05))
    async with serving(parts) as server, streaming(server) as (reader, _):
        assert await chunk(reader) == CREATED
        assert await chunk(reader) == b": ping\n\n"
        assert await chunk(reader) == b": ping\n\n"
        runner.journal.over.set()
        rest = b""
        while not rest.endswith(b"data: [DONE]\n\n"):
            rest += await chunk(reader)
        assert rest.replace(b": ping\n\n", b"") == b"data: [DONE]\n\n"


async def test_a_stream_that_speaks_often_gets_no_comments() -> None:
    journal = _Ticking(ticks=8, pause=0.05)
    parts = Parts(runner=StubRunner(journal), limits=HttpLimits(keepalive=0.25))
    async with serving(parts) as server, streaming(server) as (reader, _):
        received = b""
        while not received.endswith(b"data: [DONE]\n\n"):
            received += await chunk(reader)
        assert received == CREATED * 8 + b"data: [DONE]\n\n"


class _Ticking(StubJournal):
    """Gives the same batch again and again, with a pause before each."""

    def __init__(self, ticks: int, pause: float) -> None:
        super().__init__()
        self.ticks = ticks
        self.pause = pause

    async def follow(self) -> AsyncGenerator[bytes]:
        for _ in range(self.ticks):
            try:
                async with asyncio.timeout(self.pause):
                    await asyncio.Event().wait()
            except TimeoutError:
                yield CREATED


async def test_a_client_that_leaves_abandons_its_run_at_once() -> None:
    runner = StubRunner(StubJournal(CREATED))
    async with serving(Parts(runner=runner)) as server, streaming(server) as (reader, writer):
        assert await chunk(reader) == CREATED
        writer.close()
        await runner.journal.abandoned.wait()


async def test_a_client_that_leaves_without_reading_abandons_its_run() -> None:
    """The server waits for room in the socket, not for the next batch."""
    journal = _Endless(b"event: x\ndata: " + b"x" * 65536 + b"\n\n")
    async with serving(Parts(runner=StubRunner(journal))) as server, streaming(server) as (_, writer):
        await journal.stalled(server)
        writer.transport.abort()
        await journal.abandoned.wait()


class _Endless(StubJournal):
    """Gives its batch as fast as it is taken."""

    def __init__(self, batch: bytes) -> None:
        super().__init__()
        self.batch = batch
        self.taken = 0

    async def follow(self) -> AsyncGenerator[bytes]:
        while True:
            self.taken += 1
            yield self.batch
            await asyncio.sleep(0)

    async def stalled(self, server: Server) -> None:
        """Wait until nothing is taken any more."""
        before = -1
        while before != self.taken:
            before = self.taken
            for _ in range(10):
                await server.ask("GET", "/health")


async def test_two_hundred_clients_that_leave_leave_nothing_behind() -> None:
    journal = StubJournal(CREATED)
    async with serving(Parts(runner=StubRunner(journal))) as server:
        before = len(asyncio.all_tasks())
        for _ in range(20):
            streams = [streaming(server) for _ in range(10)]
            for stream in streams:
                await stream.__aenter__()
            for stream in streams:
                await stream.__aexit__(None, None, None)
        async with asyncio.timeout(DEADLINE):
            while len(asyncio.all_tasks()) > before:
                await server.ask("GET", "/health")
