"""Chunks of chat completions become deltas, with the quirks of upstreams."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from antiphon.adapters.sse import Splitter
from antiphon.core.chunks import GARBAGE, ChunkReader, ReportedError
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.wire.content import LogProb, TopLogProb
from antiphon.wire.responses import InputTokensDetails, OutputTokensDetails, Usage
from tests.recorded import Recording, chat_streams
from tests.shared import needs_shared
from tests.upstream import chunk, sse

ODD_SIZES = (1, 7, 64, 3, 1021, 2, 300, 13)


def read(*documents: dict[str, Any]) -> tuple[list[Delta], StepEnded]:
    reader = ChunkReader()
    deltas = reader.feed([json.dumps(document).encode() for document in documents])
    return deltas, reader.ended()


def counted(usage: dict[str, Any]) -> Usage | None:
    return read(chunk(usage=usage))[1].usage


def call(**fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "type": "function", "function": function}


def test_text_refusal_and_reasoning_become_their_deltas() -> None:
    deltas, ended = read(
        chunk(role="assistant", content="", refusal=None),
        chunk(reasoning_content="hm"),
        chunk(reasoning="so"),
        chunk(content="Hello"),
        chunk(refusal="No"),
        chunk(finish="stop"),
    )
    assert deltas == [ReasoningDelta("hm"), ReasoningDelta("so"), TextDelta("Hello"), RefusalDelta("No")]
    assert ended == StepEnded("stop")


def test_text_and_a_call_in_one_chunk_are_both_kept() -> None:
    deltas, _ = read(chunk(content="Look", tool_calls=[call(index=0, id="c", name="f", arguments="{}")]))
    assert deltas == [TextDelta("Look"), CallDelta(0, "c", "f", "{}")]


def test_the_finish_chunk_may_hold_text() -> None:
    deltas, ended = read(chunk(content="end", finish="length"))
    assert (deltas, ended.finish) == ([TextDelta("end")], "length")


def test_calls_pass_on_as_the_upstream_sent_them() -> None:
    deltas, _ = read(
        chunk(tool_calls=[call(index=0, id="a", name="f", arguments="")]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "id": "b"}]),
        chunk(tool_calls=[call(index=1, id=None, name=None, arguments=None)]),
    )
    assert deltas == [CallDelta(0, "a", "f", ""), CallDelta(0, None, None, "{}"), CallDelta(1, "b"), CallDelta(1)]


def test_calls_without_an_index_are_told_apart_by_id_or_name() -> None:
    deltas, _ = read(
        chunk(tool_calls=[call(id="a", name="f", arguments="{"), call(id="b", name="g", arguments="")]),
        chunk(tool_calls=[call(id="a", arguments="}"), call(arguments="x")]),
        chunk(tool_calls=[call(name="h", arguments="{}"), call(name="h", arguments="{}")]),
    )
    assert [delta.index for delta in deltas if isinstance(delta, CallDelta)] == [0, 1, 0, 0, 2, 3]


def test_usage_counts_wherever_it_stands() -> None:
    counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    alone: dict[str, Any] = {**chunk(usage=counts), "choices": []}
    expected = Usage(input_tokens=3, output_tokens=4, total_tokens=7)
    assert read(chunk(content="a"), chunk(finish="stop"), alone)[1] == StepEnded("stop", expected)
    assert read(alone, chunk(content="a"), chunk(finish="stop"))[1] == StepEnded("stop", expected)
    assert read(chunk(content="a", finish="stop", usage=counts))[1] == StepEnded("stop", expected)
    early = chunk(content="a", usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4})
    assert read(early, chunk(finish="stop"), alone)[1].usage == expected


def test_details_of_usage_are_mapped() -> None:
    usage = counted(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }
    )
    assert usage == Usage(
        input_tokens=10,
        input_tokens_details=InputTokensDetails(cached_tokens=8),
        output_tokens=5,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=2),
        total_tokens=15,
    )


def test_cache_hits_in_other_words_count_as_cached() -> None:
    usage = counted({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_cache_hit_tokens": 6})
    assert usage is not None
    assert usage.input_tokens_details.cached_tokens == 6


def test_details_that_are_no_numbers_count_nothing() -> None:
    usage = counted({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": "many"}})
    assert usage == Usage(input_tokens=1, output_tokens=1, total_tokens=2)


def test_usage_without_counts_is_none() -> None:
    assert counted({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}) is None


def test_logprobs_go_with_their_text_and_null_bytes_are_filled_in() -> None:
    top = {"token": "é", "logprob": -0.5, "bytes": None}
    document = chunk(content="é")
    document["choices"][0]["logprobs"] = {"content": [{**top, "top_logprobs": [top]}], "refusal": None}
    alternative = TopLogProb(token="é", logprob=-0.5, bytes=(195, 169))
    assert read(document)[0] == [
        TextDelta("é", (LogProb(token="é", logprob=-0.5, bytes=(195, 169), top_logprobs=(alternative,)),))
    ]


def test_logprobs_of_no_tokens_are_no_delta() -> None:
    document = chunk(content="")
    document["choices"][0]["logprobs"] = {"content": [], "refusal": None}
    assert read(document)[0] == []


def test_an_error_object_is_reported() -> None:
    with pytest.raises(ReportedError) as caught:
        read(chunk(content="a"), {"error": {"message": "boom", "code": 500}})
    assert caught.value.report == {"message": "boom", "code": 500}


@pytest.mark.parametrize(
    "garbage",
    [
        b"not json",
        b'{"choices": 7}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b"[]",
        b'{"choices":[{"delta":{"content":"\xff"}}]}',
    ],
)
def test_what_is_no_chunk_is_garbage(garbage: bytes) -> None:
    with pytest.raises(GARBAGE):
        ChunkReader().feed([garbage])


def test_a_whole_completion_reads_like_a_stream() -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [call(id="a", name="f", arguments="{}")]}
    document = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    reader = ChunkReader()
    assert reader.whole(json.dumps(document).encode()) == [TextDelta("Hi"), CallDelta(0, "a", "f", "{}")]
    assert reader.ended() == StepEnded("tool_calls", Usage(input_tokens=1, output_tokens=2, total_tokens=3))


def test_an_error_instead_of_a_completion_is_reported() -> None:
    with pytest.raises(ReportedError):
        ChunkReader().whole(b'{"error": "overloaded"}')


def told(recording: Recording) -> tuple[str, str, dict[int, str], str | None]:
    """Text, reasoning, arguments by index and finish word, read without any of our code."""
    text, reasoning, finish = "", "", None
    arguments: defaultdict[int, str] = defaultdict(str)
    for document in recording.chunks:
        for choice in document["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            reasoning += delta.get("reasoning") or delta.get("reasoning_content") or ""
            finish = choice["finish_reason"] or finish
            for piece in delta.get("tool_calls") or ():
                arguments[piece["index"]] += piece["function"]["arguments"] or ""
    return text, reasoning, dict(arguments), finish


@needs_shared
def test_every_recorded_stream_says_what_was_recorded() -> None:
    recordings = chat_streams()
    assert len(recordings) > 500
    for place, recording in enumerate(recordings):
        stream = b"".join(sse(document) for document in recording.chunks) + b"data: [DONE]\n\n"
        if place % 3 == 0:
            stream = stream.replace(b"\n", b"\r\n")
        splitter, reader = Splitter(), ChunkReader()
        deltas: list[Delta] = []
        position, turn = 0, place
        while position < len(stream):
            size = ODD_SIZES[turn % len(ODD_SIZES)]
            found = splitter.feed(stream[position : position + size])
            deltas += reader.feed([document for document in found if document != b"[DONE]"])
            position, turn = position + size, turn + 1
        arguments: defaultdict[int, str] = defaultdict(str)
        for delta in deltas:
            if isinstance(delta, CallDelta):
                arguments[delta.index] += delta.arguments or ""
        said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
        thought = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
        assert (said, thought, dict(arguments), reader.finish) == told(recording), recording.name
