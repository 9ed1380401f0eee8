"""Where in a body a fault lies and what was wanted there.

msgspec tells the path (`$.tools[0].name`, `$.metadata[...]`) but neither the value nor what would have been right; both
are found here by walking the value and the description of the type side by side. Only failures pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from msgspec import inspect

_STEP: Final = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_NOUNS: Final = (
    (inspect.StrType | inspect.LiteralType | inspect.EnumType, "a string"),
    (inspect.IntType, "an integer"),
    (inspect.FloatType, "a decimal"),
    (inspect.BoolType, "a boolean"),
    (inspect.StructType | inspect.DictType, "an object"),
)


class Fault(NamedTuple):
    """The value at fault, its dotted path, and the type that was wanted there (None: not known)."""

    path: str
    value: object
    wanted: inspect.Type | None


def dotted(path: str, name: str) -> str:
    """The path of a member of the object at `path`."""
    return f"{path}.{name}" if path else name


@lru_cache(maxsize=256)
def described(wanted: object) -> inspect.Type | None:
    """How msgspec describes a type; None for one that it reads but does not describe."""
    try:
        return inspect.type_info(wanted)
    except TypeError:
        return None


def locate(fault: Fault, path: str, *, keys: bool) -> list[Fault]:
    """All values that msgspec's path may mean: one, unless it leads through the values of an object (`[...]`).

    `keys`: the fault is in a key of the object at the path.
    """
    faults = [fault]
    for step in _STEP.finditer(path):
        field, index = step["field"], step["index"]
        if field is not None:
            faults = [_field(one, field) for one in faults]
        elif index == "...":
            faults = [deeper for one in faults for deeper in _values(one)]
        else:
            faults = [_element(one, int(index)) for one in faults]
    if keys:
        faults = [Fault(dotted(one.path, key), key, None) for one in faults for key in as_object(one.value)]
    return faults or [fault]


def supported(wanted: inspect.Type | None) -> list[object]:
    """The values of a closed set."""
    return [value for one in _members(wanted) if isinstance(one, inspect.LiteralType) for value in one.values]


def phrases(wanted: inspect.Type | None) -> list[str]:
    """The type in words, one phrase per alternative; null is left out, as OpenAI does."""
    return list(dict.fromkeys(phrase for one in _members(wanted) if (phrase := _phrase(one))))


def as_object(value: object) -> dict[str, object]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_array(value: object) -> list[object]:
    """The value if it is an array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def _members(wanted: inspect.Type | None) -> list[inspect.Type]:
    """The alternatives of a type, wrappings removed."""
    if wanted is None:
        return []
    if isinstance(wanted, inspect.Metadata):
        return _members(wanted.type)
    if isinstance(wanted, inspect.UnionType):
        return [one for member in wanted.types for one in _members(member)]
    return [wanted]


def _field(fault: Fault, name: str) -> Fault:
    value = as_object(fault.value)
    structs = [one for one in _members(fault.wanted) if isinstance(one, inspect.StructType)]
    return Fault(dotted(fault.path, name), value.get(name), _field_type(structs, name, value))


def _field_type(structs: Sequence[inspect.StructType], name: str, value: dict[str, Any]) -> inspect.Type | None:
    """The type of a field of the struct that the value's tag names; for the tag itself the set of all tags."""
    tags = tuple(one.tag for one in structs if one.tag_field == name and one.tag is not None)
    if tags:
        return inspect.LiteralType(tags)
    for one in structs:
        if one.tag_field is None or value.get(one.tag_field, one.tag) == one.tag:
            for field in one.fields:
                if field.encode_name == name:
                    return field.type
    return None


def _values(fault: Fault) -> list[Fault]:
    inner = next((one.value_type for one in _members(fault.wanted) if isinstance(one, inspect.DictType)), None)
    return [Fault(dotted(fault.path, key), one, inner) for key, one in as_object(fault.value).items()]


def _element(fault: Fault, place: int) -> Fault:
    array = as_array(fault.value)
    inside = array[place] if place < len(array) else None
    inner = next((found for one in _members(fault.wanted) if (found := _item_type(one))), None)
    return Fault(f"{fault.path}[{place}]", inside, inner)


def _item_type(wanted: inspect.Type) -> inspect.Type | None:
    return wanted.item_type if isinstance(wanted, inspect.VarTupleType | inspect.ListType) else None


def _phrase(wanted: inspect.Type) -> str | None:
    if item := _item_type(wanted):
        inner = phrases(item)
        return f"an array of {inner[0].split(' ', 1)[1]}s" if len(inner) == 1 and inner[0] != "an array" else "an array"
    return next((words for kind, words in _NOUNS if isinstance(wanted, kind)), None)
