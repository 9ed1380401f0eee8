"""What goes wrong with a chat completions endpoint, made to happen on a real port."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from typing import Any

import pytest

from antiphon.adapters.upstream import Retries, Timeouts
from antiphon.core.deltas import Delta, StepEnded, TextDelta
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    RateLimitError,
)
from tests.adapters.asking import DEADLINE, KEY, Connect, deltas, parts, text, wanted
from tests.upstream import CUT, DONE, HANG, Part, Reply, Upstream, chunk, refusal, speech, sse

# what goes wrong

CONTEXT = "This model's maximum context length is 8192 tokens, your messages are longer"
TOO_LONG = "context_length_exceeded"
BAD_ROLE = {"message": "Bad", "param": "messages[0].role", "code": "invalid_value"}
REFUSALS: list[tuple[Reply, type[AntiphonError], str | None, str | None]] = [
    (refusal(400, {"error": {"message": "Too long", "code": TOO_LONG}}), InvalidRequestError, TOO_LONG, "input"),
    (refusal(400, {"object": "error", "message": CONTEXT, "code": 400}), InvalidRequestError, TOO_LONG, "input"),
    (refusal(500, {"error": {"type": "exceed_context_size_error"}}), InvalidRequestError, TOO_LONG, "input"),
    (refusal(400, {"error": BAD_ROLE}), InvalidRequestError, "invalid_value", "input"),
    (refusal(422, {"detail": "Bad"}), InvalidRequestError, None, None),
    (refusal(401, {"error": {"message": f"Incorrect API key: {KEY}"}}), ModelError, "server_error", None),
    (refusal(403, {}), ModelError, "server_error", None),
    (refusal(404, {"error": {"message": "no such model"}}), NotFoundError, "model_not_found", "model"),
    (refusal(408, {}), ModelTimeoutError, "server_error", None),
    (refusal(504, {}), ModelTimeoutError, "server_error", None),
    (refusal(429, {"error": {"code": "insufficient_quota"}}), RateLimitError, "insufficient_quota", None),
    (refusal(429, []), RateLimitError, "rate_limit_exceeded", None),
    (refusal(500, {"error": "boom"}), ModelError, "server_error", None),
    (refusal(302, {}, Location="http://127.0.0.1:1/"), ModelError, "server_error", None),
    (Reply([b"<html>Bad Gateway</html>"], 500, "text/html"), ModelError, "server_error", None),
]


@pytest.mark.parametrize(("reply", "error", "code", "param"), REFUSALS)
async def test_a_refusal_becomes_an_error_of_ours(
    reply: Reply,
    error: type[AntiphonError],
    code: str | None,
    param: str | None,
    upstream: Upstream,
    connect: Connect,
) -> None:
    upstream.reply(reply, speech("Hi"))
    model = connect()
    with pytest.raises(AntiphonError) as caught:
        await deltas(model)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.param) == (code, param)
    assert KEY not in caught.value.message
    assert text(await deltas(model)) == "Hi"  # the endpoint stays usable


async def test_the_words_of_a_refused_request_pass_on_without_addresses_and_keys(
    upstream: Upstream, connect: Connect
) -> None:
    words = (
        f"Bad role, see https://internal.example/x?y for {KEY}, Bearer abc or sk-0123456789abcdef \x1b[31m" + "x" * 600
    )
    upstream.reply(refusal(400, {"error": {"message": words}}))
    with pytest.raises(InvalidRequestError) as caught:
        await deltas(connect())
    message = caught.value.message
    assert message.startswith("Bad role, see (removed) for (removed), (removed) or (removed)  [31mxxx")
    assert len(message) == 500


async def test_retry_after_passes_on(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(refusal(429, {"error": {"message": "slow down"}}, Retry_After="17"))
    with pytest.raises(RateLimitError) as caught:
        await deltas(connect())
    assert caught.value.retry_after == 17.0
    assert len(upstream.exchanges) == 1


@pytest.mark.parametrize("reply", [refusal(502, {}), refusal(503, {}), refusal(429, {}, Retry_After="0")])
async def test_a_passing_failure_is_tried_again(reply: Reply, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(reply, reply, speech("Hi"))
    assert text(await deltas(connect())) == "Hi"
    assert len(upstream.exchanges) == 3


async def test_tries_are_bounded(upstream: Upstream, connect: Connect) -> None:
    upstream.default = refusal(503, {})
    with pytest.raises(ModelError, match="status 503"):
        await deltas(connect(retries=Retries(count=1, backoff=0.001)))
    assert len(upstream.exchanges) == 2


async def test_a_refused_connection_is_a_model_error(connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        model = connect(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        with pytest.raises(ModelError, match="'local' cannot be reached") as caught:
            await deltas(model)
    assert not isinstance(caught.value, ModelTimeoutError)


async def test_an_unknown_host_is_a_model_error(connect: Connect) -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        await deltas(connect(base_url="http://no-such-host.invalid/v1", retries=Retries(count=0)))


async def test_tls_to_an_endpoint_without_it_is_a_model_error(connect: Connect) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ModelError, match="cannot be reached"):
            await deltas(connect(base_url=f"https://127.0.0.1:{port}/v1", retries=Retries(count=0)))


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ({"message": f"boom {KEY}", "code": 500}, ModelError),
        ({"message": "boom", "code": "server_error"}, ModelError),
        ({"message": "slow down", "code": 429}, RateLimitError),
        ({"message": CONTEXT, "code": 400}, InvalidRequestError),
    ],
)
async def test_an_error_inside_a_stream_is_an_error(
    report: dict[str, Any], error: type[AntiphonError], upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), {"error": report})))
    with pytest.raises(AntiphonError) as caught:
        await deltas(connect())
    assert type(caught.value) is error
    assert KEY not in caught.value.message


@pytest.mark.parametrize("end", [[CUT], []])
async def test_a_stream_cut_in_the_middle_is_an_error_and_not_tried_again(
    end: list[Part], upstream: Upstream, connect: Connect
) -> None:
    go_on = asyncio.Event()
    upstream.reply(Reply([sse(chunk(content="Hel")), go_on, *end]), speech("Hi"))
    model = connect()
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted())) as stream:
        assert text(await anext(stream)) == "Hel"
        go_on.set()
        with pytest.raises(ModelError, match=r"broke off|was cut"):
            await anext(stream)
    assert len(upstream.exchanges) == 1
    assert text(await deltas(model)) == "Hi"


async def test_a_cut_after_the_finish_word_is_a_whole_stream(upstream: Upstream, connect: Connect) -> None:
    go_on = asyncio.Event()
    upstream.reply(Reply([sse(chunk(content="Hi")), sse(chunk(content="!", finish="stop")), go_on, CUT]))
    async with asyncio.timeout(DEADLINE), aclosing(connect().stream(wanted())) as stream:
        heard: list[Delta] = []
        while text(heard) != "Hi!":
            heard += await anext(stream)
        go_on.set()
        assert [batch async for batch in stream] == [[StepEnded("stop")]]


@pytest.mark.parametrize("garbage", [b"data: {oops\n\n", b"data: 7\n\n", b"data: \xff\xfe\n\n"])
async def test_malformed_chunks_are_an_error(garbage: bytes, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([sse(chunk(content="a")), garbage, DONE]))
    with pytest.raises(ModelError, match="no chat completion"):
        await deltas(connect())


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/event-stream"])
async def test_html_with_status_200_is_an_error(kind: str, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([b"<html>\n\nWelcome</html>"], type=kind))
    with pytest.raises(ModelError):
        await deltas(connect())


@pytest.mark.parametrize("heard", [[], [b": waiting\n\n"], [sse(chunk(content="a"))]])
async def test_silence_ends_in_a_timeout(heard: list[Part], upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([*heard, HANG]))
    with pytest.raises(ModelTimeoutError, match="'local' was silent"):
        await deltas(connect(timeouts=Timeouts(first_byte=0.05, idle=0.05)))
    async with asyncio.timeout(DEADLINE):
        await upstream.exchanges[0].left.wait()


async def test_silence_before_the_headers_ends_in_a_timeout(connect: Connect) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        model = connect(base_url=f"http://127.0.0.1:{mute.getsockname()[1]}", timeouts=Timeouts(first_byte=0.05))
        with pytest.raises(ModelTimeoutError):
            await deltas(model)


async def test_a_slow_reader_is_not_a_silent_endpoint(upstream: Upstream, connect: Connect) -> None:
    read_on = asyncio.Event()
    upstream.reply(Reply([sse(chunk(content="a")), read_on, sse(chunk(finish="stop")), DONE]))
    model = connect(timeouts=Timeouts(idle=0.05))
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted())) as stream:
        await anext(stream)
        asyncio.get_running_loop().call_later(0.15, read_on.set)
        await read_on.wait()  # three times the limit, spent by the reader and not in a read
        assert [batch async for batch in stream] == [[StepEnded("stop")]]


async def test_silence_after_the_finish_word_is_a_whole_stream(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([sse(chunk(content="a", finish="stop")), HANG]))
    assert await deltas(connect(timeouts=Timeouts(idle=0.05))) == [TextDelta("a"), StepEnded("stop")]


async def test_closing_the_stream_stops_the_request(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([sse(chunk(content="a")), HANG]), speech("Hi"))
    model = connect()
    stream = model.stream(wanted())
    async with asyncio.timeout(DEADLINE):
        await anext(stream)
        await stream.aclose()
    async with asyncio.timeout(1.0):
        await upstream.exchanges[0].left.wait()
    assert text(await deltas(model)) == "Hi"
    assert upstream.connections == 2


async def test_cancelling_the_reader_stops_the_request(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([sse(chunk(content="a")), HANG]))
    stream = connect().stream(wanted())
    async with asyncio.timeout(DEADLINE):
        await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(1.0):
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await upstream.exchanges[0].left.wait()
