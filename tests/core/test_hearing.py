"""Native events become deltas, and those the items that the upstream meant."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.adapters.sse import Splitter
from antiphon.core.chunks import GARBAGE, ReportedError
from antiphon.core.deltas import (
    AnnotationDelta,
    CallDelta,
    Delta,
    MessageStarted,
    PartEnded,
    ReasoningDelta,
    ReasoningEnded,
    ReasoningStarted,
    RefusalDelta,
    StepEnded,
    TextDelta,
)
from antiphon.core.effects import Offer
from antiphon.core.hearing import EventReader
from antiphon.core.sealed import thought_of
from antiphon.wire.content import LogProb, UrlCitation
from tests.core.plays import WEATHER, Play
from tests.grammar import check
from tests.native import Told

CITATION = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 4}
FILE = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 1}


def heard(told: Told) -> list[Delta]:
    reader = EventReader("there")
    return [*reader.feed(told.documents), reader.ended()]


def played(told: Told, *offers: Offer) -> Play:
    play = Play(*offers)
    reader = EventReader("there")
    for document in told.documents:  # each event in a read of its own
        if deltas := reader.feed([document]):
            play.tell(*deltas)
    play.tell(reader.ended())
    check(play.events)
    return play


def everything() -> Told:
    """A response with an item of each kind, and all that an item may have."""
    told = Told().reasoning(summary=["First this.", "Then that."], sealed="gAAA-1")
    told.message("Let me ", "look.", phase="commentary")
    told.call("get_weather", '{"city"', ':"Oslo"}', call_id="call_a")
    told.reasoning(text=["Hm, ", "so."])
    told.message("Sunny, ", "they say.", phase="final_answer", annotations=[CITATION])
    return told.end()


# what is told


def test_a_message_is_told_piece_by_piece() -> None:
    deltas = heard(Told().message("Hel", "lo").end())
    assert deltas[:4] == [MessageStarted(), TextDelta("Hel"), TextDelta("lo"), PartEnded()]
    ended = deltas[-1]
    assert isinstance(ended, StepEnded)
    assert ended.usage is not None
    assert (ended.finish, ended.usage.total_tokens, ended.usage.input_tokens_details.cached_tokens) == ("stop", 14, 3)
    assert ended.usage.output_tokens_details.reasoning_tokens == 4


def test_every_kind_of_item_arrives_as_it_was_meant() -> None:
    output = played(everything(), WEATHER).output
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "reasoning", "message"]
    assert output[0]["summary"] == [
        {"type": "summary_text", "text": "First this."},
        {"type": "summary_text", "text": "Then that."},
    ]
    assert (output[1]["content"][0]["text"], output[1]["phase"]) == ("Let me look.", "commentary")
    assert (output[2]["call_id"], output[2]["arguments"]) == ("call_a", '{"city":"Oslo"}')
    assert output[3]["content"] == [{"type": "reasoning_text", "text": "Hm, so."}]
    assert (output[4]["phase"], output[4]["content"][0]["annotations"]) == ("final_answer", [CITATION])


def test_encrypted_reasoning_is_kept_with_the_name_of_its_endpoint() -> None:
    play = played(everything(), WEATHER)
    thought = thought_of(play.run.output[0])
    assert thought is not None
    assert thought.opaque == "there:gAAA-1"
    assert "gAAA-1" not in json.dumps(play.events)


def test_reasoning_that_shows_nothing_is_an_item_all_the_same() -> None:
    play = played(Told().reasoning(sealed="x").message("Hi").end())
    assert [item["type"] for item in play.output] == ["reasoning", "message"]
    assert play.types.index("output_item.added") < play.types.index("output_item.done")


def test_two_messages_in_a_row_stay_two() -> None:
    output = played(Told().message("a", phase="commentary").message("b", phase="final_answer").end()).output
    assert [(item["phase"], item["content"][0]["text"]) for item in output] == [
        ("commentary", "a"),
        ("final_answer", "b"),
    ]


def test_a_refusal_is_one() -> None:
    deltas = heard(Told().refusal("No", ".").end())
    assert [delta for delta in deltas if isinstance(delta, RefusalDelta)] == [RefusalDelta("No"), RefusalDelta(".")]
    assert played(Told().refusal("No", ".").end()).output[0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_log_probabilities_arrive_with_their_bytes() -> None:
    logprobs: Any = [{"token": "é", "bytes": None, "logprob": -0.5, "top_logprobs": []}]
    deltas = heard(Told().message("é", logprobs=logprobs).end())
    assert TextDelta("é", (LogProb(token="é", bytes=(195, 169), logprob=-0.5),)) in deltas


def test_citations_of_pages_survive_and_those_of_files_do_not() -> None:
    deltas = heard(Told().message("Sure", annotations=[CITATION, FILE]).end())
    known = UrlCitation(url="https://a.example", title="A", start_index=0, end_index=4)
    assert [delta for delta in deltas if isinstance(delta, AnnotationDelta)] == [AnnotationDelta(known)]


def test_a_call_of_a_custom_tool_is_told_as_the_arguments_of_a_function() -> None:
    deltas = heard(Told().custom("run", 'say "', 'é\n"', call_id="c").end())
    calls = [delta for delta in deltas if isinstance(delta, CallDelta)]
    assert (calls[0].id, calls[0].name) == ("c", "run")
    assert json.loads("".join(call.arguments or "" for call in calls)) == {"input": 'say "é\n"'}


def test_reasoning_that_ends_after_the_message_began_stays_in_front_of_it() -> None:
    """As one router was recorded: the reasoning's end comes behind the message."""
    told = Told().reasoning(text=["Hm."], sealed="late")
    late = [event for event in told.events if event["type"].endswith(("text.done", "part.done", "item.done"))]
    told.events = [event for event in told.events if event not in late]
    told.message("4")
    told.events += late
    play = played(told.end())
    assert [item["type"] for item in play.output] == ["reasoning", "message"]
    assert play.output[0]["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    thought = thought_of(play.run.output[0])
    assert thought is not None
    assert thought.opaque == "there:late"


def test_the_names_of_open_responses_are_known() -> None:
    told = Told().reasoning(text=["Hm."]).message("4").end()
    for event in told.events:
        event["type"] = event["type"].replace("reasoning_text.", "reasoning.")
    assert ReasoningDelta("Hm.") in heard(told)


# what is left out


SPARE = sorted({event["type"] for event in everything().events} - {"response.completed"})


@pytest.mark.parametrize("kind", SPARE)
def test_no_event_but_the_last_is_needed(kind: str) -> None:
    whole, told = everything(), everything()
    told.events = [event for event in told.events if event["type"] != kind]
    without, expected = played(told, WEATHER).output, played(whole, WEATHER).output
    if kind.endswith("item.added"):  # a phase comes too late then
        for item in (*without, *expected):
            item.pop("phase", None)
    for item in (*without, *expected):
        item.pop("id")
    assert without == expected


def test_a_stream_of_nothing_but_its_end_is_whole() -> None:
    told = everything()
    told.events = told.events[-1:]
    assert [item["type"] for item in played(told, WEATHER).output] == [item["type"] for item in told.output]


def test_an_answer_that_is_not_streamed_is_read_whole() -> None:
    told = everything()
    reader = EventReader("there")
    deltas = reader.whole(json.dumps(told.events[-1]["response"]).encode())
    play = Play(WEATHER)
    play.tell(*deltas, reader.ended())
    check(play.events)
    assert [item["type"] for item in play.output] == [item["type"] for item in told.output]
    assert play.output[4]["content"][0]["annotations"] == [CITATION]


def test_items_and_events_of_other_kinds_are_passed_over() -> None:
    told = Told()
    told.event("response.output_item.added", output_index=0, item={"id": "ws_1", "type": "web_search_call"})
    told.event("response.web_search_call.searching", output_index=0, item_id="ws_1")
    told.event("vendor:thing", output_index="no number", delta={"stdout": "x"}, text=7)
    told.event("response.output_item.done", output_index=0, item={"type": "web_search_call", "arguments": {"a": 1}})
    told.output.append({})
    assert [item["type"] for item in played(told.message("Hi").end()).output] == ["message"]


@pytest.mark.parametrize(
    "usage", [None, {"input_tokens": 1, "output_tokens": 2, "input_tokens_details": None, "total_tokens": None}]
)
def test_usage_may_be_missing_or_thin(usage: Any) -> None:
    ended = heard(Told().message("a").end(usage=usage))[-1]
    assert isinstance(ended, StepEnded)
    assert (ended.usage is None) == (usage is None)
    assert ended.usage is None or ended.usage.total_tokens == 3


# how it ends


def test_the_end_says_why() -> None:
    def finish(told: Told) -> str | None:
        ended = heard(told)[-1]
        assert isinstance(ended, StepEnded)
        return ended.finish

    assert finish(Told().message("a").end()) == "stop"
    assert finish(Told().call("f", "{}").end()) == "tool_calls"
    assert finish(Told().message("a").end("incomplete", incomplete_details={"reason": "max_output_tokens"})) == "length"
    assert finish(Told().end("incomplete", incomplete_details={"reason": "content_filter"})) == "content_filter"
    assert finish(Told().end("incomplete")) == "length"


def test_a_cut_answer_is_incomplete() -> None:
    told = Told().reasoning(summary=["Long."])
    told.event("response.output_item.added", output_index=1, item={"id": "m", "type": "message"})
    told.event("response.output_text.delta", output_index=1, content_index=0, item_id="m", delta="Half a")
    told.end("incomplete", incomplete_details={"reason": "max_output_tokens"})
    play = played(told)
    assert play.output[1]["status"] == "incomplete"
    assert play.run.response.status == "incomplete"


ERROR = {"code": "server_error", "message": "boom"}


@pytest.mark.parametrize(
    ("event", "report"),
    [
        ({"type": "error", **ERROR, "param": None}, {**ERROR, "param": None}),
        ({"type": "error", "error": {"type": "server_error", **ERROR}}, {"type": "server_error", **ERROR}),
        ({"error": ERROR}, ERROR),
        ({"type": "response.failed", "response": {"status": "failed", "error": ERROR}}, ERROR),
        (
            {"type": "response.cancelled", "response": {"status": "cancelled"}},
            {"message": "The response is cancelled."},
        ),
    ],
)
def test_an_error_in_any_shape_is_raised(event: Any, report: Any) -> None:
    with pytest.raises(ReportedError) as caught:
        EventReader("there").feed([*Told().message("a").documents, json.dumps(event).encode()])
    assert caught.value.report == report


@pytest.mark.parametrize(
    "garbage",
    [
        b"{oops",
        b"7",
        b"{}",
        b"\xff",
        b'{"type":"response.output_text.delta","delta":7}',
        b'{"type":"response.completed"}',
        b'{"id":"c","object":"chat.completion.chunk","choices":[]}',
    ],
)
def test_garbage_is_said_to_be_garbage(garbage: bytes) -> None:
    with pytest.raises(GARBAGE):
        EventReader("there").feed([garbage])


def test_an_end_that_never_came_is_an_error() -> None:
    reader = EventReader("there")
    reader.feed(Told().message("a").documents)
    assert not reader.over
    with pytest.raises(ReportedError):
        reader.ended()


# whatever comes


EVENTS = everything().events
MANY_BYTES = Told().message("grün 😀").call("get_weather", '{"城市":"奥斯陆"}').end()
RAW = b"".join(b"data: " + document + b"\n\n" for document in MANY_BYTES.documents)


@given(st.lists(st.integers(0, len(RAW)), max_size=12))
def test_bytes_may_be_split_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(RAW)]
    splitter, reader = Splitter(), EventReader("there")
    found: list[Delta] = []
    for start, end in pairwise(places):
        found += reader.feed(splitter.feed(RAW[start:end]))
    assert found == EventReader("there").feed(Splitter().feed(RAW))


@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_events_in_any_order_make_a_legal_stream(events: list[dict[str, Any]]) -> None:
    play, reader = Play(WEATHER), EventReader("there")
    for event in events:
        play.tell(*reader.feed([json.dumps(event).encode()]))
    play.tell(StepEnded("stop"))
    check(play.events)


STRUCTURE: Any = st.one_of(
    st.builds(MessageStarted, st.sampled_from([None, "commentary", "final_answer"])),
    st.just(PartEnded()),
    st.just(AnnotationDelta(UrlCitation(url="u", start_index=0, end_index=0))),
    st.builds(ReasoningStarted, st.integers(0, 2)),
    st.builds(ReasoningEnded, st.integers(0, 2), st.sampled_from([None, "x"])),
    st.builds(TextDelta, st.sampled_from(["", "a"])),
    st.builds(RefusalDelta, st.just("b")),
    st.builds(ReasoningDelta, st.just("c"), st.booleans()),
    st.builds(CallDelta, st.integers(0, 1), st.sampled_from([None, "i"]), st.just("get_weather"), st.just("{}")),
)


@given(st.lists(STRUCTURE, max_size=20), st.sampled_from(["stop", "length", None]))
def test_whatever_structure_is_told_the_order_is_legal(deltas: list[Delta], finish: str | None) -> None:
    play = Play(WEATHER)
    play.tell(*deltas)
    play.tell(StepEnded(finish))
    check(play.events)
