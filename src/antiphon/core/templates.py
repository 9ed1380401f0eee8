"""Templates of prompts: text with `{{ name }}` in the places of variables. Substituted values are not looked into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*\}\}")


def names(template: str) -> tuple[str, ...]:
    """The variables that have a place, each once, in order of appearance."""
    return tuple(dict.fromkeys(_PLACE.findall(template)))


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with the values in their places; a place without a value stays as it is."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)


def length(template: str, values: Mapping[str, str]) -> int:
    """How many characters `filled` would give: a short template can repeat a long value very often."""
    grown = (len(values[place[1]]) - len(place[0]) for place in _PLACE.finditer(template) if place[1] in values)
    return len(template) + sum(grown)
