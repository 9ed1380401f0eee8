"""A tool that the server runs: `{"type": "lamplight:dice", "sides": 20}` in a request's `tools`.

Settings: `tools.modules = ["lamplight.dice"]`, and its keys in `tools.options."lamplight.dice"`. The types of tools and
items begin with a name of one's own and a colon; events are named after the item: `lamplight:dice_call.rolling`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.ports.tool import UnservedError
from antiphon.wire.codec import Unknown
from antiphon.wire.items import Item
from antiphon.wire.tools import Tool

MOST: Final = 100
PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"count": {"type": "integer", "description": "How many dice to roll, 1 to 100"}},
    "required": ["count"],
}


class Seed(msgspec.Struct, frozen=True):
    """The keys that the settings take."""

    seed: int | None = None


class _Arguments(msgspec.Struct):
    count: int


class Receipt:
    """How a call looks as an item."""

    prefix = "dice_"
    phases = ("in_progress", "rolling")

    def opened(self, item_id: str) -> Item:
        """Nothing is rolled yet."""
        return Unknown({"type": "lamplight:dice_call", "id": item_id, "status": "in_progress"})

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:  # noqa: ARG002
        """What was rolled; a call that never ran is incomplete."""
        status = "incomplete" if outcome is None else "failed" if outcome.failed else "completed"
        rolls = list(outcome.fields.get("rolls", ())) if outcome is not None else []
        return Unknown({"type": "lamplight:dice_call", "id": item_id, "status": status, "rolls": rolls})


RECEIPT: Final = Receipt()


class Dice:
    """Keeps the contract of `antiphon.ports.tool.Tool`."""

    types = ("lamplight:dice",)
    repeatable = True

    def __init__(self, seed: int | None) -> None:
        self._random = random.Random(seed)

    async def offers(self, project: str, config: Tool, place: int, /) -> Sequence[Offer]:  # noqa: ARG002
        """One function. What the request says wrong is UnservedError: the tool is left out, and a header says why."""
        described = f"Roll dice with {_sides(config)} sides"
        # dice are ours and change nothing; where nothing is said, results are untrusted and calls write
        offer = Offer("roll_dice", described, PARAMETERS, receipt=RECEIPT, tool=place, untrusted=False, writes=False)
        return (offer,)

    async def run(self, project: str, call: Call, config: Tool, /) -> Outcome:  # noqa: ARG002
        """What the model is told is the output; what the item shows are the fields. Nothing is raised."""
        try:
            count = msgspec.json.decode(call.arguments, type=_Arguments).count
        except msgspec.DecodeError:
            return Outcome(call.call_id, 'Nothing was rolled: the arguments must be like {"count": 2}.', failed=True)
        if not 1 <= count <= MOST:
            return Outcome(call.call_id, f"Nothing was rolled: 1 to {MOST} dice can be.", failed=True)
        rolls = [self._random.randint(1, _sides(config)) for _ in range(count)]
        return Outcome(call.call_id, f"The dice show {', '.join(map(str, rolls))}.", {"rolls": rolls})

    async def close(self) -> None:
        """Nothing is held."""


def _sides(config: Tool) -> int:
    """A type that the server does not know comes as the object that the client sent."""
    sides = config.fields.get("sides", 6) if isinstance(config, Unknown) else 6
    if not isinstance(sides, int) or not 2 <= sides <= 1000:
        raise UnservedError("'sides' must be an integer from 2 to 1000.")
    return sides


def make(config: Seed, parts: Parts) -> Dice:
    """The convention of every adapter."""
    del parts
    return Dice(config.seed)
