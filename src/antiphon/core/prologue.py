"""What stands before the first generation of a run: items that its tools bring, and calls that were approved since.

Law: an approved call is the call that was asked for, with its arguments, and runs before the model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from antiphon.core.effects import Approved, Call, Entry, Exchange, Offer, Place, Preface
from antiphon.core.slots import spelled, told
from antiphon.core.state import Flight
from antiphon.wire import events as ev
from antiphon.wire.events import Event
from antiphon.wire.items import identified

NewId: TypeAlias = Callable[[str], str]
UNKNOWN: Final = "The call was interrupted; its effect is unknown. Do not assume that it happened or did not."
"""What the model is told of a call that nobody saw end."""


class Prologue(msgspec.Struct, frozen=True):
    """The entries that are finished and the calls that wait to be run, by output index, and the events of both."""

    entries: dict[int, Entry]
    calls: dict[int, Call]
    events: list[Event]


def prologue(prefaces: Sequence[Preface], approved: Sequence[Approved], new_id: NewId) -> Prologue:
    """The beginning of an output."""
    entries: dict[int, Entry] = {}
    calls: dict[int, Call] = {}
    events: list[Event] = []
    for index, preface in enumerate(prefaces):
        item_id = new_id(preface.prefix)
        opened, closed = identified(preface.opened, item_id), identified(preface.closed, item_id)
        events.append(ev.OutputItemAdded(output_index=index, item=opened))
        events.extend(told(opened, preface.phases, index))
        events.append(ev.OutputItemDone(output_index=index, item=closed))
        entries[index] = Entry(closed)
    for index, each in enumerate(approved, len(prefaces)):
        receipt = each.offer.receipt
        assert receipt is not None
        call = Call(each.request_id, new_id(receipt.prefix), each.offer.name, each.arguments, each.offer)
        opened = receipt.opened(call.item_id)
        events.append(ev.OutputItemAdded(output_index=index, item=opened))
        events.extend(told(opened, receipt.phases[:1], index))
        if each.offer.dictation is not None:
            at = Place(call.item_id, call.call_id, index)
            events.extend(spelled(each.offer.dictation, at, call.arguments, told=False))
        events.extend(told(opened, receipt.phases[1:], index))
        calls[index] = call
    return Prologue(entries, calls, events)


def airborne(
    flights: Iterable[Flight], approved: Sequence[Approved], offers: Sequence[Offer], round_: int
) -> tuple[dict[int, Call], dict[int, Exchange]]:
    """The calls that were in flight when a run was interrupted, by output index; and what is told of those whose tool
    is offered no more."""
    known = {offer.name: offer for offer in offers if offer.receipt is not None}
    given = {each.request_id: each.offer for each in approved}
    calls: dict[int, Call] = {}
    lost: dict[int, Exchange] = {}
    for flight in flights:
        offer = given.get(flight.call_id) or known.get(flight.name)
        if offer is None:
            lost[flight.index] = Exchange(flight.call_id, flight.name, flight.arguments, UNKNOWN, round_)
        else:
            calls[flight.index] = Call(flight.call_id, flight.item_id, flight.name, flight.arguments, offer)
    return calls, lost
