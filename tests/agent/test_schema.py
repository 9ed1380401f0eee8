"""Schemas of parameters and of types: what is sent, in the plain and in the strict form, and how values come back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Optional, Required, Union
from uuid import UUID

import pytest
import typing_extensions
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, BaseModel, Field, RootModel

from antiphon.agent import schema
from antiphon.agent.errors import ConfigurationError
from antiphon.agent.parameters import ArgumentsError, Parameters
from antiphon.agent.tools import Toolbox, client_tool

Json = dict[str, Any]


class Colour(enum.Enum):
    """A plain enum."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: float
    y: float = 0.0


class Place(BaseModel):
    """A model."""

    name: str = Field(min_length=1, description="What it is called.")
    at: Point | None = None


class Node(BaseModel):
    """A model that holds itself."""

    value: int
    inside: list[Node] = []


class Cat(BaseModel):
    """One of a union."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]


class Old(typing.TypedDict):
    """A TypedDict of the standard library."""

    a: Required[int]
    b: NotRequired[list[str]]


class Loose(Old, total=False):
    """One that inherits."""

    c: Annotated[str, Field(max_length=3)]


class New(typing_extensions.TypedDict):
    """A TypedDict of typing_extensions."""

    a: int


class Recursive(typing.TypedDict):
    """Holds itself."""

    inside: list[Recursive]


def parameter(annotation: Any, default: Any = dataclasses.MISSING) -> Callable[..., Any]:
    """A function of one parameter `x`."""

    def with_default(x: Any = default) -> Any:
        return x

    def without(x: Any) -> Any:
        return x

    function = without if default is dataclasses.MISSING else with_default
    function.__annotations__["x"] = annotation
    return function


def said(annotation: Any, default: Any = dataclasses.MISSING) -> Json:
    """The schema of the parameter, definitions put in their places."""
    made = Parameters.of(parameter(annotation, default), {}).schema
    Draft202012Validator.check_schema(made)
    return resolved(made["properties"]["x"], made.get("$defs", {}))


def resolved(value: Any, definitions: Json) -> Any:
    if isinstance(value, list):
        items = typing.cast("list[Any]", value)
        return [resolved(one, definitions) for one in items]
    if not isinstance(value, dict):
        return value
    mapping = typing.cast("Json", value)
    if "$ref" in mapping:
        rest = {key: one for key, one in mapping.items() if key != "$ref"}
        return resolved(definitions[mapping["$ref"].removeprefix("#/$defs/")], definitions) | rest
    return {key: resolved(one, definitions) for key, one in mapping.items()}


CLOSED: Json = {"additionalProperties": False}
POINT: Json = CLOSED | {
    "type": "object",
    "properties": {"x": {"type": "number"}, "y": {"type": "number", "default": 0.0}},
    "required": ["x"],
}
OPEN_POINT = {key: value for key, value in POINT.items() if key not in CLOSED} | {"description": "A dataclass."}
NULL: Json = {"type": "null"}
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}

SAID: list[tuple[Any, Json]] = [
    (str, TEXT),
    (int, NUMBER),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (Any, {}),
    (object, {}),
    (list, {"type": "array", "items": {}}),
    (list[int], {"type": "array", "items": NUMBER}),
    (set[str], {"type": "array", "items": TEXT, "uniqueItems": True}),
    (tuple[int, ...], {"type": "array", "items": NUMBER}),
    (tuple[int, str], {"type": "array", "prefixItems": [NUMBER, TEXT], "minItems": 2, "maxItems": 2}),
    (dict, {"type": "object", "additionalProperties": True}),
    (dict[str, int], {"type": "object", "additionalProperties": NUMBER}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (Colour, {"type": "string", "enum": ["red", "blue"], "description": "A plain enum."}),
    (Level, {"type": "integer", "enum": [1, 2], "description": "An enum of numbers."}),
    (int | None, {"anyOf": [NUMBER, NULL]}),
    (Optional[int], {"anyOf": [NUMBER, NULL]}),  # noqa: UP045
    (Union[int, str, None], {"anyOf": [NUMBER, TEXT, NULL]}),  # noqa: UP007
    (dt.date, {"type": "string", "format": "date"}),
    (UUID, {"type": "string", "format": "uuid"}),
    (Path, {"type": "string", "format": "path"}),
    (Annotated[int, Field(gt=0, description="Above.")], {**NUMBER, "exclusiveMinimum": 0, "description": "Above."}),
    (Annotated[int, "How many."], {**NUMBER, "description": "How many."}),
    (Annotated[int | None, "How many."], {"anyOf": [NUMBER, NULL], "description": "How many."}),
    (Annotated[int, typing_extensions.Doc("How many.")], {**NUMBER, "description": "How many."}),
    (Point, POINT | {"description": "A dataclass."}),
    (New, CLOSED | {"type": "object", "properties": {"a": NUMBER}, "required": ["a"], "description": New.__doc__}),
    (
        Place,
        {
            "type": "object",
            "description": "A model.",
            "properties": {
                "name": {"type": "string", "minLength": 1, "description": "What it is called."},
                "at": {"anyOf": [OPEN_POINT, NULL], "default": None},
            },
            "required": ["name"],
        },
    ),
    (
        Old,
        CLOSED
        | {
            "type": "object",
            "properties": {"a": NUMBER, "b": {"type": "array", "items": TEXT}},
            "required": ["a"],
            "description": Old.__doc__,
        },
    ),
    (
        list[Loose | None],
        {
            "type": "array",
            "items": {
                "anyOf": [
                    CLOSED
                    | {
                        "type": "object",
                        "properties": {
                            "a": NUMBER,
                            "b": {"type": "array", "items": TEXT},
                            "c": {"type": "string", "maxLength": 3},
                        },
                        "required": ["a"],
                        "description": Loose.__doc__,
                    },
                    NULL,
                ]
            },
        },
    ),
]


@pytest.mark.parametrize(("annotation", "wanted"), SAID, ids=lambda value: str(value)[:40])
def test_an_annotation_says_its_schema(annotation: Any, wanted: Json) -> None:
    assert said(annotation) == wanted


@pytest.mark.parametrize(
    ("annotation", "default", "wanted"),
    [
        (int, 3, {**NUMBER, "default": 3}),
        (int | None, None, {"anyOf": [NUMBER, NULL]}),
        (int, None, {"anyOf": [NUMBER, NULL]}),
        (
            Colour,
            Colour.RED,
            {"type": "string", "enum": ["red", "blue"], "description": "A plain enum.", "default": "red"},
        ),
        (Point, Point(1), POINT | {"description": "A dataclass.", "default": {"x": 1, "y": 0.0}}),
        (int, "not one", NUMBER),
        (Any, object(), {}),
        (Any, 3, {"default": 3}),
    ],
)
def test_a_default_makes_a_parameter_optional_and_is_told(annotation: Any, default: Any, wanted: Json) -> None:
    assert said(annotation, default) == wanted
    assert Parameters.of(parameter(annotation, default), {}).schema.get("required", []) == []


def test_names_of_parameters_are_free() -> None:
    def odd(_private: int, schema: int, model_config: int, copy: int, self: int, title: int) -> None:
        """Names that a model could not have."""

    made = Parameters.of(odd, {"title": "Of a book."})
    assert made.schema["properties"]["title"] == {**NUMBER, "description": "Of a book."}
    given = '{"_private": 1, "schema": 2, "model_config": 3, "copy": 4, "self": 5, "title": 6}'
    assert list(made.parse(given).values()) == [1, 2, 3, 4, 5, 6]


def test_parameters_without_annotations_take_any_json() -> None:
    made = Parameters.of(eval("lambda a, b=1: None"), {})
    assert made.schema["properties"] == {"a": {}, "b": {"default": 1}}
    assert made.parse('{"a": [{"deep": null}]}') == {"a": [{"deep": None}]}


def test_the_words_beside_a_parameter_come_before_those_of_the_docstring() -> None:
    def both(a: Annotated[int, "Its own."], b: int) -> None:
        """Two."""

    made = Parameters.of(both, {"a": "Of the docstring.", "b": "Of the docstring."})
    assert [one["description"] for one in made.schema["properties"].values()] == ["Its own.", "Of the docstring."]


def test_annotations_may_name_what_is_defined_in_the_same_function() -> None:
    @dataclasses.dataclass
    class Inner:
        a: int

    @client_tool
    def take(inner: Inner) -> int:
        return inner.a

    assert Toolbox([take]).definitions[0]["parameters"]["properties"] == {"inner": {"$ref": "#/$defs/Inner"}}


@client_tool
def early(later: Later) -> str:
    """Its type comes later."""
    return later.name


@dataclasses.dataclass
class Later:
    """Defined below its use."""

    name: str


def test_annotations_may_name_what_is_defined_further_down() -> None:
    assert early.parse('{"later": {"name": "x"}}') == {"later": Later("x")}


def test_values_are_converted() -> None:
    def many(p: Place, o: list[Old], c: Colour, d: dt.date, n: decimal.Decimal, t: tuple[int, str]) -> None:
        """Many kinds."""

    made = Parameters.of(many, {})
    text = (
        '{"p": {"name": "x", "at": {"x": 1}}, "o": [{"a": 1}], "c": "red", "d": "2026-01-02", '
        '"n": "1.10", "t": [1, "a"]}'
    )
    assert made.parse(text) == {
        "p": Place(name="x", at=Point(1)),
        "o": [{"a": 1}],
        "c": Colour.RED,
        "d": dt.date(2026, 1, 2),
        "n": decimal.Decimal("1.10"),
        "t": (1, "a"),
    }


def test_wrong_values_are_told_with_their_places_and_not_at_any_length() -> None:
    made = Parameters.of(parameter(list[Place]), {})
    with pytest.raises(ArgumentsError, match=r"^x\.1\.name: String should have at least 1 character \(got ''\)$"):
        made.parse('{"x": [{"name": "a"}, {"name": ""}]}')
    with pytest.raises(ArgumentsError, match=r"; and 20 more$"):
        made.parse(f'{{"x": [{", ".join(["1"] * 30)}]}}')
    with pytest.raises(ArgumentsError) as caught:
        made.parse(f'{{"x": [{{"name": ["{"a" * 5000}"]}}]}}')
    assert len(str(caught.value)) < 200


def even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


def test_checks_of_the_developer_are_told_in_their_words() -> None:
    with pytest.raises(ArgumentsError, match=r"x: Value error, odd \(got 3\)"):
        Parameters.of(parameter(Annotated[int, AfterValidator(even)]), {}).parse('{"x": 3}')


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Callable[[int], int], "x: .*Callable"),
        (Recursive, "Recursive holds itself: take TypedDict from typing_extensions"),
        (type("Opaque", (), {}), "x: .*Opaque"),
        ("Missing", "an annotation names what is not known: name 'Missing' is not defined"),
        ("1 +", "an annotation is no type"),
    ],
    ids=str,
)
def test_what_has_no_schema_is_refused_by_name(annotation: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Parameters.of(parameter(annotation), {})


def test_a_field_as_a_default_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"x: write Annotated"):
        Parameters.of(parameter(int, Field(3)), {})


def test_more_of_one_type_is_refused() -> None:
    def more(**rest: int) -> None:
        """Numbers by name."""

    with pytest.raises(ConfigurationError, match=r"\*\*rest cannot be of one type"):
        Parameters.of(more, {})


# the strict form


def strict(annotation: Any, default: Any = dataclasses.MISSING) -> Json:
    made = schema.strict(Parameters.of(parameter(annotation, default), {}).schema)
    Draft202012Validator.check_schema(made)
    assert not list(offences(made))
    return made


def offences(value: Any) -> typing.Iterator[str]:
    """What the API would refuse, by the rules of its guide."""
    if not isinstance(value, Mapping):
        return
    node = typing.cast("Mapping[str, Any]", value)
    if node.get("type") == "object" and (
        node.get("additionalProperties") is not False or set(node["required"]) != set(node["properties"])
    ):
        yield f"open: {node}"
    if "$ref" in node and len(node) > 1:
        yield f"beside a reference: {node}"
    yield from (f"keyword {key}" for key in node.keys() - schema.KEPT)
    inside = [*node.get("properties", {}).values(), *node.get("$defs", {}).values(), *node.get("anyOf", [])]
    for one in [*inside, node.get("items")]:
        yield from offences(one)


PETS = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [
        (int, NUMBER),
        (Annotated[str, Field(min_length=1, pattern="^a", examples=["a"])], {"type": "string", "pattern": "^a"}),
        (Annotated[str, Field(json_schema_extra={"pattern": "^(?!a)"})], TEXT),
        (Annotated[list[int], Field(max_length=3)], {"type": "array", "items": NUMBER, "maxItems": 3}),
        (set[int], {"type": "array", "items": NUMBER}),
        (Path, TEXT),
        (dt.date, {"type": "string", "format": "date"}),
        (tuple[int, int], {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
        (Annotated[Point, "Where."], {"anyOf": [{"$ref": "#/$defs/Point"}], "description": "Where."}),
        (PETS, {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}),
        (list[Node], {"type": "array", "items": {"$ref": "#/$defs/Node"}}),
        (list[Old], {"type": "array", "items": {"$ref": "#/$defs/Old"}}),
    ],
    ids=str,
)
def test_the_strict_form_keeps_what_it_may(annotation: Any, wanted: Json) -> None:
    assert strict(annotation)["properties"]["x"] == wanted


def test_every_parameter_of_the_strict_form_is_required_and_its_default_is_told() -> None:
    assert strict(int, 3) == {
        "type": "object",
        "properties": {"x": {**NUMBER, "description": "Default: 3"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    assert strict(Annotated[str, "A unit."], "°C")["properties"]["x"]["description"] == 'A unit. Default: "°C"'


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Any, "x: any value cannot be strict"),
        (list, r"x\[\]: any value cannot be strict"),
        (dict[str, int], "x: an object with free keys cannot be strict"),
        (list[dict[str, Any]], r"x\[\]: an object with free keys cannot be strict"),
        (tuple[int, str], "x: a tuple of different types cannot be strict"),
        (Annotated[int, Field(json_schema_extra={"not": {"const": 3}})], "x: a negated schema cannot be strict"),
        (Annotated[Any, Field(json_schema_extra={"type": "array"})], "x: a list of anything cannot be strict"),
    ],
    ids=str,
)
def test_what_cannot_be_strict_is_refused_with_its_place(annotation: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        strict(annotation)


def test_a_model_that_is_a_list_is_a_list() -> None:
    assert said(RootModel[list[int]]) == {"type": "array", "items": NUMBER}
