"""What a run wants from the world (effects) and what it is told (outcomes).

Law 1: the loop is a value that wants something. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from antiphon.core.deltas import Delta
from antiphon.wire.errors import AntiphonError
from antiphon.wire.events import Event
from antiphon.wire.items import Item
from antiphon.wire.responses import CreateResponse, ResponseError, Usage
from antiphon.wire.tools import ToolChoice


class Exchange(msgspec.Struct, frozen=True):
    """One server-side tool call as the model saw it: what it asked (`arguments`, JSON text) and was told (`output`).

    Calls of one `round` (one generation of the run, from 0) were asked together. Without a `call_id` it is no call but
    what a sealed item holds (core/sealed.py).
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


class Place(msgspec.Struct, frozen=True):
    """Where the call of a client stands: its item and its place in the output."""

    item_id: str
    call_id: str
    index: int


class Draft(Protocol):
    """One call that the model is writing for the client."""

    def opened(self, arguments: str) -> Item:
        """The item as it stands in `response.output_item.added`. `arguments` is what is written so far: all of it where
        the form does not stream."""
        ...

    def write(self, pieces: Sequence[str]) -> Sequence[Event]:
        """The events of further pieces of the arguments, in order."""
        ...

    def closed(self, arguments: str, *, whole: bool) -> tuple[Sequence[Event], Item]:
        """The last events before `response.output_item.done`, and the final item. `arguments` is all that was written
        ("": nothing), `whole` whether the model was done with it."""
        ...


class Form(Protocol):
    """The pure half of a tool that the client runs: how its call looks as an item. Lives in the tool's own file."""

    @property
    def prefix(self) -> str:
        """The prefix of the item's id, for example `ctc_`."""
        ...

    @property
    def streams(self) -> bool:
        """Whether the item opens while its arguments are being written. Otherwise it has no room for a part of them:
        it opens and closes when they are whole, and leaves nothing when they are cut."""
        ...

    def fault(self, arguments: str) -> str | None:
        """What is wrong with whole arguments, in words for the model; None: nothing. A form that streams takes
        anything."""
        ...

    def draft(self, at: Place, /) -> Draft:
        """A call that begins. The arguments of one that does not stream have no fault."""
        ...


class Dictation(Protocol):
    """How the arguments of a server-side call are told while the model writes them."""

    def pieces(self, at: Place, written: Sequence[str], /) -> Sequence[Event]:
        """The events of further pieces, in order."""
        ...

    def whole(self, at: Place, arguments: str, /) -> Sequence[Event]:
        """The events of their end."""
        ...


class Grammar(msgspec.Struct, frozen=True):
    """What the input of a custom tool must match: `syntax` is `lark` or `regex`."""

    syntax: str
    definition: str


class Offer(msgspec.Struct, frozen=True):
    """A function as it is shown to the model. Without a receipt the client runs it and its call ends the run."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    receipt: Receipt | None = None
    tool: int = 0
    """The place of the tool in what the request declares: `request.tools`, then what its context adds."""
    form: Form | None = None
    """How a call for the client looks as an item; None: a function call."""
    kind: str | None = None
    """The `type` under which a tool choice names it, where that is not its declaration's."""
    member: str | None = None
    """The name by which a tool choice may call it beside `name`: that of a member in its namespace."""
    deferred: bool = False
    """Not shown while another offer `loads`."""
    loads: bool = False
    """With this one the client looks for deferred offers."""
    grammar: Grammar | None = None
    """What the input of a custom tool must match, for endpoints that can enforce it."""
    cites: bool = False
    """The model is asked to cite what this one finds (core/citations.py)."""
    dictation: Dictation | None = None
    """How the arguments of a server-side call are told; None: they are not part of its events."""
    server: str | None = None
    """The label of the server that a tool choice may name; `member` is then the tool's name there."""
    reads: bool = False
    """Its calls are given the context that they were made in."""
    untrusted: bool = True
    """Of a server-side call: what it gives was written by others than the user and the operator (core/taint.py)."""
    writes: bool = True
    """Of a server-side call: it may change something, or tell somebody."""
    reaches: Callable[[str], str | None] | None = None
    """Of a server-side call: the URL that the model sends it to by these arguments; None: none that need be known."""
    approval: Form | None = None
    """How a server-side call looks as an item where the client has to approve it first; None: it has no such form."""


class Call(msgspec.Struct, frozen=True):
    """A server-side tool call that the model has finished writing. `arguments` is JSON text, as the model wrote it.

    A call that became no item may be one for the client, or for nobody: `fault` says what is wrong with it. `context`:
    what the model was given, where the offer reads it; the instructions come first, as a message.
    """

    call_id: str
    item_id: str
    name: str
    arguments: str
    offer: Offer
    fault: str = ""
    context: Sequence[Entry] = ()

    @property
    def receipt(self) -> Receipt:
        """How the call looks as an item; a server-side call always has one."""
        assert self.offer.receipt is not None
        return self.offer.receipt


class Preface(msgspec.Struct, frozen=True):
    """An item that stands before everything that the model makes: as it opens, its phases, as it ends. It has no id
    yet; `prefix` is that of its id."""

    prefix: str
    opened: Item
    phases: tuple[str, ...]
    closed: Item


class Approved(msgspec.Struct, frozen=True):
    """A call that an earlier response asked for and that the client has approved since. `request_id` is the id of the
    approval request; the call has it as its call id."""

    request_id: str
    arguments: str
    offer: Offer


class Opening(msgspec.Struct, frozen=True):
    """What a declared tool brings into a run: functions, items that are told first, and calls that run before the model
    is asked. `refused`: why there is nothing, for a client whose request can do nothing else."""

    offers: tuple[Offer, ...] = ()
    prefaces: tuple[Preface, ...] = ()
    approved: tuple[Approved, ...] = ()
    refused: AntiphonError | None = None
    warnings: tuple[str, ...] = ()


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


class Measure(msgspec.Struct, frozen=True):
    """Tell how large the context of this generation is."""

    wanted: Generate


class Measured(msgspec.Struct, frozen=True):
    """The tokens that the generation takes in, and how many of them each group of `pruning.grouped` has."""

    tokens: int
    sizes: tuple[int, ...]


class Compact(msgspec.Struct, frozen=True):
    """Before this generation, replace `past` by a summary of it. `since` is what follows it and stays as it is, `room`
    how many bytes of the user's messages in `past` are kept."""

    wanted: Generate
    past: tuple[Entry, ...]
    since: tuple[Entry, ...] = ()
    room: int = 0


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction item holds (`sealed.packed`), the same sealed, and what making it cost."""

    content: str
    encrypted_content: str
    usage: Usage


class Overflow(msgspec.Struct, frozen=True):
    """The model's endpoint says that the context is too long for it. Nothing was generated."""

    error: ResponseError


class Broken(msgspec.Struct, frozen=True):
    """The effect cannot be performed: the model refused or failed. Ends the run as failed."""

    error: ResponseError


Effect: TypeAlias = Generate | Execute | Measure | Compact
Told: TypeAlias = Delta | Outcome | Measured | Compacted | Overflow | Broken
