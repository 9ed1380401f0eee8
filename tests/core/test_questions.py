"""Questions made shorter for a search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.questions import shortened

QUESTIONS = {
    "Can you tell me what the height of the tower is?": "height of the tower is",
    "I'd like to know what the refund policy is.": "refund policy is",
    "please explain the refund policy!": "refund policy",
    "How do I reset my password?": "I reset my password",
    "Where's the nearest office?": "nearest office",
    "refund policy": "refund policy",
    "The Who in concert": "The Who in concert",
    "What is it?": "it",
    "What?": "What",
    "???": "???",
    "Wie hoch ist der Turm?": "Wie hoch ist der Turm",
    "canyon": "canyon",
    "whatever works": "whatever works",
}


@pytest.mark.parametrize("question", list(QUESTIONS))
def test_what_is_said_around_a_question_is_dropped(question: str) -> None:
    assert shortened(question) == QUESTIONS[question]


@given(st.text())
def test_nothing_is_added_and_nothing_becomes_empty(question: str) -> None:
    short = shortened(question)
    assert short in question
    assert bool(short) == bool(question.strip())


def test_a_long_question_takes_no_time() -> None:
    question = "please " * 100_000 + "stop"
    assert shortened(question).endswith("stop")
