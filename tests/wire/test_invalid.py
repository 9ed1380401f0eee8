"""What a client is told about a wrong request: OpenAI's codes, words and places."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import array_too_long, decode_object, empty_array, invalid, plain, read, wrong_prefix


class Circle(Struct, tag_field="type", tag="circle"):
    radius: Annotated[float, Meta(ge=0, le=2)]
    name: Annotated[str, Meta(min_length=1, max_length=3, pattern=r"^[a-z]+$")] = "a"
    sides: Annotated[int, Meta(ge=1)] | None = None


class Group(Struct, tag_field="type", tag="group"):
    shapes: tuple[Circle, ...] = ()


class Drawing(Struct):
    color: Literal["red", "green", "blue"] | None = None
    shape: Circle | Group | None = None
    tags: tuple[str, ...] = ()
    few: Annotated[tuple[int, ...], Meta(min_length=1, max_length=2)] = (1,)
    pairs: Annotated[
        dict[Annotated[str, Meta(max_length=2)], Annotated[str, Meta(max_length=3)]], Meta(max_length=2)
    ] = {}
    words: str | tuple[Circle, ...] = ""
    done: bool = False
    nested: tuple[dict[str, tuple[int, ...]], ...] = ()


class Case(NamedTuple):
    name: str
    value: object
    code: str
    param: str
    message: str


def circle(**fields: object) -> dict[str, Any]:
    return {"shape": {"type": "circle", "radius": 1, **fields}}


CASES = [
    Case(
        "a missing field",
        {"shape": {"type": "circle"}},
        "missing_required_parameter",
        "shape.radius",
        "Missing required parameter: 'shape.radius'.",
    ),
    Case(
        "a missing tag",
        {"shape": {}},
        "missing_required_parameter",
        "shape.type",
        "Missing required parameter: 'shape.type'.",
    ),
    Case(
        "an unknown tag",
        {"shape": {"type": "oval"}},
        "invalid_value",
        "shape.type",
        "Invalid value: 'oval'. Supported values are: 'circle' and 'group'.",
    ),
    Case(
        "a value out of three",
        {"color": "pink"},
        "invalid_value",
        "color",
        "Invalid value: 'pink'. Supported values are: 'blue', 'green', and 'red'.",
    ),
    Case(
        "a string for an array",
        {"tags": "a"},
        "invalid_type",
        "tags",
        "Invalid type for 'tags': expected an array of strings, but got a string instead.",
    ),
    Case(
        "a number among strings",
        {"tags": ["a", 1]},
        "invalid_type",
        "tags[1]",
        "Invalid type for 'tags[1]': expected a string, but got an integer instead.",
    ),
    Case(
        "neither of two types",
        {"words": 1.5},
        "invalid_type",
        "words",
        "Invalid type for 'words': expected one of a string or array of objects, but got a decimal instead.",
    ),
    Case(
        "null",
        {"done": None},
        "invalid_type",
        "done",
        "Invalid type for 'done': expected a boolean, but got null instead.",
    ),
    Case(
        "a boolean for an integer",
        circle(sides=True),
        "invalid_type",
        "shape.sides",
        "Invalid type for 'shape.sides': expected an integer, but got a boolean instead.",
    ),
    Case(
        "a decimal below its minimum",
        circle(radius=-1),
        "decimal_below_min_value",
        "shape.radius",
        "Invalid 'shape.radius': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    Case(
        "a decimal above its maximum",
        circle(radius=2.5),
        "decimal_above_max_value",
        "shape.radius",
        "Invalid 'shape.radius': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
    ),
    Case(
        "an integer below its minimum",
        circle(sides=0),
        "integer_below_min_value",
        "shape.sides",
        "Invalid 'shape.sides': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    Case(
        "a long string",
        circle(name="abcd"),
        "string_above_max_length",
        "shape.name",
        "Invalid 'shape.name': string too long. Expected a string with maximum length 3, but got a string with "
        "length 4 instead.",
    ),
    Case(
        "an empty string",
        circle(name=""),
        "empty_string",
        "shape.name",
        "Invalid 'shape.name': empty string. Expected a string with minimum length 1, but got an empty string instead.",
    ),
    Case(
        "a string against its pattern",
        circle(name="A"),
        "invalid_value",
        "shape.name",
        "Invalid 'shape.name': string does not match pattern. Expected a string that matches the pattern '^[a-z]+$'.",
    ),
    Case(
        "a long array",
        {"few": [1, 2, 3]},
        "array_above_max_length",
        "few",
        "Invalid 'few': array too long. Expected an array with maximum length 2, but got an array with length 3 "
        "instead.",
    ),
    Case(
        "an empty array",
        {"few": []},
        "empty_array",
        "few",
        "Invalid 'few': empty array. Expected an array with minimum length 1, but got an empty array instead.",
    ),
    Case(
        "too many pairs",
        {"pairs": {"a": "", "b": "", "c": ""}},
        "object_above_max_properties",
        "pairs",
        "Invalid 'pairs': too many properties. Expected an object with at most 2 properties, but got an object with 3 "
        "properties instead.",
    ),
    Case(
        "the one long value among pairs",
        {"pairs": {"a": "x", "b": "long"}},
        "string_above_max_length",
        "pairs.b",
        "Invalid 'pairs.b': string too long. Expected a string with maximum length 3, but got a string with length 4 "
        "instead.",
    ),
    Case(
        "the one long key among pairs",
        {"pairs": {"a": "x", "key": ""}},
        "string_above_max_length",
        "pairs.key",
        "Invalid 'pairs.key': string too long. Expected a string with maximum length 2, but got a string with length 3 "
        "instead.",
    ),
    Case(
        "the one wrong value among pairs",
        {"pairs": {"a": "x", "b": None}},
        "invalid_type",
        "pairs.b",
        "Invalid type for 'pairs.b': expected a string, but got null instead.",
    ),
    Case(
        "a fault in an array of a tagged object",
        {"shape": {"type": "group", "shapes": [{"type": "circle", "radius": "x"}]}},
        "invalid_type",
        "shape.shapes[0].radius",
        "Invalid type for 'shape.shapes[0].radius': expected a decimal, but got a string instead.",
    ),
]


def told(value: object, path: str = "") -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        read(msgspec.json.encode(value), msgspec.json.Decoder(Drawing), path)
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_error_has_the_code_place_and_words_of_openai(case: Case) -> None:
    error = told(case.value)
    assert (error.code, error.param, error.message) == case[2:]
    assert json.loads(error.body())["error"]["type"] == "invalid_request_error"


def test_a_fault_behind_the_values_of_an_object_is_found() -> None:
    error = told({"nested": [{"a": [1]}, {"b": ["x"]}]})
    assert error.param == "nested[1].b[0]"


def test_the_place_is_told_from_the_body_down() -> None:
    assert told({"tags": [None]}, "tools[3]").param == "tools[3].tags[0]"


def test_without_the_type_the_place_and_the_code_are_the_same() -> None:
    value = {"shape": {"type": "group"}, "color": "pink"}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Drawing)
    error = invalid(caught.value, value)
    assert (error.code, error.param) == ("invalid_value", "color")
    assert error.message == "Invalid value: 'pink'."


def test_a_number_out_of_range_names_its_place() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(b'{"few":[1e999]}', msgspec.json.Decoder(Drawing))
    assert caught.value.param in {"few[0]", None}


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(told({"color": "x" * 10_000}).message) < 400


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"nonsense", b'{"a":NaN}', b'{"a":1}}', b'{"\xff":1}', b'{"a":' + b"[" * 100_000 + b"}"],
    ids=["empty", "array", "string", "no json", "NaN", "more behind", "no UTF-8", "too deep"],
)
def test_a_body_that_is_no_object_is_invalid_json(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode_object(body)
    assert (caught.value.code, caught.value.http_status) == ("invalid_json", 400)


@pytest.mark.parametrize("raw", [b'"\xff"', b'"\\ud800"', b"[" * 100_000], ids=["no UTF-8", "half a pair", "too deep"])
def test_a_value_that_cannot_be_read_is_invalid_json(raw: bytes) -> None:
    for reading in (lambda: plain(raw), lambda: read(raw, msgspec.json.Decoder(str | list[Any]))):
        with pytest.raises(InvalidRequestError) as caught:
            reading()
        assert caught.value.code == "invalid_json"


def test_the_other_errors_have_their_codes() -> None:
    assert array_too_long("items", 20, 21).code == "array_above_max_length"
    assert empty_array("items").code == "empty_array"
    assert wrong_prefix("conversation", "x", "conv_").message == (
        "Invalid 'conversation': 'x'. Expected an ID that begins with 'conv_'."
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*Drawing.__struct_fields__, "type", "radius", "name", "sides", "shapes"])
DRAWINGS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner | st.lists(inner, max_size=3), max_size=6))


def fault(value: object) -> InvalidRequestError | None:
    try:
        read(msgspec.json.encode(value), msgspec.json.Decoder(Drawing))
    except InvalidRequestError as error:
        return error
    return None


@given(DRAWINGS)
def test_whatever_is_wrong_has_a_code_and_a_message(value: object) -> None:
    error = fault(value)
    assert error is None or (error.code and error.message.endswith("."))
