"""What a run has to remember beside its rows, so that it can be resumed (law 6)."""

from __future__ import annotations

import msgspec

from antiphon.core.effects import Exchange
from antiphon.wire.codec import decode, encode
from antiphon.wire.items import Item
from antiphon.wire.responses import Usage


class Flight(msgspec.Struct, frozen=True):
    """A server-side call that the model has finished writing and that has not ended."""

    index: int
    call_id: str
    item_id: str
    name: str
    arguments: str


class OpenItem(msgspec.Struct, frozen=True):
    """An item that was announced and not ended, as it was announced."""

    index: int
    item: Item


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """A run between two events.

    `first` is the output index at which the current round begins, `started` whether its calls have been handed to their
    tools, `told` the refused calls that the model was told about, each with the output index it stands before.
    """

    round: int = 0
    usage: Usage | None = None
    called: int = 0
    first: int = 0
    next_index: int = 0
    flights: tuple[Flight, ...] = ()
    started: bool = False
    told: tuple[tuple[int, Exchange], ...] = ()
    open: tuple[OpenItem, ...] = ()

    def pack(self) -> bytes:
        """For the row."""
        return encode(self)


def unpack(body: bytes | None) -> RunState:
    """What `pack` gave; a run that has no state yet is at its beginning."""
    return RunState() if body is None else decode(body, RunState)
