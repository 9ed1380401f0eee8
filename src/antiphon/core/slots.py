"""Open items: each slot writes one item and keeps the order of its events by its own state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal, TypedDict, cast

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.core.citations import Scanner, Sources
from antiphon.core.context import type_of
from antiphon.core.deltas import CallDelta, TextDelta
from antiphon.core.effects import Call, Dictation, Draft, Entry, Offer, Place
from antiphon.core.forms import FunctionForm
from antiphon.core.includes import shown
from antiphon.core.sealed import Thought, carried, packed, reasoning_text
from antiphon.wire import events as ev
from antiphon.wire.content import (
    Annotation,
    LogProb,
    OutputPart,
    OutputText,
    ReasoningText,
    Refusal,
    SummaryText,
)
from antiphon.wire.events import Event
from antiphon.wire.items import Item, Message, Phase, Reasoning, Status, item_id


class _InItem(TypedDict):
    """Where an event of an item stands."""

    item_id: str
    output_index: int


class _InPart(_InItem):
    """Where an event of a part stands."""

    content_index: int


class _InSummary(_InItem):
    """Where an event of a part of a summary stands."""

    summary_index: int


class MessageSlot:
    """A message of the assistant: parts of text and refusal, one open at a time.

    With `sources` (what can be cited) text goes through a scanner that takes citations out; without, `plain` says
    that a piece of text is told as it comes.
    """

    __slots__ = (
        *("annotations", "id", "in_text", "index", "logprobs", "part", "parts", "phase", "pieces", "plain"),
        *("refusing", "scanner", "sources"),
    )

    def __init__(
        self, item_id: str, index: int, events: list[Event], phase: Phase | None = None, sources: Sources | None = None
    ) -> None:
        self.id = item_id
        self.index = index
        self.phase: Phase | UnsetType = phase or UNSET
        self.parts: list[OutputPart] = []
        self.part = -1
        self.in_text = False
        self.plain = False
        self.refusing = False
        self.sources = sources
        self.scanner: Scanner | None = None
        self.pieces: list[str] = []
        self.logprobs: list[LogProb] = []
        self.annotations: list[Annotation] = []
        item = Message(id=item_id, status="in_progress", role="assistant", content=(), phase=self.phase)
        events.append(ev.OutputItemAdded(output_index=index, item=item))

    def text(self, delta: TextDelta, events: list[Event]) -> None:
        """Append text, opening a text part where none is open."""
        if not self.in_text:
            self._open_text(events)
        if self.scanner is None:
            self._say(delta, events)
        else:
            self._tell(self.scanner.feed(delta), events)

    def _tell(self, said: Sequence[TextDelta | Annotation], events: list[Event]) -> None:
        for each in said:
            if isinstance(each, TextDelta):
                self._say(each, events)
            else:
                self.annotate(each, events)

    def _say(self, delta: TextDelta, events: list[Event]) -> None:
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

    def annotate(self, annotation: Annotation, events: list[Event]) -> None:
        """Annotate the text, opening a text part where none is open."""
        if not self.in_text:
            self._open_text(events)
        events.append(
            ev.OutputTextAnnotationAdded(
                item_id=self.id,
                output_index=self.index,
                content_index=self.part,
                annotation_index=len(self.annotations),
                annotation=annotation,
            )
        )
        self.annotations.append(annotation)

    def close(self, status: str, events: list[Event]) -> Entry:
        """End the open part and the item."""
        self.end_part(events)
        content = tuple(self.parts)
        item = Message(id=self.id, status=cast("Status", status), role="assistant", content=content, phase=self.phase)
        events.append(ev.OutputItemDone(output_index=self.index, item=item))
        return Entry(item)

    def _open_text(self, events: list[Event]) -> None:
        self._open(OutputText(text=""), events)
        self.in_text = True
        self.plain = self.sources is None
        self.scanner = None if self.sources is None else Scanner(self.sources)

    def _open(self, part: OutputPart, events: list[Event]) -> None:
        self.end_part(events)
        self.part += 1
        events.append(ev.ContentPartAdded(item_id=self.id, output_index=self.index, content_index=self.part, part=part))

    def end_part(self, events: list[Event]) -> None:
        """End the open part; what follows opens another."""
        if not (self.in_text or self.refusing):
            return
        if self.scanner is not None:
            self._tell(self.scanner.end(), events)
            self.scanner = None
        whole = "".join(self.pieces)
        at: _InPart = {"item_id": self.id, "output_index": self.index, "content_index": self.part}
        part: OutputPart
        if self.in_text:
            logprobs = tuple(self.logprobs)
            part = OutputText(text=whole, annotations=tuple(self.annotations), logprobs=logprobs)
            events.append(ev.OutputTextDone(**at, text=whole, logprobs=logprobs))
        else:
            part = Refusal(refusal=whole)
            events.append(ev.RefusalDone(**at, refusal=whole))
        events.append(ev.ContentPartDone(**at, part=part))
        self.parts.append(part)
        self.in_text = self.plain = self.refusing = False
        self.pieces = []
        self.logprobs = []
        self.annotations = []


class Voice(msgspec.Struct, frozen=True):
    """How reasoning is told. `summary`: as a summary, where the upstream does not tell them apart; `seal` makes its
    encrypted content (None: it is not needed), `shown` is whether the client gets that."""

    summary: bool = False
    shown: bool = False
    seal: Callable[[str], str] | None = None


class ReasoningSlot:
    """Reasoning: parts of its text and of its summary, one open at a time."""

    __slots__ = ("content", "id", "index", "pieces", "summary", "telling", "voice")

    def __init__(self, item_id: str, index: int, events: list[Event], voice: Voice) -> None:
        self.id = item_id
        self.index = index
        self.voice = voice
        self.content: list[ReasoningText] = []
        self.summary: list[SummaryText] = []
        self.telling: Literal["nothing", "text", "summary"] = "nothing"
        self.pieces: list[str] = []
        events.append(ev.OutputItemAdded(output_index=index, item=Reasoning(id=item_id, content=())))

    def text(self, text: str, events: list[Event]) -> None:
        """Append reasoning, opening a part where none is open."""
        if self.telling != "text":
            self.end_part(events)
            self.telling = "text"
            events.append(ev.ContentPartAdded(**self._at_part(), part=ReasoningText(text="")))
        self.pieces.append(text)
        events.append(ev.ReasoningTextDelta(**self._at_part(), delta=text))

    def summarise(self, text: str, events: list[Event]) -> None:
        """Append to the summary, opening a part where none is open."""
        if self.telling != "summary":
            self.end_part(events)
            self.telling = "summary"
            events.append(ev.ReasoningSummaryPartAdded(**self._at_summary(), part=SummaryText(text="")))
        self.pieces.append(text)
        events.append(ev.ReasoningSummaryTextDelta(**self._at_summary(), delta=text))

    def end_part(self, events: list[Event]) -> None:
        """End the open part; what follows opens another."""
        whole = "".join(self.pieces)
        if self.telling == "text":
            part = ReasoningText(text=whole)
            events.append(ev.ReasoningTextDone(**self._at_part(), text=whole))
            events.append(ev.ContentPartDone(**self._at_part(), part=part))
            self.content.append(part)
        elif self.telling == "summary":
            summary = SummaryText(text=whole)
            events.append(ev.ReasoningSummaryTextDone(**self._at_summary(), text=whole))
            events.append(ev.ReasoningSummaryPartDone(**self._at_summary(), part=summary))
            self.summary.append(summary)
        self.telling = "nothing"
        self.pieces = []

    def close(self, status: str, events: list[Event], opaque: str | None = None) -> Entry:
        """End the part and the item; only a cut one carries a status, as recorded. `opaque` is the upstream's own
        encrypted content: it is sealed into ours, and kept beside the item."""
        self.end_part(events)
        item = Reasoning(
            id=self.id,
            summary=tuple(self.summary),
            content=tuple(self.content),
            status=UNSET if status == "completed" else cast("Status", status),
        )
        content = packed(Thought(reasoning_text(Entry(item)), opaque or UNSET))
        if self.voice.seal is not None:
            item = msgspec.structs.replace(item, encrypted_content=self.voice.seal(content))
        told = item if self.voice.shown else shown(item, ())
        events.append(ev.OutputItemDone(output_index=self.index, item=told))
        return carried(item, content) if opaque else Entry(item)

    def _at_part(self) -> _InPart:
        return {"item_id": self.id, "output_index": self.index, "content_index": len(self.content)}

    def _at_summary(self) -> _InSummary:
        return {"item_id": self.id, "output_index": self.index, "summary_index": len(self.summary)}


class CallSlot:
    """A tool call that the model is writing.

    It takes pieces at any time, but speaks (gives events) only when its turn has come. `index` is None until it is an
    item, and stays None for a call beyond the tool budget.
    """

    __slots__ = ("call_id", "draft", "id", "index", "name", "offer", "pieces", "spoken", "state", "upstream_id")

    def __init__(self, upstream_id: str) -> None:
        self.upstream_id = upstream_id
        self.call_id = ""
        self.id = ""
        self.index: int | None = None
        self.name = ""
        self.offer: Offer | None = None
        self.draft: Draft | None = None  # of a call that the client runs
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
    def _dictation(self) -> Dictation | None:
        return None if self.offer is None else self.offer.dictation

    @property
    def _place(self) -> Place:
        assert self.index is not None
        return Place(self.id, self.call_id, self.index)

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

    def open(self, at: Place, offer: Offer | None, events: list[Event]) -> None:
        """Begin the item: what the tool's form or receipt says; a function_call where it has neither."""
        self.call_id, self.id, self.index, self.offer = at.call_id, at.item_id, at.index, offer
        self.state = "open"
        receipt = offer.receipt if offer is not None else None
        if receipt is None:
            form = offer.form if offer is not None else None
            self.draft = (form or FunctionForm(self.name)).draft(at)
            item = self.draft.opened("".join(self.pieces))
            events.append(ev.OutputItemAdded(output_index=at.index, item=item))
            return
        item = receipt.opened(at.item_id)
        events.append(ev.OutputItemAdded(output_index=at.index, item=item))
        events.extend(told(item, receipt.phases[:1], at.index))

    def open_silently(self, call_id: str, offer: Offer | None) -> None:
        """Begin without an item: the call will be refused."""
        self.call_id, self.offer = call_id, offer
        self.state = "silent"

    def drop(self) -> None:
        """End it without an item."""
        self.state = "closed"

    def speak(self, events: list[Event]) -> None:
        """Tell the pieces not told yet. The arguments of most server-side calls are not part of their events."""
        if self.state != "open":
            return
        if self.draft is not None:
            events.extend(self.draft.write(self.pieces[self.spoken :]))
        elif (dictation := self._dictation) is not None:
            events.extend(dictation.pieces(self._place, self.pieces[self.spoken :]))
        self.spoken = len(self.pieces)

    def close(self, events: list[Event], *, whole: bool) -> Item | Call:
        """End the call: its final item when the client runs it or it was cut, otherwise the call to be run."""
        arguments = "".join(self.pieces)
        silent = self.state == "silent"
        self.state = "closed"
        if self.draft is None:
            assert self.offer is not None
            call = Call(self.call_id, self.id, self.name, arguments or "{}", self.offer)
            if silent:
                return call
            if not whole:
                item = cut(call)
                assert self.index is not None
                events.append(ev.OutputItemDone(output_index=self.index, item=item))
                return item
            if (dictation := self._dictation) is not None:
                events.extend(spelled(dictation, self._place, call.arguments, told=bool(arguments)))
            return call
        assert self.index is not None
        last, item = self.draft.closed(arguments, whole=whole)
        events.extend(last)
        events.append(ev.OutputItemDone(output_index=self.index, item=item))
        return item


def spelled(dictation: Dictation, at: Place, arguments: str, *, told: bool) -> list[Event]:
    """The end of the arguments; `told` is whether their pieces were."""
    pieces = () if told else dictation.pieces(at, [arguments])
    return [*pieces, *dictation.whole(at, arguments)]


def told(item: Item, phases: tuple[str, ...], index: int) -> list[Event]:
    """The phase events of a server-side call's item."""
    return [ev.phase(type_of(item), phase)(item_id=str(item_id(item)), output_index=index) for phase in phases]


def cut(call: Call) -> Item:
    """The item of a server-side call that will not be run."""
    return call.receipt.closed(call.item_id, call, None)
