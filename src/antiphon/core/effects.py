"""What a run wants from the world (effects) and what it is told (outcomes).

Law 1: the loop is a value that wants something. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from antiphon.core.deltas import Delta
from antiphon.wire.items import Item
from antiphon.wire.responses import CreateResponse, ResponseError
from antiphon.wire.tools import ToolChoice


class Exchange(msgspec.Struct, frozen=True):
    """One server-side tool call as the model saw it: what it asked (`arguments`, JSON text) and was told (`output`).

    Calls of one `round` (one generation of the run, from 0) were asked together.
    """

    call_id: str
    name: str
    arguments: str
    output: str
    round: int = 0


class Entry(msgspec.Struct, frozen=True):
    """A place in the context: an item, and for a server-side tool call the exchange that its item does not show.

    `item` is None for a call that was refused before it became an item (the tool budget was spent).
    """

    item: Item | None
    exchange: Exchange | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a server-side tool call ended. `output` is what the model is told, `fields` what the item shows of it."""

    call_id: str
    output: str
    fields: Mapping[str, Any] = {}
    failed: bool = False


class Receipt(Protocol):
    """The pure half of a server-side tool: how its call looks as an item. Lives in the tool's own file (law 11)."""

    @property
    def prefix(self) -> str:
        """The prefix of the item's id, for example `ws_`."""
        ...

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases between the item's opening and its end; the first is told when the call opens, the others when it
        starts to run. Each becomes the event `response.{item type}.{phase}`."""
        ...

    def opened(self, item_id: str) -> Item:
        """The item as it stands in `response.output_item.added`."""
        ...

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        """The final item; `outcome` is None when the call was never run (cut by the token budget, cancelled)."""
        ...


class Offer(msgspec.Struct, frozen=True):
    """A function as it is shown to the model. Without a receipt the client runs it and its call ends the run."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    receipt: Receipt | None = None
    tool: int = 0
    """The place of the tool in `request.tools` that makes this offer."""


class Call(msgspec.Struct, frozen=True):
    """A server-side tool call that the model has finished writing. `arguments` is JSON text, as the model wrote it."""

    call_id: str
    item_id: str
    name: str
    arguments: str
    offer: Offer

    @property
    def receipt(self) -> Receipt:
        """How the call looks as an item; a server-side call always has one."""
        assert self.offer.receipt is not None
        return self.offer.receipt


class Generate(msgspec.Struct, frozen=True):
    """Continue this conversation. `items` is the whole context, oldest first; `max_output_tokens` what is left."""

    model: str
    request: CreateResponse
    context: Sequence[Entry]
    offers: tuple[Offer, ...] = ()
    tool_choice: ToolChoice = "auto"
    max_output_tokens: int | None = None


class Execute(msgspec.Struct, frozen=True):
    """Run these server-side tool calls, concurrently."""

    calls: tuple[Call, ...]


class Broken(msgspec.Struct, frozen=True):
    """The effect cannot be performed: the model refused or failed. Ends the run as failed."""

    error: ResponseError


Effect: TypeAlias = Generate | Execute
Told: TypeAlias = Delta | Outcome | Broken
