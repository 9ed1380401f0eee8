"""Something that the server offers to the model and may run for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.core.effects import Call, Offer, Outcome
from antiphon.wire.tools import Tool as ToolConfig


class UnservedError(Exception):
    """The type is served, but not as this entry configures it. The words are a sentence for the client."""


class Tool(Protocol):
    """One type of tool.

    Contract: `run` never raises for what the tool, its backend or the model's arguments did wrong: that is an Outcome
    with `failed` and words the model can act on. Cancelling `run` stops the work. `run` of a call is never started
    twice unless `repeatable`.
    """

    @property
    def types(self) -> tuple[str, ...]:
        """The values of `type` in `request.tools` that this tool serves."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether a call that was interrupted may be run again (law 7)."""
        ...

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """The functions shown to the model for this entry of what the request declares, which stands at `place`.
        Raises UnservedError."""
        ...

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        """Run the call. Not called for offers without a receipt."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
