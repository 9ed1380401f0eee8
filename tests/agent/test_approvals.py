"""Approvals: a callback answers them, or the turn rests as text until somebody does."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from antiphon.agent import Agent, ConfigurationError, SessionError, StateError, TurnFailedError, TurnResult
from antiphon.agent.events import Approval, ApprovalRequested, TurnCompleted, TurnFailed, TurnStarted
from tests.agent.stub import Json, StatusError, Stub, add, answered, call, message, reply, user, whole, wish

MODES = ("conversation", "response", "stateless")


def decided(approve: bool, request: str = "mcpr_1", **more: str) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": request, "approve": approve, **more}


def agent(stub: Stub, **options: Any) -> Agent:
    return Agent(stub, **whole({"tools": [add], "retries": 0, **options}))


def _later(_: Approval) -> str:
    return "Not today."


def paused(made: Agent, session: str | None = None, **options: Any) -> TurnResult:
    result = made.create_turn("Hi", session or made.create_session(), stream=False, **options)
    assert result.stop_reason == "approval"
    assert result.state is not None
    return result


@pytest.mark.parametrize(("verdict", "item"), [(True, decided(True)), (False, decided(False))])
def test_a_callback_answers(verdict: bool, item: Json) -> None:
    asked: list[Approval] = []
    stub = Stub(reply(wish()), reply(message("Done"), response_id="resp_2"))

    def approve(approval: Approval) -> bool:
        asked.append(approval)
        return verdict

    made = agent(stub, approve=approve)
    chunks = [*made.create_turn("Hi", made.create_session())]
    assert asked == [Approval("mcpr_1", "lab", "erase", "{}")]
    assert sum(isinstance(chunk.event, ApprovalRequested) for chunk in chunks) == 1
    assert stub.inputs[-1] == [item]
    assert isinstance(chunks[-1].event, TurnCompleted)
    assert not chunks[-1].event.paused


def test_a_reason_denies() -> None:
    stub = Stub(reply(wish()), reply(message("Well")))
    made = agent(stub, approve=_later)
    made.create_turn("Hi", made.create_session(), stream=False)
    assert stub.inputs[-1] == [decided(False, reason="Not today.")]


@pytest.mark.parametrize("fault", [ValueError("no terminal"), None])
def test_a_callback_that_is_wrong_fails_the_turn(fault: Exception | None) -> None:
    def approve(_: Approval) -> Any:
        if fault is not None:
            raise fault
        return 1

    stub = Stub(reply(wish()), reply(message("B")))
    made = agent(stub, approve=approve)
    session = made.create_session()
    last = [*made.create_turn("Hi", session)][-1].event
    assert isinstance(last, TurnFailed)
    assert last.error_code == "approval_error"
    assert made.create_turn("And?", session, stream=False).final_text == "B"
    assert stub.inputs[-1][0]["approve"] is False


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_turn_rests_and_is_resumed_here_or_elsewhere(mode: str, elsewhere: bool) -> None:
    first = reply(wish(), call(), wish("mcpr_2"))
    one = Stub(first, reply(message("Done"), response_id="resp_2"), reply(message("Bye"), response_id="resp_3"))
    made = agent(one, continuity=mode)
    result = paused(made, temperature=0.5)
    assert [approval.id for approval in result.approvals] == ["mcpr_1", "mcpr_2"]
    if elsewhere:
        two = Stub(*one.replies)
        two.created.extend(one.created)
        made = agent(two, continuity=mode)
    else:
        two = one
    assert result.state is not None
    chunks = [*made.resume(result.state, {"mcpr_1": True, "mcpr_2": "No."})]
    started, last = chunks[0].event, chunks[-1].event
    assert isinstance(started, TurnStarted)
    assert isinstance(last, TurnCompleted)
    assert started.turn_id == result.turn_id
    assert (last.num_steps, last.response_ids, last.usage.total_tokens) == (3, ("resp_1", "resp_2"), 10)
    request = two.requests[-1]
    owed = [decided(True), answered("call_1", "3"), decided(False, "mcpr_2", reason="No.")]
    assert request["input"][-3:] == owed
    assert request["temperature"] == 0.5
    if mode == "response":
        assert request["previous_response_id"] == "resp_1"
    elif mode == "conversation":
        assert request["conversation"] == "conv_1"
    else:
        assert request["input"] == [user("Hi"), wish(), call(), wish("mcpr_2"), *owed]
    assert made.create_turn("And?", last.session_id, stream=False).final_text == "Bye"
    assert two.inputs[-1][-1] == user("And?")
    assert two.reads == 0


def test_some_are_answered_now_and_some_later() -> None:
    stub = Stub(reply(wish(), wish("mcpr_2")), reply(message("Done")))

    def approve(approval: Approval) -> bool | None:
        return True if approval.id == "mcpr_1" else None

    made = agent(stub, approve=approve)
    result = paused(made)
    assert [approval.id for approval in result.approvals] == ["mcpr_2"]
    assert result.state is not None
    assert made.resume(result.state, {"mcpr_2": False}, stream=False).final_text == "Done"
    assert stub.inputs[-1] == [decided(True), decided(False, "mcpr_2")]


def test_a_session_goes_on_without_its_paused_turn() -> None:
    stub = Stub(reply(wish()), reply(message("B"), response_id="resp_2"))
    made = agent(stub)
    session = made.create_session()
    result = paused(made, session)
    assert made.create_turn("Never mind", session, stream=False).final_text == "B"
    assert stub.inputs[-1][0]["approve"] is False
    assert result.state is not None
    with pytest.raises(SessionError, match="has gone on"):
        made.resume(result.state, {"mcpr_1": True})


def test_a_resumed_turn_that_fails_can_be_resumed_again() -> None:
    stub = Stub(reply(wish()), StatusError(503), reply(message("Done")))
    made = agent(stub)
    result = paused(made)
    assert result.state is not None
    with pytest.raises(TurnFailedError):
        made.resume(result.state, {"mcpr_1": True}, stream=False)
    stub.held = [wish()]
    assert made.resume(result.state, {"mcpr_1": True}, stream=False).final_text == "Done"
    assert stub.inputs[-1] == [decided(True)]


def test_a_turn_may_rest_twice() -> None:
    stub = Stub(
        reply(wish()), reply(wish("mcpr_2"), response_id="resp_2"), reply(message("Done"), response_id="resp_3")
    )
    made = agent(stub)
    one = paused(made)
    assert one.state is not None
    two = made.resume(one.state, {"mcpr_1": True}, stream=False)
    assert two.state is not None
    three = made.resume(two.state, {"mcpr_2": True}, stream=False)
    assert three.final_text == "Done"
    assert three.response_ids == ("resp_1", "resp_2", "resp_3")


@pytest.mark.parametrize("approvals", [{}, {"mcpr_9": True}, {"mcpr_1": True, "mcpr_9": True}, {"mcpr_1": None}])
def test_what_is_resumed_has_exactly_the_answers_it_waits_for(approvals: dict[str, Any]) -> None:
    made = agent(Stub(reply(wish())))
    result = paused(made)
    assert result.state is not None
    with pytest.raises(ConfigurationError):
        made.resume(result.state, approvals)


WRONG: Final[list[Json]] = [{"antiphon_turn": 2}, {"session": {}}, {"usage": None}, {"approvals": [{}]}]


@pytest.mark.parametrize("change", WRONG)
def test_a_text_that_is_no_state_is_refused(change: Json) -> None:
    made = agent(Stub(reply(wish())))
    result = paused(made)
    assert result.state is not None
    with pytest.raises(StateError):
        made.resume(json.dumps({**json.loads(result.state), **change}), {"mcpr_1": True})


@pytest.mark.parametrize("text", ["", "[]", "{}", "7"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(StateError):
        agent(Stub()).resume(text, {})


def test_options_that_no_text_can_hold_fail_the_turn() -> None:
    made = agent(Stub(reply(wish())))
    with pytest.raises(TurnFailedError, match="must be JSON") as caught:
        made.create_turn("Hi", made.create_session(), stream=False, extra_body={"when": object()})
    assert caught.value.code == "state_error"
