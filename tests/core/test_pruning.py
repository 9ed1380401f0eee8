"""What goes first when a context is too long."""

from __future__ import annotations

from antiphon.core.effects import Entry, Exchange
from antiphon.core.pruning import droppable, grouped, halved, without
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Item,
    Message,
    Reasoning,
    Role,
    WebSearchCall,
)


def said(name: str, role: Role = "user") -> Entry:
    part = OutputText(text=name) if role == "assistant" else InputText(text=name)
    return Entry(Message(id=name, role=role, content=(part,)))


def called(name: str) -> Entry:
    return Entry(FunctionCall(id=f"fc_{name}", call_id=name, name="f", arguments="{}"))


def answered(name: str) -> Entry:
    return Entry(FunctionCallOutput(id=f"fo_{name}", call_id=name, output="o"))


def thought(name: str) -> Entry:
    return Entry(Reasoning(id=name))


def sizes(*entries: Entry) -> list[int]:
    return [len(group) for group in grouped(entries)]


def test_a_call_stays_with_its_output() -> None:
    assert sizes(said("u"), called("a"), answered("a"), said("x", "assistant")) == [1, 2, 1]
    assert sizes(called("a"), called("b"), answered("b"), answered("a"), said("u")) == [4, 1]
    assert sizes(called("a"), said("between", "developer"), answered("a")) == [3]
    assert sizes(called("a"), answered("fc_a")) == [2]  # some clients answer by the item's id
    assert sizes(answered("nobody"), said("u")) == [1, 1]
    custom: list[Item] = [
        CustomToolCall(call_id="c", name="n", input=""),
        CustomToolCallOutput(call_id="c", output="o"),
    ]
    assert sizes(*map(Entry, custom)) == [2]


def test_reasoning_stays_with_what_follows_it() -> None:
    assert sizes(said("u"), thought("r"), said("a", "assistant"), thought("s"), called("c"), answered("c")) == [1, 2, 3]
    assert sizes(thought("r")) == [1]


def test_a_server_side_call_stands_alone() -> None:
    search = Entry(WebSearchCall(id="ws"), Exchange("c", "web_search", "{}", "found"))
    refused = Entry(None, Exchange("d", "web_search", "{}", "refused"))
    assert sizes(said("u"), search, refused, said("a", "assistant")) == [1, 1, 1, 1]


def test_instructions_and_everything_from_the_last_question_on_stay() -> None:
    context = [
        said("s", "system"),
        said("u1"),
        said("a1", "assistant"),
        said("d", "developer"),
        said("u2"),
        called("c"),
    ]
    assert droppable(grouped([*context, answered("c")])) == (1, 2)
    assert droppable(grouped([said("u")])) == ()
    assert droppable(grouped([])) == ()


def test_without_a_question_the_last_group_stays() -> None:
    assert droppable(grouped([said("a", "assistant"), called("c"), answered("c")])) == (0,)


def test_the_oldest_go_until_it_fits() -> None:
    context = (said("u1"), called("c"), answered("c"), said("a1", "assistant"), said("u2"))
    groups = grouped(context)
    assert without(groups, [10, 10, 10, 10], 0) == (context, 0)
    assert without(groups, [10, 10, 10, 10], 10) == (context[1:], 1)
    assert without(groups, [10, 10, 10, 10], 11) == (context[3:], 3)
    assert without(groups, [10, 10, 10, 10], 1000) == (context[4:], 4)


def test_where_nobody_knows_the_size_the_older_half_goes() -> None:
    context = tuple(said(f"u{n}") for n in range(6))
    once, gone = halved(context)
    assert (once, gone) == (context[3:], 3)
    assert halved(once) == (context[4:], 1)
    assert halved(context[5:]) == (context[5:], 0)
