"""A whole server over a scripted model: its settings, and what it was asked."""

from __future__ import annotations

from typing import Any

from antiphon.adapters.models.scripted import Scripted
from tests.whole.house import Json, Whole

SAYS: Json = {"acts": [{"act": "says", "text": ["Hel", "lo"]}], "repeat": True}


def waiting(gate: str, text: str = "Hi") -> Json:
    """A step that says something only when the test lets it."""
    return {"acts": [{"act": "waits", "gate": gate}, {"act": "says", "text": text}], "when": gate}


def scripted(*steps: Json) -> dict[str, Any]:
    return {"models": [{"name": "test", "kind": "scripted", "models": ["m"], "steps": list(steps)}]}


def model_of(served: Whole) -> Scripted:
    found = served.composition.catalog.endpoints["test"]
    assert isinstance(found, Scripted)
    return found


def texts(served: Whole, asked: int = -1) -> list[str]:
    """The texts that a generation had as context."""
    items = [entry.item for entry in model_of(served).asked[asked].context]
    return ["".join(part.text for part in getattr(item, "content", ())) for item in items]
