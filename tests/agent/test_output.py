"""Output types: the format of the request, and the value that the text is made to."""

from __future__ import annotations

import dataclasses
import enum
import typing
from typing import Any, Literal

import pytest
from pydantic import BaseModel, RootModel

from antiphon.agent.errors import AgentError, ConfigurationError
from antiphon.agent.output import Output, OutputError


@dataclasses.dataclass
class Weather:
    """A dataclass."""

    city: str
    days: int = 3


class Book(BaseModel):
    """A model."""

    title: str
    pages: int | None = None


class Tree(BaseModel):
    """A model that holds itself."""

    inside: list[Tree] = []


class Word(typing.TypedDict):
    """A TypedDict of the standard library."""

    text: str


class Mood(enum.Enum):
    """An enum."""

    GOOD = "good"
    BAD = "bad"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Weather, '{"city": "x", "days": 1}', Weather("x", 1)),
        (Book, '{"title": "x", "pages": null}', Book(title="x")),
        (Tree, '{"inside": [{"inside": []}]}', Tree(inside=[Tree()])),
        (Word, '{"text": "x"}', {"text": "x"}),
        (list[Weather], '{"value": [{"city": "x", "days": 1}]}', [Weather("x", 1)]),
        (list[Word], '{"value": [{"text": "x"}]}', [{"text": "x"}]),
        (Literal["a", "b"], '{"value": "a"}', "a"),
        (Mood, '{"value": "bad"}', Mood.BAD),
        (int, '{"value": 3}', 3),
        (bool, '{"value": true}', True),
        (str, '{"value": "x"}', "x"),
        (Weather | Book, '{"value": {"title": "x", "pages": null}}', Book(title="x")),
        (Weather | None, '{"value": null}', None),
        (tuple[float, float], '{"value": [1, 2]}', (1.0, 2.0)),
        (RootModel[list[int]], '{"value": [1]}', RootModel[list[int]]([1])),
    ],
    ids=str,
)
def test_a_text_is_made_a_value_of_the_type(kind: Any, text: str, value: Any) -> None:
    output = Output.of(kind)

    assert output.parse(text) == value
    assert output.format["type"] == "json_schema"
    assert output.format["strict"] is True
    assert output.format["schema"]["type"] == "object"
    assert output.format["schema"]["additionalProperties"] is False
    assert output.format["schema"]["required"] == list(output.format["schema"]["properties"])


def test_the_format_of_a_dataclass() -> None:
    assert Output.of(Weather).format == {
        "type": "json_schema",
        "name": "Weather",
        "schema": {
            "type": "object",
            "description": "A dataclass.",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "description": "Default: 3"},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Book, "Book"), (list[Book], "output"), (Literal["a"], "output"), (RootModel[list[int]], "RootModel_list_int__")],
    ids=str,
)
def test_a_name_is_one_that_the_api_takes(kind: Any, name: str) -> None:
    assert Output.of(kind).format["name"] == name


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Weather, "It is warm.", "the output is no Weather: Invalid JSON: "),
        (Weather, "", "the output is no Weather: Invalid JSON: "),
        (Weather, "[]", "the output is no Weather: Input should be an object"),
        (Weather, '{"days": "many"}', "city: Field required; days: Input should be a valid integer"),
        (list[int], "[1]", "the output is no output: "),
        (Mood, '{"value": "fine"}', r"value: Input should be 'good' or 'bad' \(got 'fine'\)"),
        (int, '{"value": 1, "more": 2}', "more: Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_text_that_does_not_fit_is_an_error_that_says_why(kind: Any, text: str, words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught:
        Output.of(kind).parse(text)
    assert caught.value.text == text
    assert isinstance(caught.value, AgentError)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (dict[str, int], "output_type: value: an object with free keys cannot be strict"),
        (list[Any], r"output_type: value\[\]: any value cannot be strict"),
        (object, "output_type: value: any value cannot be strict"),
        (type("Opaque", (), {}), "output_type: .*Opaque.* has no JSON schema"),
        ({"type": "object"}, "a schema is sent as text.format"),
        ("Weather", "a type is wanted, not 'Weather'"),
        (None, "a type is wanted, not None"),
        (3, "output_type: 3 has no JSON schema"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_demanded_is_refused(kind: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Output.of(kind)
