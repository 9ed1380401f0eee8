"""What holds for every answer: the shape of errors, the headers, routes and methods, the bounds of bodies, keys."""

from __future__ import annotations

import logging
from hashlib import sha256

import pytest
from openai import AuthenticationError as OpenAIAuthenticationError
from openai import NotFoundError as OpenAINotFoundError

from antiphon.http.services import HttpLimits
from antiphon.wire.errors import AntiphonError, ModelError, OverloadedError, RateLimitError, ServerError
from tests.http.server import Parts, serving
from tests.http.stubs import StubRunner

CREATE = {"model": "m", "input": "Hi"}


async def test_every_answer_names_its_request_and_the_version() -> None:
    async with serving() as server:
        for answer in (await server.ask("GET", "/health"), await server.ask("GET", "/v1/nothing")):
            assert answer.headers["x-request-id"].startswith("req_")
            assert answer.headers["openai-version"] == "2020-10-01"
            assert int(answer.headers["openai-processing-ms"]) >= 0


async def test_the_official_client_sees_the_request_id() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(OpenAINotFoundError) as caught:
            await client.responses.retrieve("resp_unknown")
        assert caught.value.request_id is not None
        assert caught.value.request_id.startswith("req_")
        raw = await client.responses.with_raw_response.retrieve("resp_1")
        assert str(raw.request_id).startswith("req_")


async def test_an_unknown_route_is_404() -> None:
    async with serving() as server:
        for path in ("/v1/nothing", "/nothing", "/", "/v1", "/v1/", "/v1/responses/", "/v1/v1/models", "/%00"):
            answer = await server.ask("GET", path)
            assert answer.status == 404, path
            assert answer.error["type"] == "invalid_request_error"
            assert answer.error["code"] == "unknown_url"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/responses", "POST, GET, HEAD, OPTIONS"),
        ("PUT", "/v1/responses/resp_1", "GET, DELETE, HEAD, OPTIONS"),
        ("PUT", "/v1/models/m", "GET, DELETE, HEAD, OPTIONS"),
        ("PATCH", "/health", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405_and_says_which_are_right(method: str, path: str, allowed: str) -> None:
    async with serving() as server:
        answer = await server.ask(method, path)
        assert answer.status == 405
        assert answer.headers["allow"] == allowed
        assert answer.error["code"] == "method_not_allowed"


async def test_options_and_head_are_answered() -> None:
    async with serving() as server:
        options = await server.ask("OPTIONS", "/v1/responses")
        assert (options.status, options.headers["allow"], options.body) == (200, "POST, GET, HEAD, OPTIONS", b"")
        head = await server.ask("HEAD", "/v1/models")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def test_the_prefix_is_optional_and_beta_is_ignored() -> None:
    async with serving() as server:
        for path in ("/responses", "/v1/responses", "/v1/responses?beta=true"):
            assert (await server.ask("POST", path, CREATE)).status == 200
        async with server.client(base_url=f"http://127.0.0.1:{server.port}") as client:
            assert (await client.responses.create(model="m", input="Hi")).id == "resp_1"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe", b"", b'{"model": "m",}', b"{" * 100_000])
async def test_a_body_that_is_no_json_object_is_400(body: bytes) -> None:
    async with serving() as server:
        for path in ("/v1/responses", "/v1/chat/completions", "/v1/conversations/conv_1/items"):
            answer = await server.ask("POST", path, body)
            assert answer.status == 400, path
            assert answer.error["type"] == "invalid_request_error"
            assert answer.error["code"] == "invalid_json"


async def test_a_body_larger_than_the_limit_is_413() -> None:
    async with serving(Parts(limits=HttpLimits(max_body=1000))) as server:
        declared = await server.ask("POST", "/v1/responses", b"x" * 1001)
        assert declared.status == 413
        assert declared.error["code"] == "request_too_large"
        assert (await server.ask("POST", "/v1/responses", {"model": "m", "input": "x" * 900})).status == 200


async def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    head = b"POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n"
    head += b"content-type: application/json\r\n\r\n"
    chunk = b"190\r\n" + b" " * 0x190 + b"\r\n"
    async with serving(Parts(limits=HttpLimits(max_body=1000))) as server:
        answer = await server.raw(head + chunk * 3)  # it never ends
        assert answer.status == 413
        small = b'e\r\n{"model": "m",\r\n10\r\n "input": "Hi"} \r\n0\r\n\r\n'
        assert (await server.raw(head + small)).status == 200


async def test_a_connection_lives_on_after_a_body_that_was_refused() -> None:
    async with serving(Parts(limits=HttpLimits(max_body=1000))) as server:
        refused = b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n" + b" " * 5000
        health = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        reader, writer = await server.connect()
        writer.write(refused + health)
        received = await reader.read()
        assert received.count(b"HTTP/1.1 413") == 1
        assert received.endswith(b'{"status":"ok"}')
        writer.close()


async def test_a_body_in_a_coding_that_is_not_read_is_415() -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", CREATE, {"content-encoding": "br"})
        assert answer.status == 415
        assert answer.error["code"] == "unsupported_content_encoding"
        assert (await server.ask("POST", "/v1/responses", CREATE, {"content-encoding": "identity"})).status == 200


@pytest.mark.parametrize("declared", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_that_a_page_may_send_unasked_is_415(declared: str) -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", CREATE, {"content-type": declared})
        assert answer.status == 415
        assert answer.error["code"] == "unsupported_content_type"
        assert server.parts.runner.started == []


async def test_json_may_be_declared_with_parameters() -> None:
    async with serving() as server:
        for declared in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
            assert (await server.ask("POST", "/v1/responses", CREATE, {"content-type": declared})).status == 200


async def test_an_unexpected_failure_is_500_without_internals(caplog: pytest.LogCaptureFixture) -> None:
    runner = StubRunner()
    runner.refusal = RuntimeError("password=hunter2")
    async with serving(Parts(runner=runner)) as server:
        with caplog.at_level(logging.ERROR, "antiphon.http"):
            answer = await server.ask("POST", "/v1/responses", CREATE, {"x-client-request-id": "mine"})
        assert answer.status == 500
        assert answer.error["type"] == answer.error["code"] == "server_error"
        assert b"hunter2" not in answer.body
        assert answer.headers["x-should-retry"] == "false"
        (record,) = (record for record in caplog.records if record.name == "antiphon.http")
        assert answer.headers["x-request-id"] in record.getMessage()
        assert "'mine'" in record.getMessage()
        assert record.exc_info is not None


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "should_retry"),
    [
        (RateLimitError("Slow down.", retry_after=2.3), 429, "3", None),
        (OverloadedError("Full."), 503, "1", None),
        (ModelError("The model failed."), 502, None, None),
        (ServerError("Broken."), 500, None, "false"),
    ],
)
async def test_errors_say_whether_and_when_to_try_again(
    error: AntiphonError, status: int, retry_after: str | None, should_retry: str | None
) -> None:
    runner = StubRunner()
    runner.refusal = error
    async with serving(Parts(runner=runner)) as server:
        answer = await server.ask("POST", "/v1/responses", CREATE)
        assert answer.status == status
        assert answer.error["message"] == error.message
        assert answer.headers.get("retry-after") == retry_after
        assert answer.headers.get("x-should-retry") == should_retry


async def test_a_failed_read_may_be_repeated() -> None:
    runner = StubRunner()
    runner.refusal = ServerError("Broken.")
    async with serving(Parts(runner=runner)) as server:
        answer = await server.ask("GET", "/v1/responses/resp_1")
        assert answer.status == 500
        assert "x-should-retry" not in answer.headers


async def test_with_keys_only_their_owners_are_let_in() -> None:
    limits = HttpLimits(key_digests=(sha256(b"right").digest(), sha256(b"other").digest()))
    async with serving(Parts(limits=limits)) as server:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "right"}, {"authorization": "Bearer "}):
            answer = await server.ask("GET", "/v1/models", headers=given)
            assert answer.status == 401
            assert answer.error["code"] == "invalid_api_key"
            assert answer.error["type"] == "invalid_request_error"
        for key in ("right", "other"):
            async with server.client(api_key=key) as client:
                assert [model.id async for model in client.models.list()] == ["m", "org/family/model"]
        async with server.client(api_key="wrong") as client:
            with pytest.raises(OpenAIAuthenticationError):
                await client.responses.create(model="m", input="Hi")
        assert server.parts.runner.started == []


async def test_who_has_no_key_can_still_ask_for_health_and_the_document() -> None:
    async with serving(Parts(limits=HttpLimits(key_digests=(sha256(b"k").digest(),)))) as server:
        for path in ("/health", "/ready", "/openapi.json", "/docs"):
            assert (await server.ask("GET", path)).status == 200, path


async def test_a_key_is_checked_before_the_body_is_read() -> None:
    limits = HttpLimits(max_body=10, key_digests=(sha256(b"k").digest(),))
    async with serving(Parts(limits=limits)) as server:
        assert (await server.ask("POST", "/v1/responses", b"x" * 1000)).status == 401
