"""What a tool gives becomes text: strings as they are, the rest as JSON, and no surprise in between."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from antiphon.agent.content import ToolOutput, told
from antiphon.agent.events import ToolCall
from antiphon.agent.tools import Toolbox


class Mood(enum.Enum):
    """An enum."""

    GOOD = "good"


class Text(enum.StrEnum):
    """An enum that is text."""

    A = "a"


class Weather(BaseModel):
    """A model."""

    city: str
    high: float = Field(alias="max")
    day: dt.date


@dataclasses.dataclass
class Trip:
    """A dataclass around it."""

    weather: Weather
    mood: Mood
    stops: tuple[str, ...] = ()


class Pair(NamedTuple):
    """Two."""

    a: int
    b: int


WEATHER = Weather(city="Köln", max=21.5, day=dt.date(2026, 1, 2))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is: ü {", "as it is: ü {"),
        ("", ""),
        (Text.A, "a"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ({"ü": [1, (2,)]}, '{"ü": [1, [2]]}'),
        (WEATHER, '{"city": "Köln", "max": 21.5, "day": "2026-01-02"}'),
        (
            Trip(WEATHER, Mood.GOOD, ("a",)),
            '{"weather": {"city": "Köln", "max": 21.5, "day": "2026-01-02"}, "mood": "good", "stops": ["a"]}',
        ),
        ([Mood.GOOD, Text.A], '["good", "a"]'),
        ({3, 1, 2}, "[1, 2, 3]"),
        (frozenset({"a"}), '["a"]'),
        (Pair(1, 2), "[1, 2]"),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        (collections.OrderedDict({"a": 1}), '{"a": 1}'),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), '"2026-01-02T03:00:00Z"'),
        (dt.timedelta(hours=1), '"PT1H"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Path("a") / "b", '"a/b"'),
        ({1: "a", None: "b"}, '{"1": "a", "null": "b"}'),
    ],
    ids=repr,
)
def test_values_are_text_or_json(value: Any, content: str) -> None:
    assert told(value) == ToolOutput(content)


def test_a_set_that_has_no_order_is_a_list_of_any_order() -> None:
    assert sorted(json.loads(told({1, "a"}).content), key=str) == [1, "a"]


def test_a_dict_of_content_and_metadata_is_split() -> None:
    assert told({"content": "text", "metadata": {"k": 1}}) == ToolOutput("text", metadata={"k": 1})
    assert told({"content": [1], "metadata": {}}) == ToolOutput("[1]")


@pytest.mark.parametrize(
    "value",
    [{"content": 1}, {"content": 1, "metadata": {}, "more": 1}, {"content": 1, "metadata": None}, {"metadata": {}}],
    ids=str,
)
def test_other_dicts_are_not_split(value: Any) -> None:
    assert told(value) == ToolOutput(json.dumps(value))


def test_an_output_stays_as_it_is() -> None:
    assert told(ToolOutput("no", is_error=True, metadata={"a": 1})) == ToolOutput(
        "no", is_error=True, metadata={"a": 1}
    )
    loose: Any = {"not": "text"}
    assert told(ToolOutput(loose)) == ToolOutput('{"not": "text"}')


def circle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"raw", "TypeError: bytes are no JSON: decode them, or give base64 text"),
        ({"a": [b"raw"]}, "TypeError: bytes are no JSON"),
        (float("nan"), "ValueError: Out of range float values"),
        (object(), "PydanticSerializationError: Unable to serialize unknown type: <class 'object'>"),
        (Weather, "PydanticSerializationError: "),
        (circle(), "ValueError: Circular reference detected"),
        ({(1, 2): 3}, "TypeError: keys must be str"),
        ("half \ud800", "UnicodeEncodeError: "),
        ({"a": "half \ud800"}, "UnicodeEncodeError: "),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_cannot_be_sent_is_told_to_the_model(value: Any, words: str) -> None:
    def give() -> Any:
        return value

    output = Toolbox([give]).run(ToolCall("call_1", "give", ""))
    assert output.is_error
    assert output.content.startswith(f"The tool gave what cannot be sent: {words}")
