"""What a scripted model is asked, as scripts see it: whether a step fits, and what stands for `${...}` in its texts.

    ${text}             the user's last message
    ${turn}  ${model}   the turn; the model's name
    ${output}           the last output of a tool since then; ${output.city.name} a part of it, where it is JSON
    ${outputs.NAME}     the last output of the tool NAME, and ${outputs.NAME.path} likewise

`$${` is a plain `${`. A placeholder that is the whole of a call's argument keeps its type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, cast

import msgspec

from antiphon.adapters.scripting.acts import Calling, Calls, Pieces, Reasons, Refuses, Says, Speech, Step, When
from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.wire.content import InputText
from antiphon.wire.errors import ModelError
from antiphon.wire.items import Message

_PLACE: Final = re.compile(r"\$(\$\{)|\$\{\s*([^{}\s]+)\s*\}")
_ROLES: Final = {"system", "developer"}


class Asking:
    """A generation that is wanted: `wanted` is what the port was given, the rest is read from it on demand."""

    def __init__(self, wanted: Generate) -> None:
        self.wanted = wanted

    @property
    def model(self) -> str:
        """The model's name."""
        return self.wanted.model

    @cached_property
    def text(self) -> str:
        """The text of the user's last message, "" when there is none."""
        return last_user_text(self.wanted)

    @cached_property
    def messages(self) -> Sequence[dict[str, Any]]:
        """The conversation as chat messages, instructions first."""
        return cast("Sequence[dict[str, Any]]", chat_messages(self.wanted, Dialect()))

    @property
    def instructions(self) -> str:
        """The texts of the system's and developers' messages."""
        return "\n".join(str(each.get("content")) for each in self.messages if each["role"] in _ROLES)

    @property
    def tools(self) -> Sequence[str]:
        """The names of the tools that are offered."""
        return [offer.name for offer in self.wanted.offers]

    @property
    def turn(self) -> int:
        """How many messages of the user there are."""
        return sum(each["role"] == "user" for each in self.messages)

    @property
    def round(self) -> int:
        """How many rounds of calls were made since the user's last message."""
        return sum(each["role"] == "assistant" and bool(each.get("tool_calls")) for each in self._recent)

    @cached_property
    def outputs(self) -> Sequence[tuple[str, str]]:
        """The outputs of tools since the user's last message, each with its tool's name, oldest first."""
        names: dict[str, str] = {}
        found: list[tuple[str, str]] = []
        for message in self._recent:
            for call in message.get("tool_calls") or ():
                names[call["id"]] = call["function"]["name"]
            if message["role"] == "tool":
                content = message["content"]
                text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
                found.append((names.get(message["tool_call_id"], ""), text))
        return found

    @property
    def _recent(self) -> Sequence[dict[str, Any]]:
        """The messages behind the user's last one."""
        places = [place for place, each in enumerate(self.messages) if each["role"] == "user"]
        return self.messages[places[-1] + 1 if places else 0 :]

    def fits(self, when: str | When | None) -> bool:
        """Whether these conditions hold."""
        if when is None or isinstance(when, str):
            return when is None or when.lower() in self.text.lower()
        last = self.outputs[-1] if (when.output is not None or when.called is not None) and self.outputs else None
        return (
            _holds(when.text, self.text)
            and (when.matches is None or re.search(when.matches, self.text) is not None)
            and (when.instructions is None or _holds(when.instructions, self.instructions))
            and (when.output is None or (last is not None and _holds(when.output, last[1])))
            and (when.called is None or (last is not None and when.called == last[0]))
            and self._counts(when)
        )

    def _counts(self, when: When) -> bool:
        return (
            (when.turn is None or when.turn == self.turn)
            and (when.round is None or when.round == self.round)
            and (when.offered is None or when.offered in self.tools)
            and (when.model is None or when.model == self.model)
        )

    # templates

    def filled(self, act: Speech) -> Speech:
        """The act with what its placeholders stand for. Raises ModelError for one that stands for nothing."""
        match act:
            case Says() | Refuses() | Reasons():
                return msgspec.structs.replace(act, text=self._pieces(act.text))
            case Calls():
                return msgspec.structs.replace(act, calls=tuple(self._call(call) for call in act.calls))
            case _:
                return act

    def _call(self, call: Calling) -> Calling:
        given = call.arguments
        made = self._value(given) if isinstance(given, dict) else self._pieces(given)
        return msgspec.structs.replace(call, arguments=made)

    def _pieces(self, text: Pieces) -> Pieces:
        return self._text(text) if isinstance(text, str) else tuple(self._text(piece) for piece in text)

    def _text(self, text: str) -> str:
        return _PLACE.sub(lambda found: found[1] or _shown(self._stands(found[2])), text)

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._value(each) for name, each in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self._value(each) for each in cast("list[Any]", value)]
        if not isinstance(value, str):
            return value
        whole = _PLACE.fullmatch(value)
        return self._stands(whole[2]) if whole is not None and whole[2] else self._text(value)

    def _stands(self, name: str) -> Any:
        """What a placeholder stands for."""
        first, *path = name.split(".")
        plain = {"text": self.text, "model": self.model, "turn": self.turn} if not path else {}
        if first in plain:
            return plain[first]
        if first == "outputs" and path:
            tool, *path = path
            outputs = [text for name, text in self.outputs if name == tool]
        else:
            outputs = [text for _, text in self.outputs] if first == "output" else []
        if not outputs:
            raise ModelError(f"The script: '${{{name}}}' stands for nothing here.")
        return _inside(outputs[-1], path, name)


def last_user_text(wanted: Generate) -> str:
    """The text of the user's last message, "" when there is none."""
    for entry in reversed(wanted.context):
        item = entry.item
        if isinstance(item, Message) and item.role == "user":
            return "\n".join(part.text for part in item.content if isinstance(part, InputText))
    return ""


def step_for(steps: Sequence[Step], asking: Asking) -> Step | None:
    """The first step whose conditions hold."""
    return next((step for step in steps if asking.fits(step.when)), None)


def _holds(part: str | None, text: str) -> bool:
    return part is None or part.lower() in text.lower()


def _inside(text: str, path: Sequence[str], name: str) -> Any:
    """A part of an output that is JSON; the whole of one without a path, as it is."""
    if not path:
        return text
    try:
        value: Any = msgspec.json.decode(text)
        for part in path:
            value = value[int(part) if isinstance(value, list) else part]
    except (msgspec.DecodeError, LookupError, TypeError, ValueError):
        raise ModelError(f"The script: '${{{name}}}' is no part of the output {text[:200]!r}.") from None
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
