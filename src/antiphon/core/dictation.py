"""The input of a forced custom tool, said as plain text: how an endpoint answers that holds the model to a grammar.

A grammar describes the input itself, not the JSON that a function call wraps it in. So the endpoint is asked for plain
text, and what it says becomes the call.
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.core.deltas import CallDelta, Delta, StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate, Offer
from antiphon.core.verdict import verdict_of
from antiphon.wire.codec import encode
from antiphon.wire.tools import NamedChoice


def dictated(wanted: Generate, dialect: Dialect) -> Offer | None:
    """The custom tool whose input is to be said as text; None: there is none."""
    choice = wanted.tool_choice
    if dialect.grammar != "structured_outputs" or not isinstance(choice, NamedChoice):
        return None
    named = (offer for offer in wanted.offers if offer.name == choice.name and offer.grammar is not None)
    return next(named, None)


class Dictation:
    """Turns the text of one generation into a call of the tool. One that was cut stays half a JSON text."""

    def __init__(self, offer: Offer) -> None:
        self._name = offer.name
        self._begun = False

    def taken(self, deltas: Sequence[Delta]) -> list[Delta]:
        """The deltas, with text as pieces of the call."""
        found: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, TextDelta):
                self._say(delta.text, found)
            else:
                if isinstance(delta, StepEnded) and verdict_of(delta.finish) == "completed":
                    self._say("", found)
                    found.append(CallDelta(0, None, None, '"}'))
                found.append(delta)
        return found

    def _say(self, text: str, found: list[Delta]) -> None:
        if not self._begun:
            self._begun = True
            found.append(CallDelta(0, None, self._name, '{"input":"'))
        if text:
            found.append(CallDelta(0, None, None, encode(text).decode()[1:-1]))
