"""The tree of settings as a table of keys: for messages, for `antiphon config` and for the generated reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec
from pydantic import BaseModel

from antiphon.settings.errors import Path
from antiphon.settings.tree import Settings
from antiphon.settings.values import Chosen

Schema = Mapping[str, Any]


class Key(msgspec.Struct, frozen=True):
    """One setting: its path (lists without an index), what is allowed, what it means, its default as text."""

    path: Path
    allowed: str
    meaning: str
    default: str
    variable: str | None
    """The environment variable that sets it; None for keys inside a list of tables."""


def sections() -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Every section: name, model, and whether it is a list of tables."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield name, kind, False
        else:
            yield name, cast("type[BaseModel]", cast("Any", kind).__args__[0]), True


def variable(path: Path) -> str:
    """The rule of names: `ANTIPHON_`, the section, the key, in capitals with underscores."""
    return "ANTIPHON_" + "_".join(map(str, path)).upper()


def table() -> list[Key]:
    """Every setting that the tree itself knows, in order."""
    return [key for name, model, many in sections() for key in _keys(name, model, many=many)]


def _keys(section: str, model: type[BaseModel], *, many: bool) -> Iterator[Key]:
    schema = model.model_json_schema()
    for name, shape in cast("dict[str, dict[str, Any]]", schema["properties"]).items():
        path = (section, name)
        required = name in schema.get("required", ())
        yield Key(
            path=path,
            allowed=allowed(shape),
            meaning=str(shape.get("description", "")),
            default="required" if required else _default(shape),
            variable=None if many else variable(path),
        )


def _default(shape: Schema) -> str:
    if "shown" in shape:
        return str(shape["shown"])
    default: object = shape.get("default")
    if default is None or default in ([], {}):
        return "none"
    if isinstance(default, dict):
        return "`" + ", ".join(f"{name}={number}" for name, number in cast("dict[str, int]", default).items()) + "`"
    return f"`{msgspec.json.encode(default).decode()}`"


def find(path: Path) -> Schema | None:
    """The shape of the setting at this path; None where the tree has none."""
    names = [step for step in path if isinstance(step, str)]
    for section, model, _ in sections():
        if names[:1] == [section]:
            properties = cast("dict[str, Schema]", model.model_json_schema()["properties"])
            return properties.get(names[1]) if len(names) > 1 else {"type": "object", "properties": properties}
    return None


def names(path: Path) -> list[str]:
    """The keys that may stand in the section at this path (the empty path: the sections)."""
    if not path:
        return list(Settings.model_fields)
    shape = find(path[:1]) or {}
    return list(cast("dict[str, Schema]", shape.get("properties", {})))


def open_ended(section: str) -> bool:
    """Whether the section takes keys of an adapter as well."""
    return any(name == section and issubclass(model, Chosen) for name, model, _ in sections())


_PLAIN = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "text"}
_FORMATS = {"path": "a path", "password": "a secret"}


def allowed(shape: Schema) -> str:
    """What may stand there, in words."""
    if "anyOf" in shape:
        return " or ".join(allowed(one) for one in shape["anyOf"] if one.get("type") != "null")
    if "enum" in shape:
        return "one of " + ", ".join(map(str, shape["enum"]))
    kind = shape.get("type")
    if kind == "array":
        return f"a list of {allowed(shape['items']).removeprefix('a ')}s"
    if kind == "object":
        return f"a table of names, each with {allowed(shape['additionalProperties'])}" if _is_map(shape) else "a table"
    word = _FORMATS.get(str(shape.get("format"))) or _PLAIN.get(str(kind), "a value")
    return word + _range(shape)


def _is_map(shape: Schema) -> bool:
    return isinstance(shape.get("additionalProperties"), dict)


def _range(shape: Schema) -> str:
    low, high, above = shape.get("minimum"), shape.get("maximum"), shape.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    if above is not None:
        return f" above {above:g}"
    pattern = shape.get("pattern")
    return " of letters, digits, `.`, `_` and `-`" if pattern else ""
