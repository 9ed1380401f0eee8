"""Reading values out of a text for a schema."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from antiphon.core.extraction import arguments, instance, words_of

Json = dict[str, Any]
STRING: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
INTEGER: Json = {"type": "integer"}
UNIT: Json = {"type": "string", "enum": ["celsius", "fahrenheit"]}


def schema(*required: str, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


@pytest.mark.parametrize(
    ("wanted", "text", "found"),
    [
        (schema(location=STRING), "What is the weather in Bogotá, Colombia today?", {"location": "Bogotá, Colombia"}),
        (schema(company=STRING), "Get the latest report for Acme Corp and summarize it.", {"company": "Acme Corp"}),
        (schema(username=STRING), "Get the user ID for charlie", {"username": "charlie"}),
        (
            schema(experiment_name=STRING),
            "get the experiment ID for 'boiling_point'",
            {"experiment_name": "boiling_point"},
        ),
        (
            schema(user_id=STRING, filename=STRING),
            "Can user user_123 access report.pdf?",
            {"user_id": "user_123", "filename": "report.pdf"},
        ),
        (
            schema("liquid_name", liquid_name=STRING, celsius={"type": "boolean"}),
            "What is the boiling point of the liquid polyjuice, not in celsius?",
            {"liquid_name": "polyjuice", "celsius": False},
        ),
        (schema(a=NUMBER, b=NUMBER), "Add 3 and 4.5", {"a": 3, "b": 4.5}),
        (schema(a=INTEGER, b=INTEGER), "multiply 1,234 by -5", {"a": 1234, "b": -5}),
        (
            schema("city", city=STRING, unit=UNIT, days=INTEGER),
            "Forecast for Berlin for the next 5 days in Fahrenheit",
            {"city": "Berlin", "unit": "fahrenheit", "days": 5},
        ),
        (
            schema(to=STRING, subject=STRING, body=STRING),
            'Send an email to bob@example.com with subject "Hi there" and body "See you"',
            {"to": "bob@example.com", "subject": "Hi there", "body": "See you"},
        ),
        (
            schema(date=STRING, title=STRING),
            'Schedule "Planning" on 2026-03-04',
            {"date": "2026-03-04", "title": "Planning"},
        ),
        (schema(url=STRING), "fetch https://example.com/a?b=c please.", {"url": "https://example.com/a?b=c"}),
        (schema(numbers={"type": "array", "items": NUMBER}), "Sum 1, 2 and 3.5", {"numbers": [1, 2, 3.5]}),
        (
            schema(names={"type": "array", "items": STRING}),
            "Invite Alice, Bob and Carol",
            {"names": ["Alice", "Bob", "Carol"]},
        ),
        (schema(query=STRING), "Who won?", {"query": "Who won?"}),
        (schema(size={"const": "big"}), "Anything", {"size": "big"}),
    ],
)
def test_arguments_are_read_from_the_request(wanted: Json, text: str, found: Json) -> None:
    assert arguments(wanted, text).values == found
    assert arguments(wanted, text).missing == ()


def test_what_the_text_does_not_give_is_missing_and_not_invented() -> None:
    wanted = schema("location", "days", location=STRING, days=INTEGER, unit=UNIT)
    assert arguments(wanted, "weather please").missing == ("location", "days")
    assert arguments(wanted, "weather please").values == {}
    assert arguments(schema(days={"type": "integer", "default": 3}), "weather please").missing == ()


def test_optional_arguments_need_their_name_in_the_text() -> None:
    wanted = schema("a", a=INTEGER, limit=INTEGER, verbose={"type": "boolean"})
    assert arguments(wanted, "Show 3 of 9").values == {"a": 3}
    assert arguments(wanted, "Show 3 with limit 9, verbose").values == {"a": 3, "limit": 9, "verbose": True}


def test_known_values_go_first() -> None:
    assert arguments(schema(user_id=STRING), "For user_1", {"user_id": "user_2"}).values == {"user_id": "user_2"}


def test_references_and_nullable_choices_are_followed() -> None:
    wanted: Json = {
        "type": "object",
        "$defs": {"City": {"type": "object", "properties": {"name": STRING}, "required": ["name"]}},
        "properties": {"city": {"anyOf": [{"$ref": "#/$defs/City"}, {"type": "null"}]}},
        "required": ["city"],
    }
    found = instance(wanted, "a city called Oslo")
    assert found == {"city": {"name": "Oslo"}}
    assert instance(wanted, "nothing") == {"city": None}


def test_the_least_value_fits_its_schema() -> None:
    wanted = schema(
        text={"type": "string", "minLength": 3},
        count={"type": "integer", "minimum": 2},
        above={"type": "number", "exclusiveMinimum": 4},
        flag={"type": "boolean"},
        unit=UNIT,
        when={"type": "string", "format": "date"},
        tags={"type": "array", "items": STRING, "minItems": 2},
        maybe={"type": ["string", "null"]},
        inner=schema(x=INTEGER),
    )
    found = instance(wanted, "")
    validate(found, wanted)
    assert found["maybe"] is None


def test_words_of_an_identifier() -> None:
    assert words_of("getUserID2_name") == ["get", "user", "id", "2", "name"]
    assert words_of("") == words_of("___") == words_of("名前") == []


NAMES = st.sampled_from(["name", "id", "date", "a", "city", "unit", "x_y", "", "名", "([", "url"])
JUNK = st.none() | st.booleans() | st.integers(-5, 10**12) | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
KEYWORDS = st.sampled_from(
    ["type", "enum", "const", "required", "items", "minItems", "maxItems", "minLength", "minimum", "maximum", "format",
     "default", "anyOf", "$ref", "properties"]
)  # fmt: skip


def schemas() -> st.SearchStrategy[Any]:
    kinds = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null", "odd"])
    plain = st.fixed_dictionaries({"type": kinds})
    return st.recursive(
        plain | JUNK | st.just({"$ref": "#"}),
        lambda inner: st.one_of(
            st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=4)}),
            st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
            st.dictionaries(KEYWORDS, inner | JUNK, max_size=4),
            st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)}),
        ),
        max_leaves=12,
    )


@given(
    schemas().filter(lambda one: isinstance(one, dict)),
    st.text(max_size=60) | st.just("Meet Bob in Oslo on 3 May at 5"),
)
@settings(max_examples=300, deadline=None)
def test_no_schema_and_no_text_breaks_it(wanted: Json, text: str) -> None:
    read = arguments(wanted, text)
    json.dumps(read.values)
    json.dumps(instance(wanted, text, "An answer."))


@pytest.mark.parametrize(
    "wanted",
    [
        schema(a={"type": "string", "minLength": 10**12}, b={"type": "array", "items": STRING, "minItems": 10**9}),
        {
            "type": "object",
            "properties": {f"p{n}": {"$ref": "#"} for n in range(50)},
            "required": [f"p{n}" for n in range(50)],
        },
        schema(**{f"property_{n}": STRING for n in range(5_000)}),
        schema(a={"type": "string", "enum": [str(n) for n in range(100_000)]}),
        {"$ref": "#"},
    ],
)
def test_a_hostile_schema_costs_little(wanted: Json) -> None:
    text = "Meet 1 2 3 'a' Bob in Oslo for x of y. " * 500
    started = time.process_time()
    read = arguments(wanted, text)
    found = instance(wanted, text)
    assert time.process_time() - started < 2.0
    assert len(json.dumps([read.values, found])) < 1_000_000
