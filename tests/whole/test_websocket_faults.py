"""WebSockets under clients that send nonsense, do not read, or leave, and at their limits."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from antiphon.http.websocket import GOING_AWAY
from tests.process import ended, serving
from tests.sockets import DEADLINE, Json, check_events, connected
from tests.upstream import HANG, Reply, Upstream, chunk, sse
from tests.whole.house import fast, text_of, whole
from tests.whole.scripts import SAYS, model_of, scripted, waiting


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "invalid_json"),
        ("garbage", "invalid_json"),
        (b"\x00\xff\xfe", "invalid_json"),
        ('{"type": "response.create", "model": ', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "response.create", "model": "m", "input": ' + "[" * 50_000 + "]" * 50_000 + "}", "invalid_json"),
        ("null", "invalid_json"),
        ("[]", "invalid_json"),
        ("{}", "missing_required_parameter"),
        ('{"type": 7}', "invalid_value"),
        ('{"type": "session.update"}', "invalid_value"),
        ('{"type": "response.create"}', "missing_required_parameter"),
        ('{"type": "response.create", "model": "m"}', "missing_required_parameter"),
        ('{"type": "response.create", "model": "m", "input": "x", "stream_id": 7}', "invalid_type"),
        ('{"type": "response.steer", "previous_response_id": 7, "input": "x"}', "invalid_type"),
    ],
)
async def test_a_frame_that_is_no_request_is_answered(tmp_path: Path, frame: str | bytes, code: str) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        await socket.raw(frame)
        error = await socket.error()
        assert (error["status"], error["code"]) == (400, code)
        assert text_of(await socket.create(input="Hi")) == "Hello"


async def test_frames_of_any_bytes_are_answered_one_by_one(tmp_path: Path) -> None:
    chance = random.Random(7)
    whole_message = json.dumps({"type": "response.create", "model": "m", "input": [{"role": "user", "content": "Hi"}]})
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        for _ in range(200):
            body = bytearray(whole_message.encode())
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            await socket.raw(bytes(body))
            while (event := await socket.event())["type"] not in {"response.completed", "error"}:
                pass
            assert event.get("status", 400) == 400
        assert text_of(await socket.create(input="Hi")) == "Hello"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\x05hello",  # not masked
        b"\x83\x80\x00\x00\x00\x00",  # no such opcode
        b"\xf1\x80\x00\x00\x00\x00",  # reserved bits without an extension
        b"\x80\x80\x00\x00\x00\x00",  # a continuation of nothing
        b"\x81\x81\x00\x00\x00\x00\xff",  # text that is not UTF-8
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",  # 2^64 bytes
        b"\x89\xfe\x01\x00\x00\x00\x00\x00" + bytes(256),  # a ping that is too long
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_client_that_breaks_the_protocol_is_disconnected(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        lines = ("GET /v1/responses HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket")
        key = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        writer.write("\r\n".join((*lines, *key, "", "")).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(sent)
        answer = await reader.read()
        assert answer[:1] in {b"\x88", b""}  # a close frame, or none
        writer.close()
        async with connected(served.url) as socket:
            assert text_of(await socket.create(input="Hi")) == "Hello"
        assert len(served.composition.sockets) <= 1


async def test_a_binary_frame_with_json_is_a_request(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        await socket.raw(json.dumps({"type": "response.create", "model": "m", "input": "Hi"}).encode())
        await socket.turn()


async def test_a_message_in_pieces_is_one_request(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        body = json.dumps({"type": "response.create", "model": "m", "input": "Hi"})
        await socket.connection.send([body[:10], body[10:11], body[11:]])
        await socket.turn()


async def test_a_half_surrogate_is_answered(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        await socket.raw('{"type":"response.create","model":"m","store":false,"input":"\\ud800"}')
        while (event := await socket.event())["type"] not in {"response.completed", "error"}:
            pass
        assert event["type"] == "response.completed" or event["status"] == 400
        await socket.create(input="Hi")


async def test_a_message_that_is_too_large_closes_the_connection(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"server": {"max_body_mb": 1}, **scripted(SAYS)}
    async with whole(tmp_path, **settings) as served, connected(served.url) as socket:
        await socket.send(input="x" * 1_100_000)
        assert await socket.closed() == 1009
        async with connected(served.url) as another:
            await another.create(input="x" * 900_000)


async def test_a_client_that_leaves_stops_the_upstream_within_a_second(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), HANG]), Reply([sse(chunk(content="Hel")), HANG]))
        for close in (True, False):
            async with connected(served.url) as socket:
                await socket.send(input="Hi")
                while (await socket.event())["type"] != "response.output_text.delta":
                    pass
                if close:
                    await socket.connection.close()
                else:
                    socket.connection.transport.abort()
                async with asyncio.timeout(1):
                    await upstream.exchanges[-1].left.wait()
        assert len(served.composition.sockets) == 0


async def test_a_client_that_does_not_read_makes_the_run_wait(tmp_path: Path) -> None:
    pieces = [f"{number} {'x' * 1000} " for number in range(12_000)]
    talks = {"acts": [{"act": "says", "text": pieces}, {"act": "waits", "gate": "end"}], "batch": 10}
    settings: dict[str, Any] = {"limits": {"journal_kb": 64}, **scripted(talks, SAYS)}
    async with whole(tmp_path, **settings) as served, connected(served.url, max_queue=1, compression=None) as socket:
        await socket.send(input="Hi")
        await socket.event()
        model = model_of(served)
        reached = asyncio.ensure_future(model.reached("end"))
        async with connected(served.url) as other:  # the server is not held up
            for _ in range(20):
                await other.create(input="Hi")
        assert not reached.done()
        model.open("end")
        said: list[str] = []
        while (event := await socket.event())["type"] != "response.completed":
            said.append(event.get("delta", ""))
        assert "".join(said) == "".join(pieces)
        await reached


# limits and the end


async def test_without_a_key_there_is_no_upgrade(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"server": {"api_keys": ["secret"]}, **scripted(SAYS)}
    async with whole(tmp_path, **settings) as served:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                async with connected(served.url, additional_headers=headers):
                    pass
            answer = refused.value.response
            assert answer.status_code == 401
            assert json.loads(answer.body or b"")["error"]["code"] == "invalid_api_key"
        async with connected(served.url, additional_headers={"Authorization": "Bearer secret"}) as socket:
            assert text_of(await socket.create(input="Hi")) == "Hello"


async def test_sockets_beyond_the_limit_are_refused_before_the_upgrade(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"websocket": {"connections": 1}, **scripted(SAYS)}
    async with whole(tmp_path, **settings) as served, connected(served.url) as socket:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(served.url):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "5"
        assert text_of(await socket.create(input="Hi")) == "Hello"


async def test_where_none_are_served_clients_fall_back_to_post(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"websocket": {"connections": 0}, **scripted(SAYS)}
    async with whole(tmp_path, **settings) as served:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(served.url):
                pass
        assert refused.value.response.status_code == 404


async def test_permessage_deflate_is_negotiated(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        answer = socket.connection.response
        assert answer is not None
        assert answer.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        assert answer.headers["x-request-id"].startswith("req_")
        assert text_of(await socket.create(input="Hi")) == "Hello"
        async with connected(served.url, compression=None) as plain:
            assert plain.connection.response is not None
            assert "Sec-WebSocket-Extensions" not in plain.connection.response.headers
            assert text_of(await plain.create(input="Hi")) == "Hello"


async def test_at_the_time_limit_responses_end_and_then_the_connection(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"websocket": {"minutes": 0.3 / 60}, **scripted(waiting("gate"), SAYS)}
    async with whole(tmp_path, **settings) as served:
        async with connected(served.url) as idle:
            assert (await idle.error())["code"] == "websocket_connection_limit_reached"
            assert await idle.closed() == GOING_AWAY
        async with connected(served.url) as socket:
            await socket.send(input="gate")
            events = [await socket.event(), await socket.event()]
            event: Json = {}
            while event.get("type") != "error":  # until the limit, another lane is served
                await socket.send(input="Hi", stream_id="b")
                while (event := await socket.event())["type"] not in {"response.completed", "error"}:
                    pass
            assert (event["error"]["code"], event["stream_id"]) == ("websocket_connection_limit_reached", "b")
            model_of(served).open("gate")
            while events[-1]["type"] != "response.completed":
                events.append(await socket.event())
            check_events(events)
            assert (await socket.error())["code"] == "websocket_connection_limit_reached"
            assert await socket.closed() == GOING_AWAY


async def test_a_server_that_stops_lets_responses_end(tmp_path: Path) -> None:
    """Idle connections are closed at once, the others when their response has ended; 1012 asks to connect again."""
    slow = {"acts": [{"act": "says", "text": "Hel"}, {"act": "waits", "seconds": 1.0}, {"act": "says", "text": "lo"}]}
    models = json.dumps(scripted(slow)["models"])
    async with (
        serving(tmp_path, variables={"ANTIPHON_MODELS": models}) as served,
        connected(served.url) as idle,
        connected(served.url) as busy,
    ):
        await busy.send(input="Hi")
        while (event := await busy.event())["type"] != "response.output_text.delta":
            pass
        await busy.send(input="Hi again")
        served.process.terminate()
        assert await idle.closed() == 1012
        while (event := await busy.event())["type"] != "response.completed":
            pass
        assert text_of(event["response"]) == "Hello"
        assert (await busy.error())["status"] == 503
        assert await busy.closed() == 1012
        assert (await ended(served.process)).code == 0
