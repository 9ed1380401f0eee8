"""The bytes of a stream: what frames hold, and that batches do not change them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import events as ev
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.content import LogProb
from antiphon.wire.frames import DONE, PING, data_frames, encode_event, encode_frames
from tests.wire.test_events import EVENTS, PART, PLACE


def plainly(events: list[ev.Event], first: int) -> bytes:
    """The frames, made one at a time in the plainest way."""
    frames: list[bytes] = []
    for place, event in enumerate(events):
        event.sequence_number = first + place
        body = json.dumps(json.loads(encode(event)), ensure_ascii=False, separators=(",", ":"))
        for mark in "\u0085\u2028\u2029":
            body = body.replace(mark, f"\\u{ord(mark):04x}")
        frames.append(f"event: {ev.event_type(event)}\ndata: {body}\n\n".encode())
    return b"".join(frames)


def read_frames(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """What a client reads."""
    assert stream.endswith(b"\n\n")
    found: list[tuple[str, dict[str, Any]]] = []
    for frame in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, body = frame.splitlines()
        found.append((name.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
    return found


def delta(text: str, **more: Any) -> ev.OutputTextDelta:
    return ev.OutputTextDelta(**PART, delta=text, **more)


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["", "\n\n", "\r", '"', "\\", "\x7f", "\0"])
DELTAS = st.builds(delta, TEXTS) | st.builds(
    ev.FunctionCallArgumentsDelta, item_id=TEXTS, output_index=st.integers(0, 3), delta=TEXTS
)


def test_no_events_are_no_bytes() -> None:
    assert encode_frames([], 0) == b""


def test_a_frame_names_its_event_and_holds_one_line_of_json() -> None:
    assert encode_frames([ev.RefusalDelta(**PART, delta="no")], 3) == (
        b'event: response.refusal.delta\ndata: {"type":"response.refusal.delta","sequence_number":3,"item_id":"msg_1",'
        b'"output_index":0,"content_index":0,"delta":"no"}\n\n'
    )


def test_events_are_numbered_in_order() -> None:
    events = [delta("a"), delta("b"), ev.phase("mcp_call", "failed")(**PLACE), delta("c")]
    assert [body["sequence_number"] for _, body in read_frames(encode_frames(events, 40))] == [40, 41, 42, 43]
    assert [event.sequence_number for event in events] == [40, 41, 42, 43]


def test_every_event_has_its_frame() -> None:
    assert encode_frames(EVENTS, 9) == plainly(EVENTS, 9)


@given(st.lists(DELTAS, max_size=12), st.integers(0, 10**6))
def test_a_batch_is_its_events_one_by_one(events: list[ev.Event], first: int) -> None:
    whole = encode_frames(events, first)
    assert whole == b"".join(encode_frames([event], first + place) for place, event in enumerate(events))
    assert whole == plainly(events, first)


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_no_text_breaks_a_frame_and_none_is_changed(texts: list[str]) -> None:
    assert [body["delta"] for _, body in read_frames(encode_frames([*map(delta, texts)], 0))] == texts


def test_log_probabilities_and_padding_stay_in_their_delta() -> None:
    events = [delta("a", logprobs=(LogProb(token="a", logprob=-0.5),)), delta("b", obfuscation="xyz")]
    first, second = (body for _, body in read_frames(encode_frames(events, 0)))
    assert first["logprobs"] == [{"token": "a", "bytes": [], "logprob": -0.5, "top_logprobs": []}]
    assert second["obfuscation"] == "xyz"


@pytest.mark.parametrize("batch", [1, 2], ids=["alone", "in a batch"])
def test_half_a_surrogate_pair_becomes_a_replacement_character(batch: int) -> None:
    texts = [body["delta"] for _, body in read_frames(encode_frames([delta("a\ud83d") for _ in range(batch)], 0))]
    assert texts == ["a\ufffd"] * batch


def test_a_surrogate_is_mended_wherever_it_stands() -> None:
    item = Unknown({"type": "odd", "id": "x", "\ud800": ["\udc00", 1, None]})
    event = ev.OutputItemDone(output_index=0, item=item, sequence_number=2)
    assert json.loads(encode_event(event))["item"] == {"type": "odd", "id": "x", "\ufffd": ["\ufffd", 1, None]}


def test_both_halves_of_a_pair_become_their_character() -> None:
    assert json.loads(encode_event(delta("\ud83d\ude00")))["delta"] == "\U0001f600"


def test_an_event_for_a_websocket_is_its_json_alone() -> None:
    assert encode_event(ev.AudioDone(sequence_number=5)) == b'{"type":"response.audio.done","sequence_number":5}'


def test_characters_that_look_like_line_breaks_are_escaped() -> None:
    assert rb"a\u2028b\u2029c\u0085d" in encode_frames([delta("a\u2028b\u2029c\u0085d")] * 2, 0)


def test_documents_without_a_name_are_put_on_one_line() -> None:
    assert data_frames([b'{"a":1}', b'{\r\n  "b": 2\n}']) == b'data: {"a":1}\n\ndata: {    "b": 2 }\n\n'


def test_the_marks_of_a_stream_are_what_clients_know() -> None:
    assert (DONE, PING) == (b"data: [DONE]\n\n", b": ping\n\n")
