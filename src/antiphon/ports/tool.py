"""Something that the server offers to the model and may run for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from antiphon.core.approvals import Past
from antiphon.core.effects import Call, Offer, Opening, Outcome
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


@runtime_checkable
class Keyed(Protocol):
    """A tool for whose backend a request may bring a key, in a header.

    Contract: the key is held for one run and in memory alone: it stands in no item, event, error or log.
    """

    @property
    def key_header(self) -> str:
        """The name of the header, in lower case: `x-antiphon-...-key`."""
        ...

    def keyed(self, key: str, /) -> Tool:
        """The tool as it is for a run with this key; closing it is nobody's business."""
        ...


@runtime_checkable
class Opener(Protocol):
    """A tool that brings more into a run than functions.

    Contract: `open` is called instead of `offers`. What its backend does wrong is told in an item of the opening, or in
    `refused`; for what the request does wrong it raises InvalidRequestError or UnservedError. Every call that `past`
    approves and that is this declaration's is among the `approved`.
    """

    async def open(self, project: str, config: ToolConfig, place: int, past: Past, /) -> Opening:
        """What this entry of what the request declares brings, at this `place`."""
        ...
