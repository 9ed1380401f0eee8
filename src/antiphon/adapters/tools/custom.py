"""The tool `custom`: free text for a tool of the client, if need be in a grammar.

Chat endpoints know functions only, so it is shown as a function of one string, `{"input": "..."}`, and the string is
unwrapped while the model writes it. Text that is not wrapped so is the input as it stands: nothing is lost or refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Draft, Grammar, Offer, Place
from antiphon.core.recall import flattened
from antiphon.wire import events as ev
from antiphon.wire.events import Event
from antiphon.wire.items import CustomToolCall, Item
from antiphon.wire.tools import CustomTool
from antiphon.wire.tools import Tool as ToolConfig

PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


class Unwrapper:
    """Takes the JSON text `{"input": "..."}` in pieces of any size and gives the string inside as it becomes known.

    Text that does not begin so gives nothing before `rest`. An escape that JSON does not have stays as it is written; a
    string that never ends is what it is; half a surrogate pair, which nothing can carry, is U+FFFD; what stands behind
    the string is no part of the input.
    """

    def __init__(self) -> None:
        self.state: Literal["before", "inside", "after", "other"] = "before"
        self._text = ""  # what has come and is not told

    def feed(self, piece: str) -> str:
        """The part of the input that this piece makes known, "" when there is none yet."""
        if self.state in {"after", "other"}:
            return ""
        self._text += piece
        if self.state == "before":
            self._begin()
        return self._inside() if self.state == "inside" else ""

    def rest(self, written: str) -> str:
        """What no piece made known, of all that was written: the half of an escape that was never finished, or the
        input of a text that does not begin as it should."""
        if self.state in {"inside", "after"}:
            return self._text
        try:
            found = msgspec.json.decode(written, type=str | _Wrapped)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return written
        return found if isinstance(found, str) else found.input

    def _begin(self) -> None:
        begun = _BEGINNING.match(self._text)
        if begun is not None:
            self._text = self._text[begun.end() :]
            self.state = "inside"
        elif not _BEGINS.fullmatch(self._text):
            self.state = "other"

    def _inside(self) -> str:
        """The pieces up to the end of the string, or to what is not whole yet."""
        text, place = self._text, 0
        told: list[str] = []
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                break  # an escape whose rest has not come
            place = found.end()
            if found.group() == '"':
                self.state, text, place = "after", "", 0
                break
            told.append(_meaning(found))
        self._text = text[place:]
        return "".join(told)


class _Wrapped(msgspec.Struct):
    input: str


_BEGINNING: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_BEGINS: Final = re.compile(r'\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"\s*(?::\s*)?)?)?)?)?)?)?)?)?')
"""Any text that can still become the beginning."""

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_TOKEN: Final = re.compile(
    rf'(?P<plain>[^"\\]+)|"'
    rf"|(?P<pair>{_HIGH}{_LOW})"
    rf"|(?P<lone>{_HIGH})(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F]|\\u[dD][c-fC-F][^0-9a-fA-F]"
    r"|\\u[dD][c-fC-F][0-9a-fA-F][^0-9a-fA-F])"
    rf"|(?!{_HIGH})(?P<unit>\\u[0-9a-fA-F]{{4}})"
    r'|(?P<short>\\["\\/bfnrt])'
    r"|(?P<bad>\\(?:[^u\"\\/bfnrt]|u[0-9a-fA-F]{0,3}(?=[^0-9a-fA-F])))",
    re.DOTALL,
)
"""The next thing that is whole. The first half of a surrogate pair is whole once its other half cannot come."""
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _meaning(token: re.Match[str]) -> str:
    text = token.group()
    match token.lastgroup:
        case "pair":
            high, low = int(text[2:6], 16), int(text[8:12], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        case "unit":
            unit = int(text[2:6], 16)
            return "\ufffd" if 0xDC00 <= unit <= 0xDFFF else chr(unit)
        case "lone":
            return "\ufffd"
        case "short":
            return _SHORT.get(text[1], text[1])
        case _:
            return text


class CustomForm(msgspec.Struct, frozen=True):
    """A `custom_tool_call`; `name` and `namespace` are the client's."""

    name: str
    namespace: str | UnsetType = UNSET

    prefix = "ctc_"
    streams = True

    def fault(self, arguments: str) -> str | None:  # noqa: ARG002 - any text is an input
        """Never."""
        return None

    def draft(self, at: Place, /) -> Draft:
        """The call that begins there."""
        return CustomDraft(self, at)


class CustomDraft:
    """A `custom_tool_call` that is being written."""

    def __init__(self, form: CustomForm, at: Place) -> None:
        self._form = form
        self._at = at
        self._unwrapper = Unwrapper()
        self._told: list[str] = []

    def opened(self, arguments: str) -> Item:  # noqa: ARG002 - the deltas bring them
        """In progress, without input."""
        return self._item("", "in_progress")

    def write(self, pieces: Sequence[str]) -> Sequence[Event]:
        """A delta for each piece that makes some of the input known."""
        return [self._delta(text) for piece in pieces if (text := self._unwrapper.feed(piece))]

    def closed(self, arguments: str, *, whole: bool) -> tuple[Sequence[Event], Item]:
        """The whole input; of one that was cut, what was told."""
        rest = self._unwrapper.rest(arguments) if whole else ""
        told: list[Event] = [self._delta(rest)] if rest else []
        text = "".join(self._told)
        done = ev.CustomToolCallInputDone(item_id=self._at.item_id, output_index=self._at.index, input=text)
        return [*told, done], self._item(text, "completed" if whole else "incomplete")

    def _delta(self, text: str) -> Event:
        self._told.append(text)
        return ev.CustomToolCallInputDelta(item_id=self._at.item_id, output_index=self._at.index, delta=text)

    def _item(self, text: str, status: Literal["in_progress", "completed", "incomplete"]) -> Item:
        return CustomToolCall(
            id=self._at.item_id,
            call_id=self._at.call_id,
            name=self._form.name,
            input=text,
            status=status,
            namespace=self._form.namespace,
        )


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """The one function."""
    return (offer_of(config, place),) if isinstance(config, CustomTool) else ()


def offer_of(config: CustomTool, place: int, namespace: str | UnsetType = UNSET) -> Offer:
    """The function that this custom tool is shown as."""
    grammar = _grammar(config)
    return Offer(
        name=flattened(namespace, config.name),
        description=_description(config, grammar),
        parameters=PARAMETERS,
        tool=place,
        form=CustomForm(config.name, namespace),
        kind="custom",
        member=config.name,
        deferred=config.defer_loading is True,
        grammar=grammar,
    )


def _grammar(config: CustomTool) -> Grammar | None:
    """The grammar of the input; None where there is none, or an empty one."""
    wanted = config.format
    inner = wanted.get("grammar")  # as chat completions nest it
    fields: dict[str, Any] = {**wanted, **inner} if isinstance(inner, dict) else wanted
    syntax, definition = fields.get("syntax"), fields.get("definition")
    if isinstance(syntax, str) and isinstance(definition, str) and definition.strip():
        return Grammar(syntax, definition)
    return None


def _description(config: CustomTool, grammar: Grammar | None) -> str | None:
    """What the client says of the tool, and the grammar, which most endpoints can only be told of."""
    told = [config.description] if config.description else []
    if grammar is not None:
        kind = "regular expression" if grammar.syntax == "regex" else f"{grammar.syntax} grammar"
        told.append(f"The string `input` must match this {kind} from its first character to its last:")
        told.append(f"```\n{grammar.definition.strip()}\n```")
    return "\n\n".join(told) or None


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("custom", offering=offered)
