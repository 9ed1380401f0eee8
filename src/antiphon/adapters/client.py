"""Tools that the client runs: shown to the model as functions, never run here.

A kind is its file in `tools`: the functions that it offers, and the form in which their calls go to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from antiphon.core.effects import Call, Offer, Outcome
from antiphon.wire.tools import Tool as ToolConfig

Offering: TypeAlias = Callable[[ToolConfig, int], Sequence[Offer]]


class ClientTool:
    """The tool port over the functions that it offers, by config and place. Its calls end the run."""

    repeatable = False

    def __init__(self, *types: str, offering: Offering) -> None:
        self.types = types
        self._offering = offering

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:  # noqa: ARG002 - as below
        """The functions of this declaration; raises UnservedError for one that only a hosted tool could serve."""
        return self._offering(config, place)

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:  # noqa: ARG002 - the port's signature
        """Refused: only the client can run it. The run never asks for this."""
        return Outcome(call.call_id, f"The function {call.name} is run by the client, not by the server.", failed=True)

    async def close(self) -> None:
        """Nothing is held."""
