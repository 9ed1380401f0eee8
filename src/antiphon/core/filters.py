"""Filters over attributes: comparisons, and `and` and `or` of them, nested.

An attribute that is absent or of another kind than the value (a string and a number; true is no number) fits no
comparison but `ne` and `nin`, which it always fits. Strings are ordered by their characters; true and false have no
order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.faults import dotted
from antiphon.wire.invalid import array_too_long, invalid_type, invalid_value, missing_parameter, unknown_parameter

Value: TypeAlias = str | bool | int | float
Operator: TypeAlias = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]

MOST_LEVELS: Final = 16
"""How deep compounds may be nested; a comparison alone is one level."""
MOST_COMPARISONS: Final = 500
"""Comparisons of one filter."""
MOST_VALUES: Final = 1000
"""Values of one `in` or `nin`."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`key` compared with `value`; `in` and `nin` take several values."""

    type: Operator
    key: str
    value: Value | tuple[Value, ...]


class Compound(msgspec.Struct, frozen=True, kw_only=True):
    """All of the filters, or any of them. `and` of none fits everything, `or` of none fits nothing."""

    type: Literal["and", "or"]
    filters: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Compound

_COMPARISONS: Final[tuple[str, ...]] = get_args(Operator)
_COMPOUNDS: Final = ("and", "or")
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ABSENT: Final = frozenset({"ne", "nin"})
"""What an attribute fits that is not there."""


def fits(wanted: Filter | None, attributes: Mapping[str, Value]) -> bool:
    """Whether attributes pass; None lets everything pass."""
    if wanted is None:
        return True
    if isinstance(wanted, Comparison):
        return holds(wanted, attributes.get(wanted.key))
    every = all if wanted.type == "and" else any
    return every(fits(each, attributes) for each in wanted.filters)


def holds(wanted: Comparison, value: Value | None) -> bool:
    """Whether the comparison holds for this value of its key; None: there is none."""
    if value is None:
        return wanted.type in _ABSENT
    given = wanted.value if isinstance(wanted.value, tuple) else (wanted.value,)
    if wanted.type in {"eq", "in"}:
        return any(_equal(value, each) for each in given)
    if wanted.type in _ABSENT:
        return not any(_equal(value, each) for each in given)
    return any(_kind(value) is _kind(each) is not bool and _ORDERS[wanted.type](value, each) for each in given)


def _kind(value: Value) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _equal(one: Value, other: Value) -> bool:
    return _kind(one) is _kind(other) and one == other


# what clients send


def parse_filter(raw: object, param: str) -> Filter:
    """The filter that stands at `param` of a body. Raises InvalidRequestError that names the place in it."""
    return _Reading(param).filter(raw, param, 1)


class _Reading:
    """Counts the comparisons over one filter."""

    def __init__(self, param: str) -> None:
        self._param = param
        self._comparisons = 0

    def filter(self, raw: object, path: str, level: int) -> Filter:
        if not isinstance(raw, dict):
            raise invalid_type(path, "an object", raw)
        fields = cast("dict[str, object]", raw)
        kind = _given(fields, "type", path)
        if not isinstance(kind, str):
            raise invalid_type(dotted(path, "type"), "a string", kind)
        if kind in _COMPOUNDS:
            return self._compound(fields, path, level)
        if kind in _COMPARISONS:
            return self._comparison(fields, path)
        raise invalid_value(dotted(path, "type"), kind, (*_COMPARISONS, *_COMPOUNDS))

    def _compound(self, fields: dict[str, object], path: str, level: int) -> Compound:
        _known(fields, ("type", "filters"), path)
        place, inner = dotted(path, "filters"), _given(fields, "filters", path)
        if not isinstance(inner, list):
            raise invalid_type(place, "an array of objects", inner)
        if level >= MOST_LEVELS:
            raise _too_much(self._param, f"filters are nested more than {MOST_LEVELS} levels deep")
        each = enumerate(cast("list[object]", inner))
        found = tuple(self.filter(one, f"{place}[{number}]", level + 1) for number, one in each)
        return Compound(type=cast("Literal['and', 'or']", fields["type"]), filters=found)

    def _comparison(self, fields: dict[str, object], path: str) -> Comparison:
        _known(fields, ("type", "key", "value"), path)
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise _too_much(self._param, f"a filter takes at most {MOST_COMPARISONS} comparisons")
        key, kind = _given(fields, "key", path), cast("Operator", fields["type"])
        if not isinstance(key, str):
            raise invalid_type(dotted(path, "key"), "a string", key)
        read = _values if kind in {"in", "nin"} else _one
        return Comparison(type=kind, key=key, value=read(_given(fields, "value", path), dotted(path, "value")))


def _values(raw: object, path: str) -> tuple[Value, ...]:
    if not isinstance(raw, list):
        raise invalid_type(path, "an array of strings, numbers or booleans", raw)
    values = cast("list[object]", raw)
    if len(values) > MOST_VALUES:
        raise array_too_long(path, MOST_VALUES, len(values))
    return tuple(_one(each, f"{path}[{number}]") for number, each in enumerate(values))


def _one(raw: object, path: str) -> Value:
    if isinstance(raw, str | bool | int | float):
        return raw
    raise invalid_type(path, "a string, a number or a boolean", raw)


def _given(fields: dict[str, object], name: str, path: str) -> object:
    if name not in fields:
        raise missing_parameter(dotted(path, name))
    return fields[name]


def _known(fields: dict[str, object], names: tuple[str, ...], path: str) -> None:
    for name in fields:
        if name not in names:
            raise unknown_parameter(dotted(path, name))


def _too_much(param: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid '{param}': {why}.", param=param, code="invalid_value")
