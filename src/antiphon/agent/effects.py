"""What a turn wants from the world (effects) and what it is told (outcomes). Nothing here does anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from antiphon.agent.content import ToolOutput
from antiphon.agent.events import Approval, ToolCall
from antiphon.agent.fields import Json
from antiphon.agent.retries import Fault


@dataclass(frozen=True, slots=True)
class Create:
    """Create a conversation with this name; a `Created` comes of it."""

    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """Read the latest items of the conversation; a `Found` comes of it."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Send:
    """`responses.create` with these arguments; a `Streamed` for each event and an `Ended` come of it."""

    request: Json


@dataclass(frozen=True, slots=True)
class Fetch:
    """`responses.retrieve` of a response whose connection was lost, from after this sequence number; like `Send`."""

    response_id: str
    after: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait this many seconds, and up to `spread` of them more; then comes a `Waited`, and `then` is wanted."""

    seconds: float
    spread: float
    then: Create | Read | Send | Fetch


@dataclass(frozen=True, slots=True)
class Execute:
    """Run these client tools side by side; a `Done` for each comes of it, as they end."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask whether this call may be made; an `Answered` comes of it."""

    approval: Approval


@dataclass(frozen=True, slots=True)
class Conclude:
    """Nothing is wanted but that what was told so far has been heard; a `Concluded` comes of it."""


Effect: TypeAlias = Create | Read | Send | Fetch | Wait | Execute | Ask | Conclude


@dataclass(frozen=True, slots=True)
class Created:
    """The id of the conversation."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Found:
    """Items of the conversation, the latest first."""

    items: Iterable[object]


@dataclass(frozen=True, slots=True)
class Streamed:
    """An event of the stream, as the client's library gives it."""

    event: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream has no more events."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The time is over."""


@dataclass(frozen=True, slots=True)
class Done:
    """A client tool has run, or was given up."""

    call: ToolCall
    output: ToolOutput


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said to an approval: True, False, the reason of a denial, or None: not now."""

    verdict: bool | str | None


@dataclass(frozen=True, slots=True)
class Concluded:
    """What was told has been heard."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The effect could not be performed."""

    fault: Fault


Outcome: TypeAlias = Created | Found | Streamed | Ended | Waited | Done | Answered | Concluded | Broken
"""What a turn is told."""
