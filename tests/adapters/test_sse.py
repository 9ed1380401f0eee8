"""The splitter of server-sent events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.adapters.sse import OversizedEventError, Splitter

STREAM = 'data: {"a":"ä€😀"}\n\n: keep-alive\n\nevent: x\ndata: one\ndata:two\nid: 7\n\ndata: [DONE]\n\n'.encode()
EVENTS = ['{"a":"ä€😀"}'.encode(), b"one\ntwo", b"[DONE]"]


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    splitter = Splitter()
    edges = [0, *sorted(cuts), len(stream)]
    found = [event for start, end in pairwise(edges) for event in splitter.feed(stream[start:end])]
    return found + splitter.end()


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_come_out_the_same_however_they_were_read(cuts: list[int], line_end: bytes) -> None:
    assert split(STREAM.replace(b"\n", line_end), cuts) == EVENTS


def test_every_byte_alone_gives_the_same_events() -> None:
    stream = STREAM.replace(b"\n", b"\r\n")
    assert split(stream, list(range(len(stream)))) == EVENTS


def test_one_read_gives_all_its_events_at_once() -> None:
    assert Splitter().feed(STREAM) == EVENTS


def test_further_blank_lines_are_no_events() -> None:
    assert split(b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", []) == [b"a", b"b"]


def test_an_event_without_its_blank_line_ends_with_the_stream() -> None:
    assert split(b"data: a\n\ndata: b", []) == [b"a", b"b"]
    assert split(b"data: a\r\n\r\ndata: b\r\n", []) == [b"a", b"b"]


def test_what_has_no_data_is_no_event() -> None:
    assert split(b"<html>\n\n<body>502 Bad Gateway</body>\n\n", []) == []


def test_only_one_space_belongs_to_the_framing() -> None:
    assert split(b"data:  a\n\ndata:b\n\ndata:\n\n", []) == [b" a", b"b", b""]


def test_an_event_that_does_not_end_is_refused() -> None:
    splitter = Splitter(limit=100)
    assert splitter.feed(b"data: " + b"x" * 90) == []
    with pytest.raises(OversizedEventError):
        splitter.feed(b"x" * 10)


def test_many_events_may_be_larger_than_the_limit_together() -> None:
    splitter = Splitter(limit=100)
    assert len(splitter.feed(b"data: twenty bytes here\n\n" * 50)) == 50
