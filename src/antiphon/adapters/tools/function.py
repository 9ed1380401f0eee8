"""Functions that the client runs: shown to the model, never run here."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.wire.tools import FunctionTool
from antiphon.wire.tools import Tool as ToolConfig


class Function:
    """`{"type": "function"}`. Its offer has no receipt, so a call of it ends the run and goes to the client."""

    types = ("function",)
    repeatable = False

    async def offers(self, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """The one function, as the request describes it."""
        if not isinstance(config, FunctionTool):
            return ()
        return (
            Offer(
                name=config.name,
                description=config.description,
                parameters=config.parameters,
                strict=config.strict,
                tool=place,
            ),
        )

    async def run(self, call: Call, config: ToolConfig, /) -> Outcome:  # noqa: ARG002 - the port's signature
        """Refused: only the client can run it. The run never asks for this."""
        return Outcome(call.call_id, f"The function {call.name} is run by the client, not by the server.", failed=True)

    async def close(self) -> None:
        """Nothing is held."""


def make(config: Plain, parts: Parts) -> Function:
    """Always served."""
    del config, parts
    return Function()
