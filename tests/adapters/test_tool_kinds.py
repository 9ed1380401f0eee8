"""The tools that clients run: what the model is shown of them, and what its calls become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.adapters.tools import apply_patch, computer, custom, function, local_shell, namespace, shell, tool_search
from antiphon.adapters.tools.custom import Unwrapper
from antiphon.core.choice import chosen, combined
from antiphon.core.deltas import CallDelta, StepEnded, TextDelta
from antiphon.core.effects import Exchange, Form, Generate, Offer, Place
from antiphon.core.recall import NAME_LENGTH, called, flattened
from antiphon.ports.tool import UnservedError
from antiphon.wire.codec import builtins
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import ComputerCall, CustomToolCall, FunctionCall
from antiphon.wire.tools import (
    AllowedTools,
    ApplyPatchTool,
    ComputerTool,
    ComputerUsePreviewTool,
    CustomTool,
    FunctionTool,
    LocalShellTool,
    NamedChoice,
    NamespaceTool,
    ShellTool,
    Tool,
    ToolSearchTool,
)
from tests.core.plays import Play
from tests.grammar import check

SPACE = NamespaceTool(
    name="crm",
    description="Customers.",
    tools=(FunctionTool(name="find", strict=False), CustomTool(name="note", description="Takes a note.")),
)
DEFERRED = FunctionTool(name="rare", defer_loading=True)
OFFERING = {
    FunctionTool: function.offered,
    CustomTool: custom.offered,
    NamespaceTool: namespace.offered,
    ToolSearchTool: tool_search.offered,
    LocalShellTool: local_shell.offered,
    ShellTool: shell.offered,
    ApplyPatchTool: apply_patch.offered,
    ComputerTool: computer.offered,
    ComputerUsePreviewTool: computer.offered,
}


def offers_of(*tools: Tool) -> list[Offer]:
    return [offer for place, tool in enumerate(tools) for offer in OFFERING[type(tool)](tool, place)]  # pyright: ignore[reportArgumentType] - unknown tools are not asked for here


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


# unwrapping


@given(st.text(), st.booleans(), st.lists(st.integers(0), max_size=12), st.sampled_from([None, 1]))
@example('\U0001f600\\u"\n\u2028', True, list(range(60)), None)
def test_a_wrapped_string_is_unwrapped_whatever_it_holds_and_wherever_it_is_cut(
    text: str, ascii_only: bool, cuts: list[int], indent: int | None
) -> None:
    written = json.dumps({"input": text}, ensure_ascii=ascii_only, indent=indent)
    form = custom.CustomForm("c")
    draft = form.draft(Place("ctc_1", "call_1", 0))
    cut = pieces(written, cuts)
    told = [builtins(event) for event in draft.write(cut)]
    last, item = draft.closed(written, whole=True)
    told += [builtins(event) for event in last]
    done = told.pop()
    assert all(event["type"] == "response.custom_tool_call_input.delta" for event in told)
    assert "".join(event["delta"] for event in told) == text
    assert (done["type"], done["input"]) == ("response.custom_tool_call_input.done", text)
    assert builtins(item)["input"] == text


def test_the_input_is_told_as_soon_as_it_is_known() -> None:
    unwrapper = Unwrapper()
    told = [unwrapper.feed(piece) for piece in ['{"in', 'put": "a', "b\\", "n", "\\ud8", "3d\\ude", '00c"', "}"]]
    assert told == ["", "a", "b", "\n", "", "", "\U0001f600c", ""]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"patch": "x"}', '{"patch": "x"}'),
        ('{"input": 5}', '{"input": 5}'),
        ('{"why": "y", "input": "x"}', "x"),
        ('"x"', "x"),
        ('{"input": "x', "x"),
        ('{"input": "x", "more": 1}', "x"),
        ('{"input": "a\nb"}', "a\nb"),
        (r'{"input": "\q\u12 \ud83d"}', "\\q\\u12 \ufffd"),
        ('{"inp', '{"inp'),
        ("", ""),
    ],
)
def test_text_that_is_not_wrapped_as_it_should_be_is_not_lost(written: str, text: str) -> None:
    draft = custom.CustomForm("c").draft(Place("ctc_1", "call_1", 0))
    events = [*draft.write(list(written))]
    last, item = draft.closed(written, whole=True)
    deltas = [builtins(event)["delta"] for event in (*events, *last[:-1])]
    assert "".join(deltas) == text
    assert builtins(item)["input"] == text


def test_an_input_that_was_cut_is_what_was_told_of_it() -> None:
    draft = custom.CustomForm("c").draft(Place("ctc_1", "call_1", 0))
    draft.write(['{"input": "half \\u00'])
    item = builtins(draft.closed('{"input": "half \\u00', whole=False)[1])
    assert (item["input"], item["status"]) == ("half ", "incomplete")


# what is shown


def test_a_grammar_is_told_in_the_description() -> None:
    lark = CustomTool(
        name="c", description="Edits.", format={"type": "grammar", "syntax": "lark", "definition": "start: A"}
    )
    described = offers_of(lark)[0].description or ""
    assert described.startswith("Edits.\n\n")
    assert "lark grammar" in described
    assert "start: A" in described
    empty = CustomTool(name="c", format={"type": "grammar", "syntax": "lark", "definition": ""})
    assert offers_of(empty)[0].description is None
    assert offers_of(empty)[0].grammar is None


def test_members_of_a_namespace_are_functions_that_say_where_they_belong() -> None:
    find, note = offers_of(SPACE)
    assert (find.name, find.description, find.strict) == ("crm__find", "Customers.", False)
    assert (note.name, note.description) == ("crm__note", "Takes a note.")


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_a_flattened_name_fits_and_is_no_other_members(space: str, name: str, other: str) -> None:
    first, second = flattened(space, name), flattened(space, other)
    assert len(first) <= NAME_LENGTH
    assert all(character.isascii() and (character.isalnum() or character in "_-") for character in first)
    assert (first == second) == (name == other)


def test_a_shell_in_a_container_is_not_served() -> None:
    with pytest.raises(UnservedError, match="container_auto"):
        offers_of(ShellTool(environment={"type": "container_auto"}))
    assert offers_of(ShellTool())[0].name == "shell"


def test_skills_of_the_local_machine_are_named() -> None:
    skill = {"name": "pdf", "description": "Reads PDFs.", "path": "skills/pdf"}
    described = offers_of(ShellTool(environment={"type": "local", "skills": [skill, "junk"]}))[0].description
    assert "- pdf (in skills/pdf): Reads PDFs." in (described or "")


def test_the_older_computer_knows_its_screen() -> None:
    preview = ComputerUsePreviewTool(display_width=800, display_height=600, environment="browser")
    assert "browser, 800 x 600 pixels" in (offers_of(preview)[0].description or "")


# what becomes of calls


def played(arguments: str, *tools: Tool, name: str | None = None) -> Play:
    offers = offers_of(*tools)
    play = Play(*offers)
    play.tell(CallDelta(0, "call_1", name or offers[0].name, ""))
    play.tell(*(CallDelta(0, None, None, piece) for piece in pieces(arguments, range(0, 400, 7))))
    play.tell(StepEnded("tool_calls"))
    return play


@pytest.mark.parametrize(
    ("tool", "arguments", "item"),
    [
        (
            CustomTool(name="c"),
            '{"input": "x\\ny"}',
            {"type": "custom_tool_call", "name": "c", "input": "x\ny"},
        ),
        (
            LocalShellTool(),
            '{"command": ["ls", "-l"], "timeout_ms": 5}',
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["ls", "-l"], "env": {}, "timeout_ms": 5},
            },
        ),
        (
            ShellTool(),
            '{"commands": ["ls", "pwd"], "timeout_ms": 5}',
            {
                "type": "shell_call",
                "action": {"commands": ["ls", "pwd"], "timeout_ms": 5, "max_output_length": None},
                "environment": {"type": "local"},
            },
        ),
        (
            ShellTool(),
            '{"commands": "ls"}',
            {
                "type": "shell_call",
                "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None},
                "environment": {"type": "local"},
            },
        ),
        (
            ApplyPatchTool(),
            '{"type": "update_file", "path": "a", "diff": "@@\\n-a\\n+b"}',
            {"type": "apply_patch_call", "operation": {"type": "update_file", "path": "a", "diff": "@@\n-a\n+b"}},
        ),
        (
            ComputerTool(),
            '{"actions": [{"type": "click", "x": 1, "y": 2}, {"type": "type", "text": "hi"}]}',
            {
                "type": "computer_call",
                "actions": [
                    {"type": "click", "button": "left", "x": 1, "y": 2, "keys": None},
                    {"type": "type", "text": "hi"},
                ],
                "pending_safety_checks": [],
            },
        ),
        (
            ComputerUsePreviewTool(display_width=8, display_height=6, environment="mac"),
            '{"action": {"type": "scroll", "x": 1, "y": 2, "scroll_y": 30}}',
            {
                "type": "computer_call",
                "action": {"type": "scroll", "x": 1, "y": 2, "scroll_x": 0, "scroll_y": 30, "keys": None},
                "pending_safety_checks": [],
            },
        ),
        (
            ToolSearchTool(execution="client"),
            '{"query": "files"}',
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "files"}},
        ),
        (SPACE, '{"id": 1}', {"type": "function_call", "name": "find", "namespace": "crm", "arguments": '{"id": 1}'}),
    ],
)
def test_a_call_is_an_item_of_its_kind(tool: Tool, arguments: str, item: dict[str, Any]) -> None:
    play = played(arguments, tool)
    check(play.events)
    assert play.run.response.status == "completed"
    made = play.output[0]
    assert {name: made[name] for name in item} == item
    assert (made["call_id"], made["status"]) == ("call_1", "completed")


def test_a_custom_member_of_a_namespace_keeps_both_its_names() -> None:
    play = played('{"input": "x"}', SPACE, name="crm__note")
    check(play.events)
    made = play.output[0]
    assert (made["type"], made["name"], made["namespace"], made["input"]) == ("custom_tool_call", "note", "crm", "x")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (ApplyPatchTool(), '{"type": "create_file", "path": "a"}'),
        (ApplyPatchTool(), "*** Begin Patch"),
        (ShellTool(), '{"commands": []}'),
        (LocalShellTool(), '{"command": "ls"}'),
        (ComputerTool(), '{"actions": [{"type": "fly"}]}'),
        (ToolSearchTool(execution="client"), "files"),
    ],
)
def test_arguments_that_make_no_item_are_told_to_the_model_which_tries_again(tool: Tool, arguments: str) -> None:
    play = played(arguments, tool)
    assert isinstance(play.effect, Generate)
    told = play.effect.context[-1].exchange
    assert isinstance(told, Exchange)
    assert (told.call_id, told.arguments) == ("call_1", arguments)
    assert told.output.startswith("Not run. The arguments are not as described: ")
    play.tell(TextDelta("I see."), StepEnded("stop"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["message"]


def test_a_call_that_was_cut_before_it_makes_an_item_leaves_none() -> None:
    play = Play(*offers_of(ApplyPatchTool()))
    play.tell(TextDelta("Wait."), CallDelta(0, "a", "apply_patch", '{"type": "create_f'), StepEnded("length"))
    check(play.events)
    assert play.run.response.status == "incomplete"
    assert [item["type"] for item in play.output] == ["message"]


def test_a_custom_call_that_was_cut_is_incomplete() -> None:
    play = Play(*offers_of(CustomTool(name="c")))
    play.tell(CallDelta(0, "a", "c", '{"input": "half'), StepEnded("length"))
    check(play.events)
    assert [(item["input"], item["status"]) for item in play.output] == [("half", "incomplete")]


def test_a_custom_call_that_a_crash_cut_is_made_again_under_another_id() -> None:
    play = Play(*offers_of(CustomTool(name="c")))
    play.tell(CallDelta(0, "a", "c", '{"input": "half'))
    play.crash()
    play.tell(CallDelta(0, "a", "c", '{"input": "whole"}'), StepEnded("tool_calls"))
    check(play.events)
    assert [(item["input"], item["status"]) for item in play.output] == [("", "incomplete"), ("whole", "completed")]
    assert play.output[1]["call_id"] != "a"


def test_calls_of_all_kinds_in_one_answer_keep_their_order() -> None:
    play = Play(*offers_of(ApplyPatchTool(), CustomTool(name="c"), ShellTool(), FunctionTool(name="f")))
    play.tell(
        CallDelta(0, "a", "apply_patch", '{"type": "delete_file", '),
        CallDelta(1, "b", "c", '{"input": "x'),
        CallDelta(0, None, None, '"path": "p"}'),
        CallDelta(2, "c", "shell", '{"commands": ["ls"]}'),
        CallDelta(1, None, None, 'y"}'),
        CallDelta(3, "d", "f", ""),
        StepEnded("tool_calls"),
    )
    check(play.events)
    assert [item["type"] for item in play.output] == [
        "apply_patch_call",
        "custom_tool_call",
        "shell_call",
        "function_call",
    ]


def test_a_faulty_call_beside_a_good_one_leaves_the_good_one_to_the_client() -> None:
    play = Play(*offers_of(ShellTool(), FunctionTool(name="f")))
    play.tell(CallDelta(0, "a", "shell", "{}"), CallDelta(1, "b", "f", "{}"), StepEnded("tool_calls"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["function_call"]
    assert play.run.response.status == "completed"


FORMS: list[Form] = [offer.form for offer in offers_of(ShellTool(), ApplyPatchTool(), ComputerTool()) if offer.form]


@given(st.sampled_from(FORMS), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_no_arguments_break_a_form(form: Form, value: Any) -> None:
    written = json.dumps({"commands": value, "type": value, "path": value, "actions": value})
    if form.fault(written) is None:
        form.draft(Place("i", "c", 0)).closed(written, whole=True)


# what is chosen


@pytest.mark.parametrize(
    ("kind", "name", "function_name"),
    [
        ("custom", "c", "c"),
        ("function", "f", "f"),
        ("function", "find", "crm__find"),
        ("function", "crm__find", "crm__find"),
        ("custom", "note", "crm__note"),
        ("apply_patch", None, "apply_patch"),
        ("shell", None, "shell"),
        ("local_shell", None, "local_shell"),
        ("computer", None, "computer"),
        ("computer_use", None, "computer"),
        ("computer_use_preview", None, "computer"),
        ("tool_search", None, "tool_search"),
        ("function", "rare", "rare"),
    ],
)
def test_every_kind_can_be_forced(kind: str, name: str | None, function_name: str) -> None:
    tools: tuple[Tool, ...] = (
        FunctionTool(name="f"),
        CustomTool(name="c"),
        SPACE,
        ApplyPatchTool(),
        ShellTool(),
        LocalShellTool(),
        ComputerTool(),
        ToolSearchTool(execution="client"),
        DEFERRED,
    )
    wanted = NamedChoice(type=kind) if name is None else NamedChoice(type=kind, name=name)
    offers, choice = chosen(wanted, offers_of(*tools), tools)
    assert choice == NamedChoice(type="function", name=function_name)
    assert any(offer.name == function_name for offer in offers)


def test_a_custom_tool_is_not_a_function_of_the_same_name() -> None:
    tools = (CustomTool(name="c"),)
    with pytest.raises(InvalidRequestError, match="Tool choice 'c' not found"):
        chosen(NamedChoice(type="function", name="c"), offers_of(*tools), tools)


def test_allowed_tools_leaves_the_kinds_that_it_names() -> None:
    tools: tuple[Tool, ...] = (FunctionTool(name="f"), CustomTool(name="c"), SPACE, ShellTool(), ApplyPatchTool())
    allowed = AllowedTools(
        mode="required",
        tools=({"type": "custom", "name": "c"}, {"type": "shell"}, {"type": "namespace", "name": "crm"}),
    )
    offers, choice = chosen(allowed, offers_of(*tools), tools)
    assert choice == "required"
    assert [offer.name for offer in offers] == ["c", "crm__find", "crm__note", "shell"]


def test_deferred_tools_are_hidden_only_where_the_client_can_look_for_them() -> None:
    found = (FunctionTool(name="rare", description="found"),)
    with_search: tuple[Tool, ...] = (ToolSearchTool(execution="client"), DEFERRED)
    assert [offer.name for offer in chosen("auto", offers_of(*with_search), with_search)[0]] == ["tool_search"]
    assert [offer.name for offer in chosen("auto", offers_of(DEFERRED), (DEFERRED,))[0]] == ["rare"]
    offers = combined(offers_of(*with_search), offers_of(*found))
    assert [(offer.name, offer.description) for offer in offers][1:] == [("rare", "found")]


def test_a_tool_that_was_found_twice_is_offered_once_as_it_was_found_last() -> None:
    added = offers_of(FunctionTool(name="f", description="old"), FunctionTool(name="f", description="new"))
    assert [offer.description for offer in combined([], added)] == ["new"]
    own = offers_of(FunctionTool(name="f", description="own"))
    assert [offer.description for offer in combined(own, added)] == ["own"]


# what is remembered


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (ShellTool(), {"commands": ["ls"], "timeout_ms": 5}),
        (LocalShellTool(), {"command": ["ls"], "env": {"A": "b"}, "working_directory": "/x"}),
        (ApplyPatchTool(), {"type": "update_file", "path": "a", "diff": "b"}),
        (ComputerTool(), {"actions": [{"type": "keypress", "keys": ["A"]}]}),
        (
            ComputerUsePreviewTool(display_width=8, display_height=6, environment="mac"),
            {"action": {"type": "wait"}},
        ),
        (ToolSearchTool(execution="client"), {"query": "x"}),
        (CustomTool(name="c"), {"input": "x\ud7ff"}),
        (SPACE, {"a": 1}),
    ],
)
def test_what_the_model_wrote_is_what_it_reads_in_the_next_turn(tool: Tool, arguments: dict[str, Any]) -> None:
    play = played(json.dumps(arguments), tool)
    item = play.run.output[0].item
    assert item is not None
    again = called(item)
    assert again is not None
    offer = offers_of(tool)[0]
    assert (again.call_id, again.name, json.loads(again.arguments)) == ("call_1", offer.name, arguments)
    assert offer.form is not None
    assert offer.form.fault(again.arguments) is None


def test_malformed_arguments_of_a_function_are_remembered_as_an_object() -> None:
    again = called(FunctionCall(call_id="a", name="f", arguments='{"city": Par'))
    assert again is not None
    assert json.loads(again.arguments) == {"arguments": '{"city": Par'}


def test_names_in_a_namespace_are_flattened_again() -> None:
    for item in (
        FunctionCall(call_id="a", name="find", namespace="crm", arguments="{}"),
        CustomToolCall(call_id="a", name="find", namespace="crm", input=""),
    ):
        again = called(item)
        assert again is not None
        assert again.name == "crm__find"


def test_a_computer_call_without_actions_is_still_a_call() -> None:
    again = called(ComputerCall(call_id="a"))
    assert again is not None
    assert again.arguments == '{"actions":[]}'
