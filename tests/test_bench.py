"""The bench counts what it should: the upstream says exactly what it is told to, and a stream that lacks something is a
fault.
"""

from __future__ import annotations

import asyncio
import json
import os

from openai import AsyncOpenAI

from bench.client import Answer, Connection
from bench.figures import Figures, Tools
from bench.meter import Meter
from bench.report import ROWS, table
from bench.tools import NOOP, Loop, called, opened
from bench.upstream import said, script_of, serve


def events(deltas: int, *, ended: str = "response.completed") -> bytes:
    """An SSE answer with so many deltas, as bytes."""
    names = ["response.created", *["response.output_text.delta"] * deltas, ended]
    text = "".join(f'event: {name}\ndata: {{"type":"{name}","response":{{"id":"r"}}}}\n\n' for name in names if name)
    body = f"{text}data: [DONE]\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def read(answer: bytes, size: int) -> Answer:
    """What the client makes of these bytes when they come in pieces of that size."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
        writer.close()

    async with asyncio.timeout(10), await asyncio.start_server(answering, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        try:
            return await connection.send(b"GET / HTTP/1.1\r\n\r\n")
        finally:
            connection.close()


async def test_a_whole_stream_is_counted_however_it_is_cut() -> None:
    for size in (1, 7, 64, 100_000):
        answer = await read(events(5), size)
        assert answer.delivered(5), answer.fault()
        assert answer.json() == {"id": "r"}


async def test_a_stream_with_a_token_more_or_less_or_another_end_is_a_fault() -> None:
    assert not (await read(events(4), 64)).delivered(5)
    assert not (await read(events(6), 64)).delivered(5)
    assert not (await read(events(5, ended="response.failed"), 64)).delivered(5)
    assert not (await read(events(5, ended=""), 64)).delivered(5)


async def test_the_upstream_says_what_it_is_told_under_an_id_of_its_own() -> None:
    async with asyncio.timeout(10), await serve(0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
            ids: set[str] = set()
            for _ in range(2):
                stream = await client.chat.completions.create(
                    model="mock",
                    messages=[{"role": "user", "content": "hello [[n=12 d=1]]"}],
                    stream=True,
                    stream_options={"include_usage": True},
                )
                chunks = [chunk async for chunk in stream]
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
                assert text == said(12)
                assert chunks[-1].usage
                assert chunks[-1].usage.completion_tokens == 12
                ids |= {chunk.id for chunk in chunks}
            assert len(ids) == 2


def test_the_last_mark_steers() -> None:
    script = script_of(b'{"messages":[{"content":"a [[n=3 d=0]]"},{"content":"b [[n=200 d=2.5]]"}],"stream":true}')
    assert (script.tokens, script.delay) == (200, 0.0025)


def test_the_upstream_calls_as_often_as_it_is_told_and_then_speaks() -> None:
    def asked(outputs: int) -> bytes:
        told = [{"role": "tool", "tool_call_id": str(place), "content": "x"} for place in range(outputs)]
        tools = [{"type": "function", "function": {"name": "wait"}}]
        words = {"role": "user", "content": "go [[rounds=2 calls=3 ms=200]]"}
        return json.dumps({"messages": [words, *told], "tools": tools, "stream": True}).encode()

    for outputs in (0, 3):
        script = script_of(asked(outputs))
        assert (script.tool, script.calls, json.loads(script.arguments)) == ("wait", 3, {"ms": 200})
    assert script_of(asked(6)).tool == ""


def test_calls_count_only_in_a_response_that_is_whole() -> None:
    done = {"type": "mcp_call", "status": "completed"}
    output = [{"type": "mcp_list_tools"}, done, {**done, "status": "failed"}, {"type": "message"}]
    assert called({"status": "completed", "output": output}) == 1
    assert called({"status": "incomplete", "output": output}) == -1


async def test_what_tools_cost_is_measured_on_a_server_beside_an_mcp_server() -> None:
    async with asyncio.timeout(60), await serve(0) as server, opened(server.sockets[0].getsockname()[1]) as bench:
        noop, mcp = await bench.cost(Loop(NOOP, 3, 2)), await bench.cost(Loop(bench.mcp(), 1, 2, 50))
        counts = await bench.counts()
        assert await bench.cost(Loop(bench.mcp(), 1))
        assert not bench.faults
        assert noop.cpu > 0
        assert mcp.wall > 0.05
        assert counts["tools/call"] == 2
        assert (await bench.counts()) == {**counts, "tools/call": 3}
        await bench.cost(Loop({**NOOP, "type": "bench:unknown"}, 1))
        assert len(bench.faults) == 1


def test_a_session_that_was_not_used_again_is_a_fault() -> None:
    assert not Tools(sessions_begun=0, lists_asked=0).faults()
    assert Tools(sessions_begun=1, lists_asked=0).faults()
    assert Tools(bad=1, bad_sample=["500"]).faults()


def test_the_meter_sees_work() -> None:
    meter = Meter(os.getpid())
    before = meter.cpu()
    assert sum(range(3_000_000))
    assert meter.cpu() > before
    assert meter.rss() > 1


def test_a_report_without_figures_has_no_lines() -> None:
    assert table(Figures(), {}).count("\n") == 1
    assert all(row.value(Figures()) is None for row in ROWS)
