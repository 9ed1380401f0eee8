"""Responses in a few lines, and how two of them differ: ids, times and counts of tokens do not matter. Pure.

Takes what clients have in hand: JSON objects, objects of the official client, or anything with the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import ndiff
from itertools import zip_longest
from typing import Any, Final, cast

_OWN: Final = {"id", "call_id", "type", "status", "role", "created_by", "created_at"}
"""What does not go into the line of an item: volatile, or said already."""


def is_response(value: object) -> bool:
    """Whether this looks like a response of the Responses API."""
    return _field(value, "object") == "response" and isinstance(_field(value, "output"), Sequence)


def outline(response: object) -> list[str]:
    """A line for each output item: `message: Hello.`, `function_call: add {"a": 1}`. Takes a response, or a list of
    items. A response that is not completed ends with its status and error."""
    if not is_response(response):
        return [_line(item) for item in cast("Sequence[object]", response)]
    lines = [_line(item) for item in cast("Sequence[object]", _field(response, "output"))]
    status, error = _field(response, "status"), _field(response, "error")
    if error is not None:
        lines.append(f"{status}: {_field(error, 'code')}: {_field(error, 'message')}")
    elif status not in {"completed", None}:
        details = _field(response, "incomplete_details")
        lines.append(f"{status}" if details is None else f"{status}: {_field(details, 'reason')}")
    return lines


def differences(one: object, other: object) -> list[str]:
    """How two responses differ, item by item; [] where they say the same. `-` is the first, `+` the second."""
    lines: list[str] = []
    for place, (mine, its) in enumerate(zip_longest(outline(one), outline(other))):
        if mine == its:
            continue
        lines.append(f"output[{place}]:")
        if mine is None or its is None:
            lines.append(f"  - {mine}" if its is None else f"  + {its}")
        else:
            lines += [f"  {line.rstrip()}" for line in ndiff(mine.splitlines(), its.splitlines())]
    return lines


def _line(item: object) -> str:
    kind = _field(item, "type") or "message"
    status = _field(item, "status")
    cut = f" ({status})" if status in {"incomplete", "failed"} else ""
    return f"{kind}{cut}: {_said(str(kind), item)}".rstrip(": ")


def _said(kind: str, item: object) -> str:
    if kind == "message":
        return _text(_field(item, "content"))
    if kind == "reasoning":
        return _text(_field(item, "summary")) or _text(_field(item, "content"))
    if kind == "function_call":
        return f"{_field(item, 'name')} {_json(_parsed(_field(item, 'arguments')))}"
    rest = {name: value for name, value in _fields(item) if name not in _OWN and value is not None}
    return ", ".join(f"{name}={_json(_plain(value))}" for name, value in rest.items())


def _text(content: object) -> str:
    """The texts of parts; `refused: …` for a refusal, its type for what is no text."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in cast("Sequence[object]", content or ()):
        text, refusal, kind = (_field(part, name) for name in ("text", "refusal", "type"))
        if text is not None:
            texts.append(str(text))
        else:
            texts.append(f"refused: {refusal}" if refusal else f"<{kind}>")
    return "".join(texts)


def _parsed(arguments: object) -> object:
    """The arguments of a call as JSON, so that their spacing does not matter."""
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except json.JSONDecodeError:
        return arguments


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _plain(value: object) -> object:
    """A value of the official client as JSON."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(held) for name, held in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence):
        return [_plain(held) for held in cast("Sequence[object]", value)]
    return {name: _plain(held) for name, held in _fields(value) if held is not None}


def _fields(value: object) -> Iterator[tuple[str, Any]]:
    own: object = getattr(value, "__dict__", {})
    held = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else cast("Mapping[str, Any]", own)
    for name, each in held.items():
        if not name.startswith("_"):
            yield name, each


def _field(value: object, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    return getattr(value, name, None)
