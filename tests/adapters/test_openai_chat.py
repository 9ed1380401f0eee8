"""The adapter for chat completions endpoints, against a real endpoint on a real port that misbehaves as told."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from antiphon.adapters.upstream import Timeouts
from antiphon.core.deltas import CallDelta, StepEnded, TextDelta
from antiphon.wire.errors import (
    InvalidRequestError,
    ModelError,
)
from antiphon.wire.responses import Usage
from tests.adapters.asking import DEADLINE, KEY, Connect, asked, batches, deltas, parts, relayed, text, wanted
from tests.recorded import chat_streams
from tests.shared import needs_shared
from tests.upstream import DONE, HANG, Reply, Upstream, chunk, refusal, speech, sse, usage

# what is asked


async def test_the_request_is_a_stream_with_usage_under_the_endpoints_key(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(speech("Hi"))
    await deltas(connect(headers={"X-Extra": "1"}))
    (exchange,) = upstream.exchanges
    assert (exchange.method, exchange.path) == ("POST", "/v1/chat/completions")
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["x-extra"] == "1"
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.json == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_query_in_the_base_url_is_part_of_every_request(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(speech("Hi"))
    await deltas(connect(base_url=f"{upstream.url}/?api-version=7"))
    assert upstream.exchanges[0].path == "/v1/chat/completions?api-version=7"


async def test_a_connection_is_used_again(upstream: Upstream, connect: Connect) -> None:
    upstream.default = speech("Hi")
    model = connect()
    async with asyncio.timeout(DEADLINE):
        while upstream.connections == len(upstream.exchanges):
            await deltas(model)


async def test_a_stream_ends_with_done_even_if_the_connection_stays_open(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply([sse(chunk(content="Hi", finish="stop")) + DONE, HANG]))
    assert await deltas(connect()) == [TextDelta("Hi"), StepEnded("stop")]
    async with asyncio.timeout(DEADLINE):
        await upstream.exchanges[0].left.wait()


async def test_generations_at_once_do_not_wait_for_each_other(upstream: Upstream, connect: Connect) -> None:
    gate = asyncio.Event()
    model = connect()
    upstream.reply(Reply([sse(chunk(content="slow")), gate, sse(chunk(finish="stop")), DONE]), speech("fast"))
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted())) as slow:
        assert text(await anext(slow)) == "slow"
        assert text(await deltas(model)) == "fast"
        gate.set()
        assert [batch async for batch in slow] == [[StepEnded("stop")]]


# what comes back


async def test_text_and_usage_arrive(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(speech("Hel", "lo"))
    found = await deltas(connect())
    assert text(found) == "Hello"
    assert found[-1] == StepEnded("stop", Usage(input_tokens=5, output_tokens=2, total_tokens=7))


async def test_all_chunks_of_one_read_are_one_batch(upstream: Upstream, connect: Connect) -> None:
    pieces = b"".join(sse(chunk(content=str(place))) for place in range(50))
    upstream.reply(Reply([pieces + sse(chunk(finish="stop")) + DONE]))
    (batch,) = await batches(connect())
    assert text(batch) == "".join(map(str, range(50)))
    assert batch[-1] == StepEnded("stop")


async def test_quirks_of_framing_change_nothing(upstream: Upstream, connect: Connect) -> None:
    stream = b": hello\r\n\r\n" + b"".join(parts(chunk(content="grün 😀"), chunk(finish="stop"), usage()))  # type: ignore[arg-type]
    raw = stream.replace(b"\n", b"\r\n")
    upstream.reply(Reply([raw[place : place + 3] for place in range(0, len(raw), 3)]))
    found = await deltas(connect())
    assert text(found) == "grün 😀"
    assert isinstance(found[-1], StepEnded)
    assert found[-1].usage is not None


async def test_a_stream_without_done_is_whole_after_its_finish_word(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), chunk(finish="length"), end=b"")[:-1], chunked=False))
    assert await deltas(connect()) == [TextDelta("a"), StepEnded("length")]


async def test_a_stream_without_a_finish_word_is_whole_after_done(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply(parts(chunk(content="a"))))
    assert await deltas(connect()) == [TextDelta("a"), StepEnded("stop")]


async def test_no_usage_is_none(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), chunk(finish="stop"))))
    assert (await deltas(connect()))[-1] == StepEnded("stop", None)


async def test_malformed_arguments_pass_on_as_they_are(upstream: Upstream, connect: Connect) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"city": '}}
    upstream.reply(Reply(parts(chunk(tool_calls=[call]), chunk(finish="tool_calls"))))
    assert await deltas(connect()) == [CallDelta(0, "c", "f", '{"city": '), StepEnded("tool_calls")]


async def test_an_endpoint_that_does_not_stream_is_read_whole(upstream: Upstream, connect: Connect) -> None:
    message = {"role": "assistant", "content": "Hi"}
    document = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream.reply(refusal(200, document))
    assert await batches(connect()) == [[TextDelta("Hi"), StepEnded("stop")]]


# the list of models


async def test_models_are_those_that_the_endpoint_lists(upstream: Upstream, connect: Connect) -> None:
    listed = [{"id": "a", "object": "model", "created": 17, "owned_by": "them", "x": 1}, {"id": "b"}, {"name": "?"}]
    upstream.reply(refusal(200, {"object": "list", "data": listed}))
    cards = await connect().models()
    assert [(card.id, card.created, card.owned_by) for card in cards] == [("a", 17, "them"), ("b", 0, "local")]
    assert upstream.exchanges[0].path == "/v1/models"


async def test_models_of_the_settings_are_not_asked_for(upstream: Upstream, connect: Connect) -> None:
    assert [card.id for card in await connect(models=("a", "b")).models()] == ["a", "b"]
    assert not upstream.exchanges


@pytest.mark.parametrize(
    "reply", [refusal(404, {}), refusal(200, []), Reply([b"<html>"], type="text/html"), Reply([HANG])]
)
async def test_an_endpoint_that_does_not_list_its_models_is_a_model_error(
    reply: Reply, upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(reply)
    with pytest.raises(ModelError):
        await connect(timeouts=Timeouts(models=0.1)).models()


# passing chat completions through


async def test_a_chat_completion_passes_through_in_both_directions(upstream: Upstream, connect: Connect) -> None:
    answer = b'{"id":"x", "choices":[{"message":{"reasoning":"hm"}}],"vendor":{"a":1}}'
    upstream.reply(Reply([answer], type="application/json"))
    request = asked(stream=False, top_k=40, seed=7)
    assert await relayed(connect(), request) == [answer]
    assert upstream.exchanges[0].json == {**request.body, "model": "upstream-model"}


async def test_a_streamed_chat_completion_passes_through_undecoded(upstream: Upstream, connect: Connect) -> None:
    documents = [json.dumps(document).encode() for document in (chunk(content="a", vendor=1), chunk(finish="stop"))]
    upstream.reply(Reply([b"".join(b"data: " + document + b"\n\n" for document in documents) + DONE]))
    async with asyncio.timeout(DEADLINE), aclosing(connect().relay(asked(stream=True))) as stream:
        assert [batch async for batch in stream] == [documents]


async def test_a_refused_chat_completion_names_the_parameter_as_chat_does(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(refusal(400, {"error": {"message": "Bad", "param": "messages[0].role", "code": "invalid_value"}}))
    with pytest.raises(InvalidRequestError) as caught:
        await relayed(connect(), asked(stream=False))
    assert caught.value.param == "messages[0].role"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_first_output_is_raised(stream: bool, upstream: Upstream, connect: Connect) -> None:
    upstream.reply(
        Reply(parts({"error": {"message": "boom"}})) if stream else refusal(200, {"error": {"message": "boom"}})
    )
    with pytest.raises(ModelError):
        await relayed(connect(), asked(stream=stream))


async def test_an_error_after_the_first_output_passes_through(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), {"error": {"message": "boom"}}, end=b"")[:-1]))
    documents = await relayed(connect(), asked(stream=True))
    assert json.loads(documents[-1]) == {"error": {"message": "boom"}}


async def test_a_streamed_chat_completion_that_is_cut_is_an_error(upstream: Upstream, connect: Connect) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), end=b"")[:-1]))
    with pytest.raises(ModelError, match="was cut"):
        await relayed(connect(), asked(stream=True))


async def test_a_streamed_chat_completion_without_done_is_whole_after_its_finish_word(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.reply(Reply(parts(chunk(content="a"), chunk(finish="stop"), end=b"")[:-1]))
    assert len(await relayed(connect(), asked(stream=True))) == 2


# recorded streams


@needs_shared
@pytest.mark.parametrize("size", [1, 5, 333, 4096])
async def test_recorded_streams_arrive_in_any_splits(size: int, upstream: Upstream, connect: Connect) -> None:
    model = connect()
    for recording in chat_streams()[size % 7 :: 200]:
        raw = b"".join(map(sse, recording.chunks)) + DONE
        split = min(len(raw), size * 4000)  # of single bytes only the first
        pieces = [raw[place : place + size] for place in range(0, split, size)]
        upstream.reply(Reply([piece for piece in (*pieces, raw[split:]) if piece]))
        found = await deltas(model)
        choices = [choice for document in recording.chunks for choice in document["choices"]]
        assert text(found) == "".join(choice["delta"].get("content") or "" for choice in choices)
        assert isinstance(found[-1], StepEnded)
        assert found[-1].finish == choices[-1]["finish_reason"]
