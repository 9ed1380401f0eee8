"""A tool that does nothing, `{"type": "bench:noop"}`: what a round of it costs is what the loop costs.

Settings: `tools.modules = ["bench.noop"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.wire.codec import Unknown
from antiphon.wire.items import Item
from antiphon.wire.tools import Tool

PARAMETERS: Final[Mapping[str, Any]] = {"type": "object", "properties": {"ms": {"type": "integer"}}}


class _Arguments(msgspec.Struct):
    ms: int = 0


class Receipt:
    """An item that says nothing."""

    prefix = "noop_"
    phases = ("in_progress",)

    def opened(self, item_id: str) -> Item:
        """In progress."""
        return Unknown({"type": "bench:noop_call", "id": item_id, "status": "in_progress"})

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:  # noqa: ARG002 - the port's signature
        """Completed, or never run."""
        status = "incomplete" if outcome is None else "completed"
        return Unknown({"type": "bench:noop_call", "id": item_id, "status": status})


RECEIPT: Final = Receipt()


class Noop:
    """Waits as long as it is told to."""

    types = ("bench:noop",)
    repeatable = True

    async def offers(self, project: str, config: Tool, place: int, /) -> Sequence[Offer]:  # noqa: ARG002 - the port's
        """One function."""
        return (Offer("noop", "Do nothing", PARAMETERS, receipt=RECEIPT, tool=place),)

    async def run(self, project: str, call: Call, config: Tool, /) -> Outcome:  # noqa: ARG002 - the port's
        """A few words, after a while."""
        if wait := msgspec.json.decode(call.arguments, type=_Arguments).ms:
            await asyncio.sleep(wait / 1000)
        return Outcome(call.call_id, "nothing")

    async def close(self) -> None:
        """Nothing is held."""


def make(config: Plain, parts: Parts) -> Noop:
    """The convention of every adapter."""
    del config, parts
    return Noop()
