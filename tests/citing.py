"""A model that calls tools and cites as it is told: a kind of endpoint for tests (`kind: tests.citing`).

What it is told is JSON in the user's last message: `search` (arguments of searches of files, none: no search) or
`rounds` of calls, then `say`, in which `{name}` stands for the mark of the file of this name, or of the page of this
URL, as the model was given it, in pieces of `size` characters.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from antiphon.adapters.models.scripted import Act, Calling, Calls, Says, Scripted, last_user_text, script_of
from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.scripting.asking import Asking
from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.wire.items import Message

_MARKS: Final = re.compile(r"cite as (<\|[^|]+\|>)\n(?:\(file ([^;]+);|url: (\S+))")


class Wish(msgspec.Struct, frozen=True):
    """What the user's message asks for."""

    say: str = "Done."
    search: tuple[dict[str, Any], ...] = ()
    rounds: tuple[tuple[Calling, ...], ...] = ()
    size: int = 1_000_000


class Citing(Scripted):
    """See the module. `asked` holds every generation that was wanted."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(script_of(self.answer, ("m",)), name=parts.name, clock=parts.clock)

    def answer(self, asking: Asking) -> Act:
        """Search, or answer."""
        return _act(asking.wanted)


def _act(wanted: Generate) -> Act:
    wish = msgspec.json.decode(last_user_text(wanted), type=Wish)
    rounds = wish.rounds
    if wish.search:
        rounds = (tuple(Calling("file_search", arguments) for arguments in wish.search),)
    made = _rounds(wanted)
    if made < len(rounds):
        return Calls(rounds[made])
    marks: dict[str, str] = {}
    for message in chat_messages(wanted, Dialect()):
        if message["role"] == "tool":
            marks.update((name or url, mark) for mark, name, url in _MARKS.findall(message["content"]))
    text = re.sub(r"\{([^{}]+)\}", lambda found: marks.get(found[1], f"<|file-of-{found[1]}|>"), wish.say)
    return Says(tuple(text[start : start + wish.size] for start in range(0, len(text), wish.size)))


def _rounds(wanted: Generate) -> int:
    """How many rounds of calls were made since the user's last message."""
    rounds: set[int] = set()
    for entry in wanted.context:
        if isinstance(entry.item, Message) and entry.item.role == "user":
            rounds.clear()
        elif entry.exchange is not None:
            rounds.add(entry.exchange.round)
    return len(rounds)


def make(config: Plain, parts: Parts) -> Citing:
    """The adapter; its model is `m`."""
    del config
    return Citing(parts)
