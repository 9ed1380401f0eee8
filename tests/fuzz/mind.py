"""The scripted model for a process that answers a hundred thousand times: it forgets what it was asked,
and calls only what is offered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from antiphon.adapters.models.scripted import Script, Scripted
from antiphon.adapters.parts import Parts
from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate


class Forgetful(Scripted):
    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        self.asked.clear()
        if not any(offer.name == "add" for offer in wanted.offers):
            wanted = replace(wanted, context=())  # no script is for that: it says hello
        async with aclosing(super().stream(wanted)) as batches:
            async for batch in batches:
                yield batch


def make(config: Script, parts: Parts) -> Forgetful:
    """The adapter of kind `tests.fuzz.mind`."""
    return Forgetful(config, name=parts.name, clock=parts.clock)
