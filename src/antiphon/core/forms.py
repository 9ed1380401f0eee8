"""How a call that the client runs becomes an item: as a function call, or in a form of its own.

Law: nothing here knows a tool. A kind whose item has no room for half an action is `Whole`; its own file says how the
arguments are read and what item they make. What an item cannot say is told to the model instead, which tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.core.effects import Draft, Place
from antiphon.wire import events as ev
from antiphon.wire.events import Event
from antiphon.wire.items import FunctionCall, Item

T = TypeVar("T")
Stage: TypeAlias = Literal["in_progress", "completed"]


class ArgumentsError(ValueError):
    """The arguments are not what the tool takes; the words are for the model and end in a full stop."""


def parsed(arguments: str, decoder: msgspec.json.Decoder[T]) -> T:
    """The arguments as the decoder's type; none at all are an empty object. Raises ArgumentsError."""
    try:
        return decoder.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        words = "they are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArgumentsError(f"The arguments are not as described: {words}.") from None


class FunctionForm(msgspec.Struct, frozen=True):
    """A `function_call`: the arguments go through as they come. `name` and `namespace` are the client's."""

    name: str
    namespace: str | UnsetType = UNSET

    prefix = "fc_"
    streams = True

    def fault(self, arguments: str) -> str | None:  # noqa: ARG002 - any text goes through
        """Never: what is malformed is the client's to refuse."""
        return None

    def draft(self, at: Place, /) -> Draft:
        """The call that begins there."""
        return _FunctionDraft(self, at)


class _FunctionDraft:
    __slots__ = ("_at", "_form")

    def __init__(self, form: FunctionForm, at: Place) -> None:
        self._form = form
        self._at = at

    def opened(self, arguments: str) -> Item:  # noqa: ARG002 - the deltas bring them
        return self._item("", "in_progress")

    def write(self, pieces: Sequence[str]) -> Sequence[Event]:
        item_id, index = self._at.item_id, self._at.index
        return [ev.FunctionCallArgumentsDelta(item_id=item_id, output_index=index, delta=piece) for piece in pieces]

    def closed(self, arguments: str, *, whole: bool) -> tuple[Sequence[Event], Item]:
        """Without arguments they are an empty object, told by one delta."""
        told: list[Event] = []
        if whole and not arguments:
            arguments = "{}"
            told += self.write([arguments])
        at = self._at
        done = ev.FunctionCallArgumentsDone(
            item_id=at.item_id, output_index=at.index, arguments=arguments, name=self._form.name
        )
        return [*told, done], self._item(arguments, "completed" if whole else "incomplete")

    def _item(self, arguments: str, status: Literal["in_progress", "completed", "incomplete"]) -> Item:
        return FunctionCall(
            id=self._at.item_id,
            call_id=self._at.call_id,
            name=self._form.name,
            arguments=arguments,
            status=status,
            namespace=self._form.namespace,
        )


def _nothing(action: object, index: int) -> Sequence[Event]:
    del action, index
    return ()


class Whole(msgspec.Struct, Generic[T], frozen=True):
    """A call that is shown once its arguments are whole.

    `read` makes an action of the arguments (raises ArgumentsError), `item` the item of an action, as it is announced
    and as it ends; `told` the events between, by output index.
    """

    prefix: str
    read: Callable[[str], T]
    item: Callable[[Place, T, Stage], Item]
    told: Callable[[T, int], Sequence[Event]] = _nothing

    streams = False

    def fault(self, arguments: str) -> str | None:
        """Why `read` refuses the arguments."""
        try:
            self.read(arguments)
        except ArgumentsError as error:
            return str(error)
        return None

    def draft(self, at: Place, /) -> Draft:
        """The call that stands there."""
        return _WholeDraft(self, at)


class _WholeDraft(Generic[T]):
    __slots__ = ("_at", "_form")

    def __init__(self, form: Whole[T], at: Place) -> None:
        self._form = form
        self._at = at

    def opened(self, arguments: str) -> Item:
        return self._form.item(self._at, self._form.read(arguments), "in_progress")

    def write(self, pieces: Sequence[str]) -> Sequence[Event]:
        del pieces
        return ()

    def closed(self, arguments: str, *, whole: bool) -> tuple[Sequence[Event], Item]:
        assert whole, "a call that was cut is not shown"
        action = self._form.read(arguments)
        return self._form.told(action, self._at.index), self._form.item(self._at, action, "completed")
