"""Fields of what a client's library gives: its models or plain dicts, of any version.

Law: nothing here raises; what is not there is None, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

Json: TypeAlias = dict[str, Any]


def field(thing: object, name: str) -> Any:
    """The field of a model or a dict; None where there is none."""
    if isinstance(thing, Mapping):
        return cast("Mapping[str, Any]", thing).get(name)
    return getattr(thing, name, None)


def text(thing: object, name: str) -> str:
    """The field, where it is a string; else ""."""
    found = field(thing, name)
    return found if isinstance(found, str) else ""


def number(thing: object, name: str) -> int | None:
    """The field, where it is an integer."""
    found = field(thing, name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def members(thing: object, name: str) -> list[Any]:
    """The field, where it is a list; else []."""
    found = field(thing, name)
    return list(cast("Sequence[Any]", found)) if isinstance(found, list | tuple) else []


def plain(thing: object) -> Any:
    """The thing as JSON has it: a model as it came over the wire, with what it was given and nothing more."""
    if thing is None or isinstance(thing, str | int | float | bool):
        return thing
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in cast("Mapping[Any, Any]", thing).items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in cast("Sequence[Any]", thing)]
    for name, options in _DUMPS.items():
        if callable(dump := getattr(thing, name, None)):
            return dump(**options)
    return {name: plain(value) for name, value in getattr(thing, "__dict__", {}).items() if not name.startswith("_")}


def mapped(thing: object) -> Json:
    """`plain` of an object; {} of anything else."""
    found = plain(thing)
    return cast("Json", found) if isinstance(found, dict) else {}


_DUMPS: dict[str, Json] = {
    "to_dict": {"mode": "json", "exclude_unset": True, "warnings": False},
    "model_dump": {"mode": "json", "exclude_unset": True, "by_alias": True, "warnings": False},
}
"""How the models of these libraries and of pydantic give their fields under the names of the wire."""
