"""Every fault of an upstream: its documented status, a terminal row, a usable connection, a chain that goes on."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.upstream import CUT, DONE, HANG, Reply, Upstream, chunk, refusal, speech, sse
from tests.whole.house import DEADLINE, fast, text_of, whole

BODY: dict[str, Any] = {"model": "test/m", "input": "Hi"}
NEVER: dict[str, Any] = {"retries": {"count": 0}}


def quiet(upstream: Upstream, **options: Any) -> dict[str, Any]:
    return {"models": [fast(upstream, **NEVER, **options)]}


ERROR = {"error": {"message": "secret-key sk-123 at http://internal/", "type": "x", "code": None, "param": None}}
TOO_LONG = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (refusal(401, ERROR), 502, "server_error"),
        (refusal(403, ERROR), 502, "server_error"),
        (refusal(404, ERROR), 404, "model_not_found"),
        (refusal(429, ERROR, Retry_After="7"), 429, "rate_limit_exceeded"),
        (refusal(500, ERROR), 502, "server_error"),
        (refusal(400, TOO_LONG), 400, "context_length_exceeded"),
        (Reply([sse({"error": {"message": "overloaded", "code": 503}})]), 502, "server_error"),
        (Reply([b"data: {not json}\n\n"]), 502, "server_error"),
        (Reply([b"<html>hello</html>"], type="text/html"), 502, "server_error"),
        (Reply([CUT]), 502, "server_error"),
    ],
)
async def test_a_fault_before_any_output(
    tmp_path: Path, upstream: Upstream, reply: Reply, status: int, code: str
) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(reply)
        found, answer = await served.ask("POST", "/responses", BODY)
        assert (found, answer["error"]["code"]) == (status, code), answer
        assert "sk-123" not in str(answer) or status == 400
        upstream.reply(reply)
        events = await served.stream(**BODY)
        failed = events[-1]
        assert failed["type"] == "response.failed"
        assert events[-2]["type"] == "error"
        stored = await served.client.responses.retrieve(failed["response"]["id"])
        assert stored.status == "failed"
        upstream.reply(speech("Hello"))
        again = await served.create(**BODY, previous_response_id=stored.id)
        assert text_of(again) == "Hello"


async def test_retry_after_is_passed_on(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(refusal(429, ERROR, Retry_After="7"))
        with pytest.raises(openai.RateLimitError) as caught:
            await served.client.responses.create(**BODY)
        assert caught.value.response.headers["retry-after"] == "7"


async def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    nobody = {"name": "test", "base_url": f"http://127.0.0.1:{port}/v1", "models": ["m"], **NEVER}
    async with whole(tmp_path, models=[nobody]) as served:
        status, answer = await served.ask("POST", "/responses", BODY)
        assert (status, answer["error"]["type"]) == (502, "server_error")
        assert str(port) not in str(answer)
        assert (await served.stream(**BODY))[-1]["type"] == "response.failed"


async def test_a_stream_cut_in_the_middle_fails_and_keeps_what_was_said(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), CUT]))
        events = await served.stream(**BODY)
        assert events[-1]["type"] == "response.failed"
        assert text_of(events[-1]["response"]) == "Hel"
        upstream.reply(speech("Hello"))
        again = await served.create(**BODY, previous_response_id=events[-1]["response"]["id"])
        assert again["status"] == "completed"


async def test_an_error_in_the_middle_of_a_stream(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), sse(ERROR)]))
        events = await served.stream(**BODY)
        assert events[-1]["type"] == "response.failed"


async def test_silence_until_the_timeout(tmp_path: Path, upstream: Upstream) -> None:
    patience = {"connect": 2.0, "first_byte": 0.2, "idle": 0.2}
    async with whole(tmp_path, models=[{**fast(upstream, **NEVER), "timeouts": patience}]) as served:
        upstream.reply(Reply([HANG]))
        status, answer = await served.ask("POST", "/responses", BODY)
        assert (status, answer["error"]["code"]) == (504, "server_error")
        upstream.reply(Reply([sse(chunk(content="Hel")), HANG]))
        events = await served.stream(**BODY)
        assert events[-1]["type"] == "response.failed"


async def test_no_usage_is_estimated(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(Reply([sse(chunk(content="Hello")), sse(chunk(finish="stop")), DONE]))
        assert (await served.create(**BODY))["usage"]["output_tokens"] > 0


async def test_malformed_arguments_reach_the_client_as_they_are(tmp_path: Path, upstream: Upstream) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(Reply([sse(chunk(tool_calls=[call])), sse(chunk(finish="tool_calls")), DONE]))
        tools: Any = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
        response = await served.create(**BODY, tools=tools)
        assert response["output"][0]["arguments"] == '{"a": '


async def test_malformed_arguments_of_a_server_tool_are_told_to_the_model(tmp_path: Path, upstream: Upstream) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "web_search", "arguments": '{"a": '}}
    search = {"url": "http://127.0.0.1:9", "key": "k"}
    async with whole(tmp_path, **quiet(upstream), web_search=search) as served:
        upstream.reply(Reply([sse(chunk(tool_calls=[call])), sse(chunk(finish="tool_calls")), DONE]), speech("Sorry."))
        response = await served.create(**BODY, tools=[{"type": "web_search"}])
        assert response["output"][0]["status"] == "failed"
        told = upstream.exchanges[-1].json["messages"][-1]
        assert told["role"] == "tool"
        assert text_of(response) == "Sorry."


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_upstream_within_a_second(
    tmp_path: Path, upstream: Upstream, stream: bool
) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), HANG]))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        body = f'{{"model": "test/m", "input": "Hi", "stream": {str(stream).lower()}}}'.encode()
        head = "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(DEADLINE):
            await upstream.asked.wait()
            if stream:
                await reader.readuntil(b"Hel")
        writer.close()
        async with asyncio.timeout(1.0):
            await upstream.exchanges[0].left.wait()
        upstream.reply(speech("Hello"))
        assert text_of(await served.create(**BODY)) == "Hello"


async def test_store_false_leaves_nothing_behind(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        secret = "nobody may find this text"
        upstream.reply(speech(secret))
        response = await served.create(**{**BODY, "input": secret}, store=False)
        assert (await served.ask("GET", f"/responses/{response['id']}"))[0] == 404
        status, answer = await served.ask("POST", "/responses", {**BODY, "previous_response_id": response["id"]})
        assert (status, answer["error"]["code"]) == (400, "previous_response_not_found")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "nobody"}, 400, "model_not_found", "model"),
        ({"previous_response_id": "resp_" + "0" * 48}, 400, "previous_response_not_found", "previous_response_id"),
        ({"conversation": "conv_" + "0" * 48}, 404, None, "conversation"),
        ({"conversation": "nonsense"}, 400, "invalid_value", "conversation"),
        (
            {"conversation": "conv_1", "previous_response_id": "resp_1"},
            400,
            "mutually_exclusive_parameters",
            "previous_response_id",
        ),
        ({"temperature": -1}, 400, "decimal_below_min_value", "temperature"),
        ({"temperature": "hot"}, 400, "invalid_type", "temperature"),
        ({"max_output_tokens": 1}, 400, "integer_below_min_value", "max_output_tokens"),
        ({"include": ["nonsense"]}, 400, "invalid_value", "include[0]"),
        ({"input": 5}, 400, "invalid_type", "input"),
        ({"nonsense": 1}, 400, "unknown_parameter", "nonsense"),
        ({"tools": [{"type": "function"}]}, 400, "missing_required_parameter", "tools[0].name"),
    ],
)
async def test_a_bad_request_names_its_parameter(
    tmp_path: Path, upstream: Upstream, body: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    async with whole(tmp_path, **quiet(upstream)) as served:
        found, answer = await served.ask("POST", "/responses", {**BODY, **body})
        error = answer["error"]
        assert (found, error["code"], error["param"], error["type"]) == (status, code, param, "invalid_request_error")
        assert not upstream.exchanges
