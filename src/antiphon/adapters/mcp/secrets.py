"""The secrets that a server was given, taken out of what it says.

Law: they are in memory only. What is short or looks like a word is not taken for a secret: it would tear holes into
texts and protect nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from antiphon.ports.mcp import McpServer

LONG: Final = 8
"""A value of so many characters is taken for a secret."""
SEGMENT: Final = 16
"""A part of a path of so many characters, with a digit in it, likewise."""
REDACTED: Final = "<redacted>"
_NAMED: Final = re.compile("key|token|secret|password", re.IGNORECASE)


def secrets_of(server: McpServer) -> tuple[str, ...]:
    """The longest first."""
    found = {secret for secret in _given(server) if len(secret) >= LONG}
    return tuple(sorted(found, key=len, reverse=True))


def scrubbed(text: str, secrets: Sequence[str]) -> str:
    """The text without them."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text


def scrubbed_parts(value: Any, secrets: Sequence[str]) -> Any:
    """The JSON value without them in any of its texts."""
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, list):
        return [scrubbed_parts(each, secrets) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {scrubbed(key, secrets): scrubbed_parts(each, secrets) for key, each in fields.items()}
    return value


def _given(server: McpServer) -> Iterator[str]:
    for value in server.headers.values():
        yield value
        yield from value.split()[1:]  # what stands behind `Bearer`
    for name, value in server.env.items():
        if _NAMED.search(name):
            yield value
    if server.url is not None:
        yield from _in_url(server.url)


def _in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        yield url
        return
    yield password or ""
    if len(parts.path) > 1 and (parts.query or _odd(parts.path)):
        yield f"{parts.path}?{parts.query}" if parts.query else parts.path
    for segment in parts.path.split("/"):
        if _odd(segment):
            yield segment
            yield unquote(segment)
    yield parts.query
    for _, value in parse_qsl(parts.query):
        yield value


def _odd(segment: str) -> bool:
    """Whether a part of a path is no word."""
    return len(segment) >= SEGMENT and any(map(str.isdigit, segment))
