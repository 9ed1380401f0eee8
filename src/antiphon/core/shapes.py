"""JSON schemas as a reader needs them. Clients write them, so that anything may stand in them: what makes no sense is
left out, counts are bounded, and nothing raises. Only `$ref`s within the schema are followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import UNSET, Struct, UnsetType

Schema: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object", "null"]

STEPS: Final = 8
"""References and choices that are followed, one after another."""
ENTRIES: Final = 20
"""Entries of a list that are made, whatever the schema asks for."""
LENGTH: Final = 1_000
"""Characters that a text is filled up to, whatever the schema asks for."""
CHOICES: Final = 200
"""Entries of an enum that are looked at."""

_KINDS: Final[tuple[Kind, ...]] = ("string", "integer", "number", "boolean", "array", "object")
_PADDING: Final[Mapping[str, str]] = {
    "date-time": "1970-01-01T00:00:00Z",
    "date": "1970-01-01",
    "time": "00:00:00Z",
    "email": "unknown@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


class Shape(Struct, frozen=True, kw_only=True):
    """One schema with references and choices resolved; `items` and `properties` are raw schemas."""

    kind: Kind
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    fixed: Any = UNSET
    default: Any = UNSET
    properties: dict[str, Any] = {}
    required: tuple[str, ...] = ()
    items: Any = None
    fewest: int = 0
    most: int = ENTRIES
    number: float = 0
    """The least number that fits."""
    shortest: int = 0
    format: str = ""


def shape_of(schema: Any, root: Schema) -> Shape:
    """The shape of a schema that stands somewhere in `root`; of several choices the first that is not null."""
    found, nullable = _resolved(schema, root)
    kinds = _strings(found.get("type"))
    held = found.get("properties")
    properties = cast("dict[str, Any]", held) if isinstance(held, dict) else {}
    kind: Kind = "null" if kinds and set(kinds) <= {"null"} else "object" if properties else "string"
    for known in _KINDS:
        if str(known) in kinds:
            kind = known
            break
    return Shape(
        kind=kind,
        nullable=nullable or "null" in kinds,
        choices=tuple(_list(found.get("enum"))[:CHOICES]),
        fixed=found.get("const", UNSET),
        default=found.get("default", UNSET),
        properties=properties,
        required=_strings(found.get("required")),
        items=found.get("items"),
        fewest=_count(found.get("minItems"), 0, ENTRIES),
        most=_count(found.get("maxItems"), ENTRIES, ENTRIES),
        number=_least_number(found),
        shortest=_count(found.get("minLength"), 0, LENGTH),
        format=str(found.get("format") or ""),
    )


def least(schema: Any, root: Schema, room: int = 200) -> Any:
    """The least value that fits: null where that is allowed. `room` bounds the values that it is made of."""
    shape = shape_of(schema, root)
    if shape.fixed is not UNSET:
        return shape.fixed
    if shape.nullable or shape.kind == "null":
        return None
    if not isinstance(shape.default, UnsetType):
        return shape.default
    if shape.choices:
        return shape.choices[0]
    match shape.kind:
        case "integer" | "number":
            return shape.number
        case "boolean":
            return False
        case "array":
            return [least(shape.items, root, room // (shape.fewest + 1)) for _ in range(shape.fewest if room else 0)]
        case "object":
            names = shape.required if len(shape.required) < room else ()
            return {name: least(shape.properties.get(name), root, room // (len(names) + 1)) for name in names}
        case _:
            return _PADDING.get(shape.format, "").ljust(shape.shortest, "-")


def _resolved(schema: Any, root: Schema) -> tuple[Schema, bool]:
    """The schema behind references and choices, and whether one of the choices was null."""
    nullable = False
    for _ in range(STEPS):
        if not isinstance(schema, dict):
            break
        found = cast("dict[str, Any]", schema)
        options = next((options for name in ("anyOf", "oneOf", "allOf") if (options := _list(found.get(name)))), None)
        if isinstance(reference := found.get("$ref"), str):
            schema = _referred(reference, root)
        elif options is not None:
            solid = [option for option in options if option != {"type": "null"}]
            nullable = nullable or len(solid) < len(options)
            schema = solid[0] if solid else {"type": "null"}
        else:
            return found, nullable
    return {}, nullable


def _referred(reference: str, root: Schema) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        found = cast("dict[str, Any]", found).get(step) if isinstance(found, dict) else None
    return found


def _least_number(found: Schema) -> float:
    low, above, high = (_number(found.get(name)) for name in ("minimum", "exclusiveMinimum", "maximum"))
    number = low if low is not None else above + 1 if above is not None else 0
    return number if high is None else min(number, high)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any, absent: int, most: int) -> int:
    return min(max(int(value), 0), most) if isinstance(value, int) and not isinstance(value, bool) else absent


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in _list(value) if isinstance(one, str))
