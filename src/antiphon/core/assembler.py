"""Model deltas become items and events.

One assembler lives for one generation. What is being written stands in a slot; a slot keeps the grammar
`added (part.added delta* part.done)* done` by its own state, and one slot at a time speaks, so that items are
sequential and their indices ordered. Upstream quirks are mended here (wire checklist E.2): calls without ids, names in
pieces, all calls under index 0, interleaved arguments, empty first texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from antiphon.core.citations import Sources
from antiphon.core.deltas import (
    AnnotationDelta,
    CallDelta,
    Delta,
    MessageStarted,
    PartEnded,
    ReasoningDelta,
    ReasoningEnded,
    ReasoningStarted,
    RefusalDelta,
    StepEnded,
    Structure,
    TextDelta,
)
from antiphon.core.effects import Call, Entry, Offer, Place
from antiphon.core.recall import fitting
from antiphon.core.slots import CallSlot, MessageSlot, ReasoningSlot, Voice
from antiphon.wire.events import Event, OutputTextDelta
from antiphon.wire.items import Phase

NewId: TypeAlias = Callable[[str], str]
NAMED: Final = 32
"""Tools that are named to a model that called one that there is not."""


class Step(msgspec.Struct, frozen=True):
    """What one generation left: finished entries by output index, and the server-side calls that wait to be run."""

    entries: dict[int, Entry]
    calls: dict[int, Call]
    refused: tuple[Call, ...]
    client_calls: bool


class Assembler:
    """Turns the deltas of one generation into events.

    `first` is the output index of the first item made here; `budget` how many server-side calls may still become
    items (None: any number): those beyond it are collected as refused and leave no event. `voice`: how reasoning is
    told. `sources`: what can be cited in text, as it is found; None: there are no citations.
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        new_id: NewId,
        *,
        first: int,
        budget: int | None = None,
        voice: Voice = Voice(),  # noqa: B008 (frozen)
        sources: Sources | None = None,
    ) -> None:
        self._voice = voice
        self._sources = sources
        self._offers = {offer.name: offer for offer in offers}
        self._new_id = new_id
        self._next = first
        self._budget = budget
        self._speaking: MessageSlot | ReasoningSlot | None = None
        self._thoughts: dict[int, ReasoningSlot] = {}  # reasoning whose end will be told, by the upstream's index
        self._phase: Phase | None = None
        self._writing: list[CallSlot] = []  # calls not closed yet; the first one speaks, the others wait their turn
        self._by_index: dict[int, CallSlot] = {}
        self._call_ids: set[str] = set()
        self._entries: dict[int, Entry] = {}
        self._calls: dict[int, Call] = {}
        self._refused: list[Call] = []
        self._client_calls = False

    def avoid(self, call_ids: set[str]) -> None:
        """Give no call an id of these. The ids that are given join them: one id is one call in all of a conversation,
        and some servers count theirs from 0 in every answer."""
        self._call_ids = call_ids

    @property
    def next_index(self) -> int:
        """The output index that the next item gets."""
        return self._next

    @property
    def entries(self) -> Mapping[int, Entry]:
        """The items that are finished so far, by output index."""
        return self._entries

    @property
    def calls(self) -> Mapping[int, Call]:
        """The server-side calls that are finished so far, by output index."""
        return self._calls

    def feed(self, deltas: Sequence[Delta]) -> list[Event]:
        """The events of these deltas; StepEnded is the caller's and ignored here."""
        events: list[Event] = []
        for delta in deltas:
            if isinstance(delta, TextDelta):
                slot = self._speaking
                if isinstance(slot, MessageSlot) and slot.plain and delta.text:  # the hot path: one more piece
                    slot.pieces.append(delta.text)
                    if delta.logprobs:
                        slot.logprobs.extend(delta.logprobs)
                    events.append(
                        OutputTextDelta(
                            item_id=slot.id,
                            output_index=slot.index,
                            content_index=slot.part,
                            delta=delta.text,
                            logprobs=delta.logprobs,
                        )
                    )
                else:
                    self._text(delta, events)
            elif isinstance(delta, CallDelta):
                self._call(delta, events)
            elif isinstance(delta, ReasoningDelta):
                self._reasoning(delta, events)
            elif isinstance(delta, RefusalDelta):
                self._refusal(delta, events)
            elif not isinstance(delta, StepEnded):
                self._structure(delta, events)
        return events

    def end(self, events: list[Event], *, cut: bool = False) -> Step:
        """Close whatever is open, appending the events. `cut`: the generation did not end by itself (token budget,
        filter, failure, cancel), so the item being written is incomplete."""
        thoughts, self._thoughts = self._thoughts, {}
        speaking = self._speaking
        if speaking is not None:
            self._close_speaking(events, "incomplete" if cut else "completed")
        for slot in thoughts.values():
            if slot is not speaking:
                self._entries[slot.index] = slot.close("completed", events)
        while self._writing:
            slot = self._writing[0]
            whole = slot.complete if cut else True
            self._close_call(events, whole=whole)
        return Step(self._entries, self._calls, tuple(self._refused), self._client_calls)

    # speaking: text, refusals, reasoning

    def _text(self, delta: TextDelta, events: list[Event]) -> None:
        if not delta.text and not (delta.logprobs and isinstance(self._speaking, MessageSlot)):
            return  # an empty first piece: nothing to open an item for (a token may give bytes of a character only)
        if self._by_index and not delta.text.strip():
            return  # white space after the calls began
        self._message(events).text(delta, events)

    def _refusal(self, delta: RefusalDelta, events: list[Event]) -> None:
        if delta.text:
            self._message(events).refusal(delta.text, events)

    def _reasoning(self, delta: ReasoningDelta, events: list[Event]) -> None:
        if not delta.text:
            return
        slot = self._speaking
        if not isinstance(slot, ReasoningSlot):
            slot = self._think(events)
        # an upstream that knows items tells text and summary apart
        if delta.summary or (self._voice.summary and slot not in self._thoughts.values()):
            slot.summarise(delta.text, events)
        else:
            slot.text(delta.text, events)

    def _think(self, events: list[Event]) -> ReasoningSlot:
        self._quiet(events)
        slot = ReasoningSlot(self._new_id("rs_"), self._take_index(), events, self._voice)
        self._speaking = slot
        return slot

    def _message(self, events: list[Event]) -> MessageSlot:
        slot = self._speaking
        if not isinstance(slot, MessageSlot):
            self._quiet(events)
            slot = MessageSlot(self._new_id("msg_"), self._take_index(), events, self._phase, self._sources)
            self._speaking = slot
        return slot

    def _quiet(self, events: list[Event]) -> None:
        """Close what speaks and what is being called, so that another item can open."""
        if self._speaking is not None:
            self._close_speaking(events, "completed")
        while self._writing:
            self._close_call(events, whole=True)

    def _close_speaking(self, events: list[Event], status: str) -> None:
        slot = self._speaking
        assert slot is not None
        self._speaking = None
        if isinstance(slot, ReasoningSlot) and slot in self._thoughts.values():
            slot.end_part(events)  # its own end comes later
            return
        self._entries[slot.index] = slot.close(status, events)

    # what upstreams tell that know items

    def _structure(self, delta: Structure, events: list[Event]) -> None:
        match delta:
            case MessageStarted():
                if isinstance(self._speaking, MessageSlot):
                    self._close_speaking(events, "completed")
                self._phase = delta.phase
            case PartEnded():
                if self._speaking is not None:
                    self._speaking.end_part(events)
            case AnnotationDelta():
                self._message(events).annotate(delta.annotation, events)
            case ReasoningStarted():
                if delta.index in self._thoughts:
                    self._thought(ReasoningEnded(delta.index), events)
                self._thoughts[delta.index] = self._think(events)
            case ReasoningEnded():
                self._thought(delta, events)

    def _thought(self, ended: ReasoningEnded, events: list[Event]) -> None:
        slot = self._thoughts.pop(ended.index, None) or self._think(events)
        if slot is self._speaking:
            self._speaking = None
        self._entries[slot.index] = slot.close("completed", events, ended.encrypted_content)

    # calls

    def _call(self, delta: CallDelta, events: list[Event]) -> None:
        slot = self._by_index.get(delta.index)
        if slot is None or slot.another(delta):
            if self._speaking is not None:
                self._close_speaking(events, "completed")
            slot = CallSlot(upstream_id=delta.id or "")
            self._by_index[delta.index] = slot
            self._writing.append(slot)
        if slot.closed:
            return  # a late, empty echo of a call that is whole
        slot.take(delta)
        self._advance(events)

    def _advance(self, events: list[Event]) -> None:
        """Let the first call speak; a call that is whole makes room for the next one."""
        while len(self._writing) > 1 and self._writing[0].complete:
            self._close_call(events, whole=True)
        slot = self._writing[0]
        if not slot.opened and self._named(slot) and _streams(self._offers.get(slot.name)):
            self._open_call(slot, events)
        if slot.opened:
            slot.speak(events)

    def _named(self, slot: CallSlot) -> bool:
        """Whether the name is surely whole: arguments have begun, or it is one of the offered names and the beginning
        of no other."""
        if slot.pieces:
            return bool(slot.name)
        name = slot.name
        return name in self._offers and not any(other != name and other.startswith(name) for other in self._offers)

    def _open_call(self, slot: CallSlot, events: list[Event]) -> None:
        offer = self._offers.get(slot.name)
        call_id = self._call_id(slot)
        server_side = offer is not None and offer.receipt is not None
        if server_side and self._budget is not None:
            if self._budget <= 0:
                slot.open_silently(call_id, offer)
                return
            self._budget -= 1
        item_id = self._new_id(_prefix(offer))
        slot.open(Place(item_id, call_id, self._take_index()), offer, events)

    def _call_id(self, slot: CallSlot) -> str:
        """The upstream's id of the call, or a fresh one where it gave none or gave it twice."""
        call_id = slot.upstream_id
        if not call_id or call_id in self._call_ids:
            call_id = self._new_id("call_")
        self._call_ids.add(call_id)
        return call_id

    def _close_call(self, events: list[Event], *, whole: bool) -> None:
        slot = self._writing.pop(0)
        if not slot.opened:
            if self._withheld(slot, whole=whole):
                return
            self._open_call(slot, events)
        slot.speak(events)
        closed = slot.close(events, whole=whole)
        if slot.index is None:
            assert isinstance(closed, Call)
            self._refused.append(closed)
        elif isinstance(closed, Call):
            self._calls[slot.index] = closed
        else:
            self._entries[slot.index] = Entry(closed)
            self._client_calls = self._client_calls or (whole and slot.client_side)

    def _withheld(self, slot: CallSlot, *, whole: bool) -> bool:
        """Whether a call becomes no item: because there is no such tool, or because its form has none for a part of its
        arguments, or for these. What is wrong with it the model is told."""
        offer = self._offers.get(slot.name)
        if _streams(offer):
            return False
        arguments = "".join(slot.pieces)
        fault = self._fault(slot.name, arguments) if whole else None
        if fault is None and whole:
            return False
        slot.drop()
        offer = offer or Offer(fitting(slot.name))
        if fault is not None:
            self._refused.append(Call(self._call_id(slot), "", offer.name, arguments, offer, fault))
        return True

    def _fault(self, name: str, arguments: str) -> str | None:
        """What is wrong with a whole call of a tool that does not stream."""
        offer = self._offers.get(name)
        if offer is not None:
            assert offer.form is not None
            return offer.form.fault(arguments)
        if not self._offers:
            return "No tools can be called here. Answer without them."
        names = [*self._offers][:NAMED]
        more = f" and {len(self._offers) - NAMED} more" if len(self._offers) > NAMED else ""
        return f"There is no tool of that name. Those that can be called: {', '.join(names)}{more}."

    def _take_index(self) -> int:
        index = self._next
        self._next += 1
        return index


def _streams(offer: Offer | None) -> bool:
    return offer is not None and (offer.form is None or offer.form.streams)


def _prefix(offer: Offer | None) -> str:
    """The prefix of the ids of the items that its calls become."""
    if offer is None:
        return "fc_"
    shown = offer.receipt or offer.form
    return "fc_" if shown is None else shown.prefix
