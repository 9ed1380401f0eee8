"""What a real model does too rarely to wait for: scripted answers, and faults."""

from __future__ import annotations

import pytest
from concierge.desk import CLOSED, MODEL, answer

from antiphon.testing import outline
from antiphon.testing.server import Antiphon


def faulty(*plan: dict[str, object]) -> pytest.MarkDecorator:
    """A model that says `Hello.`, but for the faults of its first answers."""
    model = {
        "kind": "scripted",
        "models": [MODEL],
        "steps": [{"acts": [{"act": "says", "text": "Hello."}], "repeat": True}],
    }
    return pytest.mark.antiphon(models=[{"name": "openai", "kind": "faulty", "of": model, "plan": plan}], mode="off")


@pytest.mark.antiphon(script="full_house.yaml", models=[MODEL])
def test_a_script_says_it(antiphon: Antiphon) -> None:
    assert answer(antiphon.client, "Is there a room on 2 May 2026?") == "Nothing is free, I am afraid: []."


@pytest.mark.antiphon(
    script=[{"calls": {"name": "free_rooms", "arguments": {"date": "2026-05-01"}}, "repeat": True}], models=[MODEL]
)
def test_a_model_that_only_looks_things_up_is_given_up(antiphon: Antiphon) -> None:
    assert answer(antiphon.client, "Is there a room?") == CLOSED


@faulty({"fault": "status", "status": 429, "retry_after": 1}, {"fault": "status", "status": 503})
def test_a_busy_model_closes_the_desk_for_a_moment(antiphon: Antiphon) -> None:
    said = [answer(antiphon.client, "Hello?") for _ in range(3)]
    assert said == [CLOSED, CLOSED, "Hello."]


@faulty({"fault": "cut", "after": 0})
def test_an_answer_that_is_cut_is_no_answer(antiphon: Antiphon) -> None:
    assert answer(antiphon.client, "Hello?") == CLOSED
    response = antiphon.client.responses.create(model=MODEL, input="Hello?")
    assert outline(response) == ["message: Hello."]
