"""Open items: each slot writes one item and keeps the order of its events by its own state."""

from __future__ import annotations

import json
from typing import Literal, TypedDict, cast

from antiphon.core.context import type_of
from antiphon.core.deltas import CallDelta, TextDelta
from antiphon.core.effects import Call, Offer
from antiphon.wire import events as ev
from antiphon.wire.content import LogProb, OutputPart, OutputText, ReasoningText, Refusal
from antiphon.wire.events import Event
from antiphon.wire.items import FunctionCall, Item, Message, Reasoning, Status, item_id


class _InItem(TypedDict):
    """Where an event of an item stands."""

    item_id: str
    output_index: int


class _InPart(_InItem):
    """Where an event of a part stands."""

    content_index: int


class MessageSlot:
    """A message of the assistant: parts of text and refusal, one open at a time."""

    __slots__ = ("id", "in_text", "index", "logprobs", "part", "parts", "pieces", "refusing")

    def __init__(self, item_id: str, index: int, events: list[Event]) -> None:
        self.id = item_id
        self.index = index
        self.parts: list[OutputPart] = []
        self.part = -1
        self.in_text = False
        self.refusing = False
        self.pieces: list[str] = []
        self.logprobs: list[LogProb] = []
        item = Message(id=item_id, status="in_progress", role="assistant", content=())
        events.append(ev.OutputItemAdded(output_index=index, item=item))

    def text(self, delta: TextDelta, events: list[Event]) -> None:
        """Append text, opening a text part where none is open."""
        if not self.in_text:
            self._open(OutputText(text=""), events)
            self.in_text = True
        self.pieces.append(delta.text)
        self.logprobs.extend(delta.logprobs)
        events.append(
            ev.OutputTextDelta(
                item_id=self.id,
                output_index=self.index,
                content_index=self.part,
                delta=delta.text,
                logprobs=delta.logprobs,
            )
        )

    def refusal(self, text: str, events: list[Event]) -> None:
        """Append to the refusal, opening its part where none is open."""
        if not self.refusing:
            self._open(Refusal(refusal=""), events)
            self.refusing = True
        self.pieces.append(text)
        events.append(ev.RefusalDelta(item_id=self.id, output_index=self.index, content_index=self.part, delta=text))

    def close(self, status: str, events: list[Event]) -> Item:
        """End the open part and the item."""
        self._end_part(events)
        item = Message(id=self.id, status=cast("Status", status), role="assistant", content=tuple(self.parts))
        events.append(ev.OutputItemDone(output_index=self.index, item=item))
        return item

    def _open(self, part: OutputPart, events: list[Event]) -> None:
        self._end_part(events)
        self.part += 1
        events.append(ev.ContentPartAdded(item_id=self.id, output_index=self.index, content_index=self.part, part=part))

    def _end_part(self, events: list[Event]) -> None:
        if not (self.in_text or self.refusing):
            return
        whole = "".join(self.pieces)
        at: _InPart = {"item_id": self.id, "output_index": self.index, "content_index": self.part}
        part: OutputPart
        if self.in_text:
            logprobs = tuple(self.logprobs)
            part = OutputText(text=whole, logprobs=logprobs)
            events.append(ev.OutputTextDone(**at, text=whole, logprobs=logprobs))
        else:
            part = Refusal(refusal=whole)
            events.append(ev.RefusalDone(**at, refusal=whole))
        events.append(ev.ContentPartDone(**at, part=part))
        self.parts.append(part)
        self.in_text = self.refusing = False
        self.pieces = []
        self.logprobs = []


class ReasoningSlot:
    """Visible reasoning: one item with one part of `reasoning_text`."""

    __slots__ = ("id", "index", "pieces")

    def __init__(self, item_id: str, index: int, events: list[Event]) -> None:
        self.id = item_id
        self.index = index
        self.pieces: list[str] = []
        events.append(ev.OutputItemAdded(output_index=index, item=Reasoning(id=item_id, content=())))
        events.append(
            ev.ContentPartAdded(item_id=item_id, output_index=index, content_index=0, part=ReasoningText(text=""))
        )

    def text(self, text: str, events: list[Event]) -> None:
        """Append reasoning."""
        self.pieces.append(text)
        events.append(ev.ReasoningTextDelta(item_id=self.id, output_index=self.index, content_index=0, delta=text))

    def close(self, status: str, events: list[Event]) -> Item:
        """End the part and the item; only a cut one carries a status, as recorded."""
        whole = "".join(self.pieces)
        part = ReasoningText(text=whole)
        at: _InPart = {"item_id": self.id, "output_index": self.index, "content_index": 0}
        events.append(ev.ReasoningTextDone(**at, text=whole))
        events.append(ev.ContentPartDone(**at, part=part))
        item = Reasoning(id=self.id, content=(part,))
        if status != "completed":
            item = Reasoning(id=self.id, content=(part,), status=cast("Status", status))
        events.append(ev.OutputItemDone(output_index=self.index, item=item))
        return item


class CallSlot:
    """A tool call that the model is writing.

    It takes pieces at any time, but speaks (gives events) only when its turn has come. `index` is None until it is an
    item, and stays None for a call beyond the tool budget.
    """

    __slots__ = ("call_id", "id", "index", "name", "offer", "pieces", "spoken", "state", "upstream_id")

    def __init__(self, upstream_id: str) -> None:
        self.upstream_id = upstream_id
        self.call_id = ""
        self.id = ""
        self.index: int | None = None
        self.name = ""
        self.offer: Offer | None = None
        self.pieces: list[str] = []
        self.spoken = 0  # how many of the pieces have become deltas
        self.state: Literal["waiting", "open", "silent", "closed"] = "waiting"

    @property
    def opened(self) -> bool:
        """Whether its item (or its silence) has begun."""
        return self.state != "waiting"

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self.state == "closed"

    @property
    def client_side(self) -> bool:
        """Whether the client runs it."""
        return self.offer is None or self.offer.receipt is None

    @property
    def complete(self) -> bool:
        """Whether its arguments are one whole JSON value."""
        try:
            json.loads("".join(self.pieces))
        except (ValueError, RecursionError):
            return False
        return True

    def another(self, delta: CallDelta) -> bool:
        """Whether the delta begins a new call although it carries this one's index (some servers use 0 for all)."""
        if delta.id and self.upstream_id and delta.id != self.upstream_id:
            return True
        return self.closed and bool(delta.name)

    def take(self, delta: CallDelta) -> None:
        """Take the pieces of a delta. A name that comes again whole is an echo, not a continuation."""
        if delta.id and not self.upstream_id and not self.opened:
            self.upstream_id = delta.id
        if delta.name and not self.opened and delta.name != self.name:
            self.name += delta.name
        if delta.arguments:
            self.pieces.append(delta.arguments)

    def open(self, call_id: str, item_id: str, index: int, offer: Offer | None, events: list[Event]) -> None:
        """Begin the item: a function_call, or what the tool's receipt says."""
        self.call_id, self.id, self.index, self.offer = call_id, item_id, index, offer
        self.state = "open"
        item: Item
        receipt = offer.receipt if offer is not None else None
        if receipt is None:
            item = FunctionCall(id=item_id, call_id=call_id, name=self.name, arguments="", status="in_progress")
            events.append(ev.OutputItemAdded(output_index=index, item=item))
            return
        item = receipt.opened(item_id)
        events.append(ev.OutputItemAdded(output_index=index, item=item))
        events.extend(told(item, receipt.phases[:1], index))

    def open_silently(self, call_id: str, offer: Offer | None) -> None:
        """Begin without an item: the call will be refused."""
        self.call_id, self.offer = call_id, offer
        self.state = "silent"

    def speak(self, events: list[Event]) -> None:
        """Tell the pieces not told yet. The arguments of server-side calls are not part of their events."""
        if self.state != "open" or not self.client_side:
            return
        assert self.index is not None
        index = self.index
        events.extend(
            ev.FunctionCallArgumentsDelta(item_id=self.id, output_index=index, delta=piece)
            for piece in self.pieces[self.spoken :]
        )
        self.spoken = len(self.pieces)

    def close(self, events: list[Event], *, whole: bool) -> Item | Call:
        """End the call: its final item when the client runs it or it was cut, otherwise the call to be run."""
        arguments = "".join(self.pieces) or "{}"
        silent = self.state == "silent"
        self.state = "closed"
        if not self.client_side:
            assert self.offer is not None
            call = Call(self.call_id, self.id, self.name, arguments, self.offer)
            if whole or silent:
                return call
            return cut(call, self.index, events)
        assert self.index is not None
        at: _InItem = {"item_id": self.id, "output_index": self.index}
        if not self.pieces:
            if not whole:
                arguments = ""
            else:
                events.append(ev.FunctionCallArgumentsDelta(**at, delta=arguments))
        events.append(ev.FunctionCallArgumentsDone(**at, arguments=arguments, name=self.name))
        item = FunctionCall(
            id=self.id,
            call_id=self.call_id,
            name=self.name,
            arguments=arguments,
            status="completed" if whole else "incomplete",
        )
        events.append(ev.OutputItemDone(output_index=self.index, item=item))
        return item


def told(item: Item, phases: tuple[str, ...], index: int) -> list[Event]:
    """The phase events of a server-side call's item."""
    return [ev.phase(type_of(item), phase)(item_id=str(item_id(item)), output_index=index) for phase in phases]


def cut(call: Call, index: int | None, events: list[Event]) -> Item:
    """End a server-side call that will not be run."""
    assert index is not None
    item = call.receipt.closed(call.item_id, call, None)
    events.append(ev.OutputItemDone(output_index=index, item=item))
    return item
