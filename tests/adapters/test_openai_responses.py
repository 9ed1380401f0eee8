"""The adapter for endpoints that speak Responses, over a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.openai_responses import OpenAIResponses, ResponsesEndpoint
from antiphon.adapters.upstream import Retries, Timeouts
from antiphon.core.deltas import Delta, PartEnded, ReasoningEnded, StepEnded, TextDelta
from antiphon.core.dialect import NativeDialect
from antiphon.core.effects import Entry, Generate
from antiphon.core.native import marked
from antiphon.core.sealed import Thought, carried, packed
from antiphon.wire.content import OutputText
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError, ModelTimeoutError, RateLimitError
from antiphon.wire.items import Message, Reasoning
from tests.adapters.asking import DEADLINE, KEY, asked, text, wanted
from tests.native import Told, spoken
from tests.upstream import CUT, HANG, Part, Reply, Upstream, refusal, sse

Connect: TypeAlias = Callable[..., OpenAIResponses]


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncGenerator[Connect]:
    """Makes models over the upstream; settings may be given."""
    made: list[OpenAIResponses] = []

    def connect(**settings: Any) -> OpenAIResponses:
        settings = {"base_url": upstream.url, "api_key": KEY, "retries": Retries(backoff=0.001), **settings}
        made.append(OpenAIResponses("local", ResponsesEndpoint(**settings), SeededClock()))
        return made[-1]

    yield connect
    for model in made:
        await model.close()


async def batches(model: OpenAIResponses, generate: Generate | None = None) -> list[Sequence[Delta]]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(generate or wanted())) as stream:
        return [batch async for batch in stream]


async def deltas(model: OpenAIResponses, generate: Generate | None = None) -> list[Delta]:
    return [delta for batch in await batches(model, generate) for delta in batch]


async def relayed(model: OpenAIResponses, *, stream: bool, **fields: Any) -> list[bytes]:
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(asked(stream=stream, **fields))) as answer:
        return [document async for batch in answer for document in batch]


# what is asked


async def test_the_endpoint_is_asked_to_keep_nothing(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(spoken("Hi"))
    await deltas(connect(headers={"X-Org": "o"}))
    exchange = upstream.exchanges[0]
    assert (exchange.method, exchange.path) == ("POST", "/v1/responses")
    assert (exchange.headers["authorization"], exchange.headers["x-org"]) == (f"Bearer {KEY}", "o")
    assert exchange.json["store"] is False
    assert exchange.json["stream"] is True
    assert exchange.json["include"] == ["reasoning.encrypted_content"]


NOT_SUPPORTED = {"message": "Encrypted content is not supported with this model.", "param": "include", "code": None}


async def test_a_model_without_encrypted_reasoning_is_asked_without_and_remembered(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(refusal(400, {"error": NOT_SUPPORTED}), spoken("Hi"), spoken("Hi"))
    model = connect()
    assert text(await deltas(model)) == text(await deltas(model)) == "Hi"
    assert ["include" in exchange.json for exchange in upstream.exchanges] == [True, False, False]


def continued(blob: str) -> Generate:
    """A conversation in which this endpoint has thought before."""
    thought = carried(Reasoning(id="rs_1"), packed(Thought("Hm.", marked("local", blob))))
    said = Entry(Message(role="assistant", content=(OutputText(text="Hi"),)))
    before = wanted()
    return Generate(before.model, before.request, (*before.context, thought, said, *before.context))


async def test_encrypted_reasoning_that_the_endpoint_cannot_read_does_not_stop_a_conversation(
    upstream: Upstream, connect: Connect
) -> None:
    lost = {"message": "could not be verified", "code": "invalid_encrypted_content"}
    upstream.reply(refusal(400, {"error": lost}), spoken("Hi"), spoken("Hi"))
    model = connect()
    await deltas(model, continued("gAAA"))
    await deltas(model, continued("gBBB"))
    sent = [[item for item in exchange.json["input"] if item["type"] == "reasoning"] for exchange in upstream.exchanges]
    assert [[item["encrypted_content"] for item in one] for one in sent] == [["gAAA"], [], ["gBBB"]]


async def test_another_refusal_is_not_asked_around(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(refusal(400, {"error": {"message": "Bad", "param": "tools[0].name", "code": "invalid_value"}}))
    with pytest.raises(InvalidRequestError) as caught:
        await deltas(connect())
    assert caught.value.param == "tools[0].name"
    assert len(upstream.exchanges) == 1


async def test_encrypted_reasoning_may_be_switched_off(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(spoken("Hi"))
    await deltas(connect(dialect=NativeDialect(encrypted_reasoning=False)), continued("gAAA"))
    assert "include" not in upstream.exchanges[0].json
    assert "gAAA" not in upstream.exchanges[0].body.decode()


# what comes back


async def test_all_events_of_one_read_are_one_batch(upstream: Upstream, connect: Connect) -> None:
    pieces = [str(place) for place in range(50)]
    told = Told().message(*pieces).end()
    upstream.reply(Reply([b"".join(part for part in told.parts if isinstance(part, bytes))]))
    (batch,) = await batches(connect())
    assert text(batch) == "".join(pieces)
    assert isinstance(batch[-1], StepEnded)


async def test_encrypted_reasoning_arrives_as_it_was_given(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Told().reasoning(sealed="gAAAAAB/+==").message("Hi").end().reply)
    found = await deltas(connect())
    assert ReasoningEnded(0, marked("local", "gAAAAAB/+==")) in found


async def test_quirks_of_framing_change_nothing(upstream: Upstream, connect: Connect) -> None:
    told = Told().message("grün 😀", "!").end()
    raw = b": hello\r\n\r\n" + b"".join(part for part in told.parts if isinstance(part, bytes)).replace(b"\n", b"\r\n")
    upstream.reply(Reply([raw[place : place + 3] for place in range(0, len(raw), 3)]))
    assert text(await deltas(connect())) == "grün 😀!"


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_characters_may_be_split_between_reads(size: int, upstream: Upstream, connect: Connect) -> None:
    told = Told().message("日本語", "🙂🙃").end()
    raw = b"".join(part for part in told.parts if isinstance(part, bytes))
    upstream.reply(Reply([raw[place : place + size] for place in range(0, len(raw), size)]))
    assert text(await deltas(connect())) == "日本語🙂🙃"


async def test_a_connection_is_used_again_although_no_done_comes(upstream: Upstream, connect: Connect) -> None:
    told = Told().message("Hi").end()
    upstream.default = Reply([b"".join(part for part in told.parts if isinstance(part, bytes))])
    model = connect(max_connections=1)
    for _ in range(3):
        await deltas(model)
    assert upstream.connections == 1


async def test_an_endpoint_that_does_not_stream_is_read_whole(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(refusal(200, Told().message("Hi").end().events[-1]["response"]))
    (batch,) = await batches(connect())
    assert text(batch) == "Hi"
    assert isinstance(batch[-1], StepEnded)


# what goes wrong


ERROR = {"code": "server_error", "message": f"boom {KEY}"}


def failed(error: Any) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"type": "error", **ERROR, "param": None}, ModelError),
        ({"type": "error", "error": {"type": "server_error", **ERROR}}, ModelError),
        (failed(ERROR), ModelError),
        (failed({"code": "invalid_image", "message": ""}), InvalidRequestError),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"}, RateLimitError),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "Bad"}}, InvalidRequestError),
        ({"error": {"message": "boom", "code": 429}}, RateLimitError),
    ],
)
async def test_an_error_inside_a_stream_is_an_error_of_ours(
    event: dict[str, Any], error: type[AntiphonError], upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(Reply([*Told().message("a").parts, sse(event)]))
    with pytest.raises(AntiphonError) as caught:
        await deltas(connect())
    assert type(caught.value) is error
    assert KEY not in caught.value.message


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        (
            400,
            {"code": "context_length_exceeded", "message": "Too long"},
            InvalidRequestError,
            "context_length_exceeded",
        ),
        (401, {"message": f"Incorrect API key: {KEY}"}, ModelError, "server_error"),
        (429, {"message": "slow"}, RateLimitError, "rate_limit_exceeded"),
        (500, {"message": "boom"}, ModelError, "server_error"),
    ],
)
async def test_a_refusal_becomes_an_error_of_ours(
    status: int, body: Any, error: type[AntiphonError], code: str, upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(refusal(status, {"error": body}), spoken("Hi"))
    model = connect()
    with pytest.raises(AntiphonError) as caught:
        await deltas(model)
    assert (type(caught.value), caught.value.code) == (error, code)
    assert caught.value.param in {None, "input"}
    assert KEY not in caught.value.message
    assert text(await deltas(model)) == "Hi"


@pytest.mark.parametrize("end", [[CUT], []])
async def test_a_stream_cut_in_the_middle_is_an_error_and_not_tried_again(
    end: list[Part], upstream: Upstream, connect: Connect
) -> None:
    go_on = asyncio.Event()
    upstream.reply(Reply([*Told().message("Hel").parts[:5], go_on, *end]), spoken("Hi"))
    model = connect()
    heard: list[Delta] = []
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted())) as stream:
        while TextDelta("Hel") not in heard:
            heard += await anext(stream)
        go_on.set()
        with pytest.raises(ModelError, match=r"broke off|was cut"):
            await anext(stream)
    assert len(upstream.exchanges) == 1
    assert text(await deltas(model)) == "Hi"


async def test_done_without_an_end_is_an_error(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([*Told().message("a").parts, b"data: [DONE]\n\n"]))
    with pytest.raises(ModelError):
        await deltas(connect())


@pytest.mark.parametrize("rest", [[CUT], [HANG], [b"data: [DONE]\n\n"], [b"data: {oops\n\n"]])
async def test_what_comes_behind_the_end_does_not_matter(
    rest: list[Part], upstream: Upstream, connect: Connect
) -> None:
    go_on = asyncio.Event()
    upstream.reply(Reply([*Told().message("Hi").end().parts, go_on, *rest]))
    found = await deltas(connect())
    go_on.set()
    assert found[1:3] == [TextDelta("Hi"), PartEnded()]
    assert isinstance(found[-1], StepEnded)


@pytest.mark.parametrize("garbage", [b"data: {oops\n\n", b"data: 7\n\n", b"data: \xff\xfe\n\n", b"data: {}\n\n"])
async def test_malformed_events_are_an_error(garbage: bytes, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([*Told().message("a").parts, garbage]))
    with pytest.raises(ModelError, match="no response"):
        await deltas(connect())


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/event-stream"])
async def test_html_with_status_200_is_an_error(kind: str, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([b"<html>\n\nWelcome</html>"], type=kind))
    with pytest.raises(ModelError):
        await deltas(connect())


@pytest.mark.parametrize("heard", [[], Told().message("a").parts])
async def test_silence_ends_in_a_timeout(heard: list[Part], upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([*heard, HANG]))
    with pytest.raises(ModelTimeoutError, match="'local' was silent"):
        await deltas(connect(timeouts=Timeouts(first_byte=0.05, idle=0.05)))
    async with asyncio.timeout(DEADLINE):
        await upstream.exchanges[0].left.wait()


async def test_closing_the_stream_stops_the_request(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([*Told().message("a").parts, HANG]), spoken("Hi"))
    model = connect()
    stream = model.stream(wanted())
    async with asyncio.timeout(DEADLINE):
        await anext(stream)
        await stream.aclose()
        await upstream.exchanges[0].left.wait()
    assert text(await deltas(model)) == "Hi"


# chat completions and embeddings


async def test_a_chat_completion_is_answered_by_a_response(upstream: Upstream, connect: Connect) -> None:
    citation = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 4}
    upstream.default = Told().reasoning(summary=["Why."]).message("Sure", annotations=[citation]).end().reply
    model = connect()
    (document,) = await relayed(model, stream=False, reasoning_effort="low", verbosity="low", max_completion_tokens=50)
    message = ChatCompletion.model_validate_json(document).choices[0].message
    assert (message.content, json.loads(document)["usage"]["total_tokens"]) == ("Sure", 14)
    assert message.annotations
    assert message.annotations[0].url_citation.url == "https://a.example"
    sent = upstream.exchanges[0].json
    assert (sent["reasoning"], sent["text"], sent["max_output_tokens"]) == ({"effort": "low"}, {"verbosity": "low"}, 50)
    chunks = [ChatCompletionChunk.model_validate_json(chunk) for chunk in await relayed(model, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Sure"


async def test_a_call_in_a_chat_completion_ends_it_as_calls_do(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Told().call("f", '{"a"', ":1}", call_id="c").end().reply)
    (document,) = await relayed(connect(), stream=False)
    choice = ChatCompletion.model_validate_json(document).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    assert json.loads(document)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


def test_what_a_response_cannot_do_is_refused(connect: Connect) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        connect().relay(asked(stream=False, stop=["x"]))
    assert caught.value.param == "stop"


async def test_embeddings_pass_through(upstream: Upstream, connect: Connect) -> None:
    answer = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    upstream.reply(refusal(200, answer))
    body = {"model": "local/e", "input": "x"}
    request = EmbeddingsRequest(model="e", encoding="float", inputs=("x",), body=body)
    found = await connect().embed(request)
    assert json.loads(found) == answer
    assert upstream.exchanges[0].json == {"model": "e", "input": "x"}
