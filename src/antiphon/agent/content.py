"""What a tool gave, as the text that the model reads.

Law: text stays as it is and everything else is JSON; what cannot be JSON is an error that the model is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gave: the text that the model reads, whether it is an error, and what only the program reads."""

    content: str
    is_error: bool = False
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


def told(value: Any) -> ToolOutput:
    """The output that says `value`. A dict of exactly `content` and `metadata` is both; a ToolOutput stays.

    Raises TypeError or ValueError for what cannot be JSON, or is no Unicode text.
    """
    if isinstance(value, ToolOutput):
        return ToolOutput(text(value.content), value.is_error, dict(value.metadata))
    if isinstance(value, dict) and value.keys() == {"content", "metadata"}:
        parts = cast("dict[str, Any]", value)
        if isinstance(parts["metadata"], Mapping):
            return ToolOutput(text(parts["content"]), metadata=dict(cast("Mapping[str, Any]", parts["metadata"])))
    return ToolOutput(text(value))


def text(value: Any) -> str:
    """A string as it is (the text of an enum that is one, too), anything else as JSON."""
    if isinstance(value, str):
        written = str(value.value) if isinstance(value, Enum) else value
    else:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    written.encode()  # half of a surrogate pair cannot be sent: better known here than in the request
    return written


def _plain(value: Any) -> Any:
    """One step towards JSON; what is inside comes here in its turn."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True)
        case Enum():
            return value.value
        case bytes() | bytearray() | memoryview():
            raise TypeError("bytes are no JSON: decode them, or give base64 text")
        case Mapping():
            return dict(cast("Mapping[Any, Any]", value))
        case AbstractSet():
            return _ordered(cast("AbstractSet[Any]", value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {one.name: getattr(value, one.name) for one in fields(value)}
        case _:
            return to_jsonable_python(value)  # dates, Decimal, UUID, Path and so on


def _ordered(values: AbstractSet[Any]) -> list[Any]:
    """A set has no order: sorted where that is possible, the same call gives the same text."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)
