"""Against what a model once answered: `cassettes/` beside this file. Nothing is asked outside."""

from __future__ import annotations

import os

import pytest
from concierge.desk import answer
from openai import OpenAI

from antiphon.testing.server import Antiphon

pytestmark = pytest.mark.antiphon


def test_a_guest_hears_which_rooms_are_free(antiphon: Antiphon) -> None:
    said = answer(antiphon.client, "Is there a room on 1 May 2026?")
    assert "12" in said
    assert "14" in said


def test_rooms_are_looked_up_before_they_are_spoken_of(antiphon: Antiphon) -> None:
    answer(antiphon.client, "Is there a room on 2 May 2026?")
    first, second = antiphon.asked
    assert first.tools == ["free_rooms"]
    assert second.messages[-1]["role"] == "tool"
    assert '"rooms": []' in second.messages[-1]["content"]


@pytest.mark.antiphon(environ=True)
def test_a_client_without_settings_finds_the_server() -> None:
    assert os.environ["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
    with OpenAI() as client:
        assert "Lamplight" in answer(client, "What is the name of this hotel?")
