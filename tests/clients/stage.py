"""What the clients meet: a whole server over a scripted model, which says, calls and waits as a test wants it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.whole.house import Json, Whole, whole
from tests.whole.scripts import scripted

MODEL = "m"
ADDS: Json = {
    "acts": [{"act": "calls", "calls": [{"name": "add", "arguments": {"a": 2, "b": 3}, "id": "call_add"}]}],
    "when": "2+3",
}


def says(*pieces: str, when: str | None = None) -> Json:
    """A step that says these pieces whenever it is asked."""
    return {"acts": [{"act": "says", "text": list(pieces)}], "repeat": True, "when": when}


def stage(data: Path, *steps: Json) -> AbstractAsyncContextManager[Whole]:
    """The server over these steps; at the end of them it says Hello."""
    return whole(data, **scripted(*steps, says("Hel", "lo")))
