"""`/v1/chat/completions`: relayed as it comes."""

from __future__ import annotations

import asyncio
import json

import pytest
from openai import APIError, RateLimitError
from openai import NotFoundError as OpenAINotFoundError

from antiphon.wire.chat import ChatRequest
from antiphon.wire.errors import ModelError
from antiphon.wire.errors import RateLimitError as OurRateLimitError
from tests.http.server import DEADLINE, Parts, serving
from tests.http.stubs import StubModel

MESSAGES = [{"role": "user", "content": "Hi"}]
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "upstream",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "reasoning": "vendor"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "vendor": {"x": 1},
}


def chunk(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "u", "choices": [choice]}
    return json.dumps(chunk).encode()


async def test_a_completion_passes_unchanged() -> None:
    body = json.dumps(COMPLETION, indent=1).encode()
    async with serving(Parts(model=StubModel([body]))) as server:
        answer = await server.ask("POST", "/v1/chat/completions", {"model": "m", "messages": MESSAGES})
        assert answer.status == 200
        assert answer.body == body
        assert answer.headers["content-type"] == "application/json"


async def test_the_request_passes_with_the_endpoints_name_of_the_model() -> None:
    model = StubModel([json.dumps(COMPLETION).encode()])
    async with serving(Parts(model=model)) as server, server.client() as client:
        completion = await client.chat.completions.create(
            model="org/family/model",
            messages=[{"role": "user", "content": "Hi"}],
            extra_body={"vendor_switch": [1, None]},
        )
        assert completion.choices[0].message.content == "Hello."
        (asked,) = model.asked
        assert isinstance(asked, ChatRequest)
        assert asked.model == asked.body["model"] == "model"
        assert asked.body["vendor_switch"] == [1, None]
        assert asked.body["messages"] == MESSAGES
        assert not asked.stream


async def test_chunks_are_relayed_as_data_lines() -> None:
    model = StubModel([chunk("Hel")], [chunk("lo"), chunk(".", "stop")])
    async with serving(Parts(model=model)) as server:
        async with server.client() as client:
            stream = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            text = [part.choices[0].delta.content or "" async for part in stream]
            assert text == ["Hel", "lo", "."]
        answer = await server.ask("POST", "/v1/chat/completions", {"model": "m", "messages": MESSAGES, "stream": True})
        lines = [b"data: " + line for line in (chunk("Hel"), chunk("lo"), chunk(".", "stop"), b"[DONE]")]
        assert answer.body == b"\n\n".join(lines) + b"\n\n"
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_a_failure_before_the_first_byte_is_an_http_error() -> None:
    for stream in (False, True):
        model = StubModel(OurRateLimitError("Slow down.", retry_after=7))
        async with serving(Parts(model=model)) as server, server.client() as client:
            with pytest.raises(RateLimitError) as caught:
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hi"}], stream=stream
                )
            assert caught.value.response.headers["retry-after"] == "7"


async def test_a_failure_in_the_stream_is_told_in_the_stream() -> None:
    model = StubModel([chunk("Hel")], ModelError("It broke off."))
    async with serving(Parts(model=model)) as server:
        async with server.client() as client:
            stream = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            with pytest.raises(APIError, match=r"It broke off\."):
                _ = [part async for part in stream]
        answer = await server.ask("POST", "/v1/chat/completions", {"model": "m", "messages": MESSAGES, "stream": True})
        _, error, done, _ = answer.body.split(b"\n\n")
        assert json.loads(error.removeprefix(b"data: "))["error"]["message"] == "It broke off."
        assert done == b"data: [DONE]"


async def test_an_endpoint_that_says_nothing_is_502() -> None:
    for stream in (False, True):
        async with serving(Parts(model=StubModel([]))) as server:
            body = {"model": "m", "messages": MESSAGES, "stream": stream}
            assert (await server.ask("POST", "/v1/chat/completions", body)).status == 502


async def test_an_unknown_model_is_404_here() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(OpenAINotFoundError) as caught:
            await client.chat.completions.create(model="none", messages=[{"role": "user", "content": "Hi"}])
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
        assert "The model `none` does not exist or you do not have access to it." in caught.value.message


@pytest.mark.parametrize("batches", [(), ([chunk("Hel")],)])
async def test_a_client_that_leaves_stops_the_upstream(batches: tuple[list[bytes], ...]) -> None:
    model = StubModel(*batches, ends=False)
    async with serving(Parts(model=model)) as server, asyncio.timeout(DEADLINE):
        body = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        reader, writer = await server.connect()
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        if batches:
            await reader.readuntil(b"data: ")
        else:
            while not model.asked:
                await server.ask("GET", "/health")
        writer.close()
        await model.closed.wait()
