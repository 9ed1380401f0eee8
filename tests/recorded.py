"""The recorded chat streams of the shared folder, read where they stand."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple, cast

from tests.shared import SHARED


class Recording(NamedTuple):
    """One exchange: the request's body and the chunks that came back."""

    name: str
    asked: dict[str, Any]
    chunks: list[dict[str, Any]]


@cache
def chat_streams() -> tuple[Recording, ...]:
    """All of them, ordered by name."""
    paths = sorted((SHARED / "recordings").glob("*/*.json"))
    read = ((path.stem[:12], json.loads(path.read_bytes())) for path in paths)
    return tuple(
        Recording(name, exchange["request"]["body"], [chunk["__data__"] for chunk in exchange["response"]["body"]])
        for name, exchange in read
        if _is_stream(exchange["response"]["body"])
    )


def _is_stream(body: object) -> bool:
    return isinstance(body, list) and "ChatCompletionChunk" in str(cast("list[object]", body)[:1])
