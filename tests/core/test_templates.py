"""Templates of prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.templates import filled, length, names


def test_variables_are_found_in_order_and_once() -> None:
    assert names("{{ b }} {{a}} {{  b  }} {{ x-y.z }}") == ("b", "a", "x-y.z")


@pytest.mark.parametrize("template", ["", "{ a }", "{{}}", "{{ a b }}", "{{ -a }}", "{{ a", "{{ ä }}"])
def test_what_is_no_place_stays_as_it_is(template: str) -> None:
    assert names(template) == ()
    assert filled(template, {"a": "x", "": "y"}) == template


def test_values_stand_in_their_places_and_are_not_looked_into() -> None:
    values = {"a": "{{ b }}", "b": "\\1 \\g<0>"}
    assert filled("<{{ a }}|{{b}}|{{ c }}>", values) == "<{{ b }}|\\1 \\g<0>|{{ c }}>"


@given(
    st.lists(st.sampled_from(["{{ a }}", "{{b}}", "{{ c }}", "text", "{{", "}}", " "])),
    st.dictionaries(st.sampled_from("ab"), st.text()),
)
def test_the_length_is_known_beforehand(pieces: list[str], values: dict[str, str]) -> None:
    template = "".join(pieces)
    assert length(template, values) == len(filled(template, values))
