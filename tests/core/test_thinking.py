"""Reasoning between tags at the beginning of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, StepEnded, TextDelta
from antiphon.core.thinking import Splitter


def split(*pieces: str) -> tuple[str, str]:
    """What is reasoning, and what is the answer."""
    splitter = Splitter()
    found = [delta for piece in pieces for delta in splitter.split([TextDelta(piece)])]
    found += splitter.split([StepEnded("stop")])
    assert found[-1] == StepEnded("stop")
    thought = "".join(delta.text for delta in found if isinstance(delta, ReasoningDelta))
    return thought, "".join(delta.text for delta in found if isinstance(delta, TextDelta))


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nFirst.\nThen.\n</think>\n\nThe answer.", "First.\nThen.", "The answer."),
        ("\n <think>a</think>b", "a", "b"),
        ("<think></think>b", "", "b"),
        ("<think>never ends", "never ends", ""),
        ("<think>a</thin", "a</thin", ""),
        ("No thought. <think>a</think>", "", "No thought. <think>a</think>"),
        ("<thi", "", "<thi"),
        ("<thing>", "", "<thing>"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("", "", ""),
    ],
)
def test_only_the_beginning_is_looked_at(text: str, thought: str, answer: str) -> None:
    assert split(text) == (thought, answer)
    assert split(*text) == (thought, answer)


@given(st.lists(st.sampled_from(["<th", "ink>", "<think>", "</think>", "</th", "\n", "a", " b", "<"]), max_size=12))
def test_it_does_not_matter_how_the_text_is_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert split(*pieces) == split(text) == split(*text)


def test_other_deltas_keep_their_places() -> None:
    splitter = Splitter()
    deltas: list[Delta] = [
        TextDelta("<think>a"),
        TextDelta("</"),
        CallDelta(0, "c", "f", "{}"),
        StepEnded("tool_calls"),
    ]
    found = splitter.split(deltas)
    assert found == [ReasoningDelta("a"), ReasoningDelta("</"), CallDelta(0, "c", "f", "{}"), StepEnded("tool_calls")]


def test_reasoning_that_comes_apart_is_left_alone() -> None:
    splitter = Splitter()
    assert splitter.split([ReasoningDelta("a"), TextDelta("b"), StepEnded("stop")]) == [
        ReasoningDelta("a"),
        TextDelta("b"),
        StepEnded("stop"),
    ]
