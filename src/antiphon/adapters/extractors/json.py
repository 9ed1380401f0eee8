"""JSON as lines of `path: value`, so that every piece of it says what its values are.

`{"price": {"net": 5}}` is `price.net: 5`. The members of a list of objects are paragraphs that begin with their place;
lists of plain values are one line. JSON Lines are a list. What is not JSON in the end, as a file with comments, is read
as the text that it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final, TypeAlias, cast

import msgspec

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

DEPTH: Final = 200
"""Levels of nesting that are read."""
PATH: Final = 200
"""Characters of a path that are shown: its end."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


class JsonReader:
    """Reads JSON and JSON Lines."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """JSON, its relatives by line, and notebooks."""
        return (
            ".json",
            ".jsonl",
            ".ndjson",
            ".geojson",
            ".jsonld",
            ".ipynb",
            ".har",
            ".webmanifest",
            ".jsonc",
            ".json5",
        )

    @property
    def media(self) -> tuple[str, ...]:
        """The types of JSON."""
        return tuple(
            "application/json application/jsonl application/x-ndjson application/x-jsonlines application/ld+json"
            " application/geo+json application/x-ipynb+json text/json".split()
        )

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """The lines; raises ExtractionError."""
        text = decode(content)
        lines = PurePath(filename.lower()).suffix in {".jsonl", ".ndjson"}
        value = _whole(text) if not lines else _lines(text)
        if value is None and not lines:
            value = _lines(text)
        if value is None:
            return Extracted(text)
        return written(value[0])


def _whole(text: str) -> tuple[Json] | None:
    try:
        return (cast("Json", msgspec.json.decode(text)),)
    except msgspec.DecodeError:
        return None
    except RecursionError:
        raise _deep() from None


def _lines(text: str) -> tuple[Json] | None:
    """One value a line; None when a line is none, or there is only one."""
    values: list[Json] = []
    for line in text.split("\n"):
        if line.strip():
            value = _whole(line)
            if value is None:
                return None
            values.append(value[0])
    return (values,)


def _deep() -> ExtractionError:
    return ExtractionError("invalid_file", f"The JSON is nested more than {DEPTH} levels deep.")


def written(value: Json) -> Extracted:
    """A value as lines. Raises ExtractionError when it is nested too deeply."""
    made: list[str] = []
    headings: list[int] = []
    at = 0
    for line, first in _walk(value, "", 0):
        if first and made and made[-1]:
            made.append("")
            at += 1
        if first:
            headings.append(at)
        made.append(line)
        at += len(line) + 1
    return Extracted("\n".join(made), headings=tuple(headings))


def _walk(value: Json, path: str, depth: int) -> Iterator[tuple[str, bool]]:
    """Lines, and whether one begins a member of a list of objects."""
    if depth > DEPTH:
        raise _deep()
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else key, depth + 1)
        if not value and path:
            yield f"{_shown(path)}: (empty)", False
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for place, inner in enumerate(value):
            first = isinstance(inner, dict)
            for line, _ in _walk(inner, f"{path}[{place}]", depth + 1):
                yield line, first
                first = False
    else:
        words = ", ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)
        yield (f"{_shown(path)}: {words}" if path else words), False


def _shown(path: str) -> str:
    return path if len(path) <= PATH else f"…{path[-PATH:]}"


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return JsonReader()
