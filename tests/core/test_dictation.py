"""Endpoints that hold the model to a grammar are asked for the input itself."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.chat import chat_body
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.dictation import Dictation, dictated
from antiphon.core.effects import Entry, Generate, Grammar, Offer
from antiphon.wire.content import InputText
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse, JsonObjectFormat, TextConfig
from antiphon.wire.tools import NamedChoice, ToolChoice

GUIDED = Dialect(grammar="structured_outputs")
OFFER = Offer("edit", "Edits.", {"type": "object"}, grammar=Grammar("lark", "start: A"))
PLAIN = Offer("plain")
FORCED = NamedChoice(type="function", name="edit")


def body(choice: ToolChoice, dialect: Dialect, offer: Offer = OFFER) -> dict[str, Any]:
    entry = Entry(Message(role="user", content=(InputText(text="Hi"),)))
    request = CreateResponse(model="m", text=TextConfig(format=JsonObjectFormat()))
    return chat_body(Generate("m", request, (entry,), (offer, PLAIN), choice), dialect)


@pytest.mark.parametrize(("syntax", "field"), [("lark", "grammar"), ("regex", "regex")])
def test_the_grammar_of_a_forced_tool_is_enforced_on_plain_text(syntax: str, field: str) -> None:
    built = body(FORCED, GUIDED, Offer("edit", grammar=Grammar(syntax, "start: A")))
    assert built["structured_outputs"] == {field: "start: A"}
    assert built["tool_choice"] == "none"
    assert len(built["tools"]) == 2
    assert "response_format" not in built


@pytest.mark.parametrize(
    ("choice", "dialect"),
    [("auto", GUIDED), ("required", GUIDED), (NamedChoice(type="function", name="plain"), GUIDED), (FORCED, Dialect())],
)
def test_otherwise_the_grammar_is_only_told(choice: ToolChoice, dialect: Dialect) -> None:
    built = body(choice, dialect)
    assert "structured_outputs" not in built
    assert built.get("tool_choice") != "none"


def test_what_is_said_becomes_the_call() -> None:
    assert dictated(Generate("m", CreateResponse(model="m"), (), (OFFER,), FORCED), GUIDED) is OFFER
    dictation = Dictation(OFFER)
    ended = StepEnded("stop")
    found = dictation.taken([ReasoningDelta("hm"), TextDelta('a"b')]) + dictation.taken([TextDelta("\n"), ended])
    assert found == [
        ReasoningDelta("hm"),
        CallDelta(0, None, "edit", '{"input":"'),
        CallDelta(0, None, None, 'a\\"b'),
        CallDelta(0, None, None, "\\n"),
        CallDelta(0, None, None, '"}'),
        ended,
    ]


@pytest.mark.parametrize(("finish", "pieces"), [("stop", ['{"input":"', '"}']), ("length", [])])
def test_nothing_said_is_an_empty_input_unless_it_was_cut(finish: str, pieces: list[str]) -> None:
    found: list[Delta] = Dictation(OFFER).taken([StepEnded(finish)])
    assert [delta.arguments for delta in found if isinstance(delta, CallDelta)] == pieces
