"""Items and calls before the first generation, and approvals: as values, without an engine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from antiphon.adapters.tools.mcp import DICTATION, Receipt
from antiphon.core.approvals import approved, settled
from antiphon.core.context import chat_messages
from antiphon.core.deltas import CallDelta, StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Approved, Entry, Execute, Generate, Offer, Opening, Outcome, Preface
from antiphon.core.native import NativeDialect, native_body
from antiphon.core.run import Run
from antiphon.core.state import OpenItem, unpack
from antiphon.core.usage import counted
from antiphon.wire.content import OutputText
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
)
from antiphon.wire.responses import CreateResponse
from tests.core.plays import Play, user
from tests.grammar import check

LISTED = McpListTools(server_label="lab")
PREFACE = Preface("mcpl_", LISTED, ("in_progress", "completed"), LISTED)
OFFER = Offer("lab__set", receipt=Receipt("lab", "set", "mcpr_1"), dictation=DICTATION)
SET = Approved("mcpr_1", '{"x":1}', OFFER)
REQUEST = McpApprovalRequest(id="mcpr_1", server_label="lab", name="set", arguments='{"x":1}')
OTHER = McpApprovalRequest(id="mcpr_2", server_label="lab", name="get", arguments="{}")
DONE = StepEnded("stop", counted(5, 3))


def opened(*calls: Approved, prefaces: int = 1) -> Play:
    """A run with items and approved calls before its first generation."""
    return Play(opening=Opening(prefaces=(PREFACE,) * prefaces, approved=calls))


def yes(request_id: str = "mcpr_1", *, approve: bool = True) -> McpApprovalResponse:
    return McpApprovalResponse(id=f"mcpa_{request_id}", approval_request_id=request_id, approve=approve)


def entries(*items: Item) -> tuple[Entry, ...]:
    return tuple(map(Entry, items))


def ran(request_id: str = "mcpr_1") -> McpCall:
    return McpCall(
        id="mcp_1", server_label="lab", name="set", arguments="{}", output="ok", approval_request_id=request_id
    )


def said(text: str) -> Message:
    return Message(role="assistant", content=(OutputText(text=text),))


# which calls are approved


def test_an_approval_of_the_input_is_found_in_history_and_input() -> None:
    assert approved(entries(REQUEST), entries(yes())) == (REQUEST,)
    assert approved((), entries(REQUEST, OTHER, yes("mcpr_2"), yes())) == (OTHER, REQUEST)
    assert approved(entries(REQUEST), entries(yes(approve=False))) == ()


def test_an_approval_is_used_once() -> None:
    assert approved(entries(REQUEST, yes(), ran()), entries(yes())) == ()
    assert approved((), entries(REQUEST, yes(), ran())) == ()
    assert approved((), entries(REQUEST, yes(), yes())) == (REQUEST,)
    assert approved(entries(REQUEST, yes()), ()) == ()
    assert approved((), entries(REQUEST, yes(), said("It was set."))) == ()


@pytest.mark.parametrize(
    ("history", "given"),
    [
        ((), (yes(),)),
        ((REQUEST, yes(approve=False)), (yes(),)),
        ((REQUEST,), (yes(), yes(approve=False))),
    ],
)
def test_an_answer_to_nothing_and_a_change_of_mind_are_refused(
    history: tuple[Item, ...], given: tuple[Item, ...]
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        approved(entries(*history), entries(*given))
    assert refused.value.param == "input"


# what the model is told


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ((REQUEST,), "has not approved"),
        ((REQUEST, yes(approve=False)), "denied"),
        ((REQUEST, replace(yes(approve=False), reason="too hot")), "too hot"),
        ((REQUEST, yes()), "stopped"),
    ],
)
def test_a_call_that_was_not_run_is_told_with_the_reason(items: tuple[Item, ...], words: str) -> None:
    context = settled((user("x"), *entries(*items)), ())
    wanted = Generate("m", CreateResponse(model="m"), context)
    _, asked, told = chat_messages(wanted, Dialect())
    assert asked["tool_calls"][0]["function"]["name"] == "lab__set"
    assert words in told["content"]
    native = native_body(wanted, NativeDialect(), "up")["input"]
    assert [item["type"] for item in native] == ["message", "function_call", "function_call_output"]


def test_a_call_that_was_run_is_told_once() -> None:
    context = settled(entries(REQUEST, yes(), ran()), ())
    assert [type(entry.item) for entry in context] == [McpCall]
    assert settled(entries(REQUEST, yes()), (REQUEST,)) == ()


# the run


def test_what_comes_before_the_first_generation_is_told_first() -> None:
    play = opened(SET)
    assert isinstance(play.effect, Execute)
    (call,) = play.effect.calls
    assert (call.call_id, call.arguments) == ("mcpr_1", '{"x":1}')
    play.tell(Outcome("mcpr_1", "set"))
    assert isinstance(play.effect, Generate)
    assert [entry.exchange.output for entry in play.effect.context if entry.exchange] == ["set"]
    play.tell(TextDelta("Done."), DONE)
    check(play.events)
    assert [item["type"] for item in play.output] == ["mcp_list_tools", "mcp_call", "message"]


def test_several_approved_calls_run_together() -> None:
    play = opened(SET, Approved("mcpr_2", "{}", replace(OFFER, receipt=Receipt("lab", "get", "mcpr_2"))))
    assert [call.call_id for call in play.calls()] == ["mcpr_1", "mcpr_2"]
    play.tell(Outcome("mcpr_2", "two"))
    play.tell(Outcome("mcpr_1", "one", failed=True))
    play.tell(TextDelta("Done."), DONE)
    check(play.events)
    assert [item.get("status") for item in play.output] == [None, "failed", "completed", "completed"]


def test_a_run_without_a_call_generates_behind_its_preface() -> None:
    play = opened(prefaces=2)
    assert play.run.blank
    play.tell(TextDelta("Hi"), DONE)
    check(play.events)
    assert not play.run.blank
    assert [item["type"] for item in play.output] == ["mcp_list_tools", "mcp_list_tools", "message"]


@pytest.mark.parametrize("repeatable", [False, True])
def test_an_approved_call_in_flight_is_not_run_twice(repeatable: bool) -> None:
    play = opened(SET)
    play.crash(repeatable=repeatable)
    if repeatable:
        assert [call.call_id for call in play.calls()] == ["mcpr_1"]
        play.tell(Outcome("mcpr_1", "set"))
    assert isinstance(play.effect, Generate)
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    call = play.output[1]
    assert call["status"] == ("completed" if repeatable else "failed")
    assert call["approval_request_id"] == "mcpr_1"


def test_an_approved_call_that_has_ended_is_kept_when_the_run_is_resumed() -> None:
    play = opened(SET)
    play.tell(Outcome("mcpr_1", "set"))
    play.crash(repeatable=False)
    assert isinstance(play.effect, Generate)
    assert [entry.exchange.output for entry in play.effect.context if entry.exchange] == ["set"]


def test_a_call_whose_tool_is_gone_is_told_as_interrupted() -> None:
    play = Play(replace(OFFER, receipt=Receipt("lab", "set")))
    play.tell(CallDelta(0, "call_0", "lab__set", "{}"), StepEnded("tool_calls"))
    state = unpack(play.run.state([OpenItem(0, Receipt("lab", "set").opened("mcp_1"))]).pack())
    again = Run(replace(play.run.plan, offers=()), lambda prefix: f"{prefix}9", lambda: 2.0)
    again.resume(state, {}, lambda call: True)
    assert isinstance(again.effect, Generate)
    (told,) = [entry.exchange.output for entry in again.effect.context if entry.exchange]
    assert "effect is unknown" in told


def test_a_cancelled_run_closes_its_approved_call() -> None:
    play = opened(SET)
    play.cancel()
    assert [item.get("status") for item in play.output] == [None, "incomplete"]
