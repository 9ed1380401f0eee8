"""What requests hold of a session in the three modes, and that no failure makes a session unusable."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.agent import Agent, TurnFailedError
from antiphon.agent.items import ABANDONED
from tests.agent.stub import (
    APIConnectionError,
    Json,
    StatusError,
    Stub,
    add,
    added,
    answered,
    call,
    done,
    message,
    opening,
    reply,
    user,
    whole,
    wish,
)

MODES = ("conversation", "response", "stateless")


def agent(stub: Stub, mode: str = "conversation", **options: Any) -> Agent:
    return Agent(stub, **whole({"tools": [add], "continuity": mode, "retries": 0, **options}))


def ask(made: Agent, session: str, text: str = "Hi") -> str:
    return made.create_turn(text, session, stream=False).final_text


def fails(made: Agent, session: str, text: str = "Hi") -> str:
    with pytest.raises(TurnFailedError) as caught:
        ask(made, session, text)
    return caught.value.code


def test_a_session_is_a_conversation_created_with_its_first_turn() -> None:
    stub = Stub(reply(message("A")), reply(message("B")))
    made = agent(stub)
    session = made.create_session("Trip")
    assert (stub.created, made.conversation_id(session)) == ([], None)
    ask(made, session)
    ask(made, session, "And?")
    assert stub.created == [{"metadata": {"name": "Trip"}}]
    assert made.conversation_id(session) == "conv_1"
    assert [request["conversation"] for request in stub.requests] == ["conv_1", "conv_1"]
    assert stub.inputs == [[user("Hi")], [user("And?")]]
    assert stub.reads == 0


def test_responses_are_chained() -> None:
    stub = Stub(reply(call()), reply(message("3"), response_id="resp_2"), reply(message("B"), response_id="resp_3"))
    made = agent(stub, "response")
    session = made.create_session()
    assert ask(made, session) == "3"
    ask(made, session, "And?")
    assert [request.get("previous_response_id") for request in stub.requests] == [None, "resp_1", "resp_2"]
    assert stub.inputs == [[user("Hi")], [answered("call_1", "3")], [user("And?")]]
    assert stub.created == []


def test_a_stateless_session_replays_everything() -> None:
    thought: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"}
    stub = Stub(reply(thought, call()), reply(message("3")), reply(message("B")))
    made = agent(stub, "stateless", include=["file_search_call.results"])
    session = made.create_session()
    ask(made, session)
    ask(made, session, "And?")
    output = [user("Hi"), thought, call(), answered("call_1", "3"), message("3")]
    assert stub.inputs == [[user("Hi")], output[:4], [*output, user("And?")]]
    for request in stub.requests:
        assert request["store"] is False
        assert request["include"] == ["file_search_call.results", "reasoning.encrypted_content"]


@pytest.mark.parametrize("mode", MODES)
def test_calls_that_a_failed_follow_up_leaves_open_get_their_real_outputs_with_the_next_turn(mode: str) -> None:
    stub = Stub(reply(call()), StatusError(400), reply(message("B"), response_id="resp_2"))
    made = agent(stub, mode)
    session = made.create_session()
    assert fails(made, session) == "http_400"
    assert ask(made, session, "And?") == "B"
    assert stub.inputs[-1][-2:] == [answered("call_1", "3"), user("And?")]
    assert stub.reads == 0


@pytest.mark.parametrize("mode", MODES)
def test_calls_that_were_never_run_are_answered_with_the_next_turn(mode: str) -> None:
    stub = Stub(reply(call()), reply(message("B"), response_id="resp_2"))
    made = agent(stub, mode, max_steps=1)
    session = made.create_session()
    assert fails(made, session) == "max_steps"
    assert ask(made, session, "And?") == "B"
    assert stub.inputs[-1][-2:] == [answered("call_1", ABANDONED), user("And?")]


def test_what_is_answered_by_the_program_is_not_answered_twice() -> None:
    stub = Stub(reply(call()), reply(message("B")))
    made = agent(stub, max_steps=1)
    session = made.create_session()
    fails(made, session)
    made.create_turn([answered("call_1", "mine"), user("And?")], session, stream=False)
    assert stub.inputs[-1] == [answered("call_1", "mine"), user("And?")]


@pytest.mark.parametrize(
    ("held", "owed"),
    [
        ([], []),
        ([user("Hi"), call()], [answered("call_1", ABANDONED)]),
        ([call(), answered("call_1", "3"), call("call_2"), message("x")], [answered("call_2", ABANDONED)]),
    ],
)
def test_a_conversation_is_read_when_nobody_knows_what_it_holds(held: list[Json], owed: list[Json]) -> None:
    cut = [*opening(), added(call(), 0), done(call(), 0)]
    stub = Stub(cut, reply(message("B")), reply(message("C")))
    made = agent(stub)
    session = made.create_session()
    assert fails(made, session) == "stream_cut"
    stub.held = held
    assert ask(made, session, "And?") == "B"
    assert stub.inputs[-1] == [*owed, user("And?")]
    ask(made, session)
    assert stub.reads == 1


@pytest.mark.parametrize("error", [APIConnectionError("gone"), StatusError(500)])
def test_outputs_are_kept_when_nobody_knows_whether_they_arrived(error: Exception) -> None:
    for held, owed in (([call()], [answered("call_1", "3")]), ([call(), answered("call_1", "3")], [])):
        stub = Stub(reply(call()), error, reply(message("B")))
        made = agent(stub)
        session = made.create_session()
        fails(made, session)
        stub.held = held
        ask(made, session, "And?")
        assert stub.inputs[-1] == [*owed, user("And?")]


def test_a_conversation_of_somebody_else_is_read_once() -> None:
    stub = Stub(reply(message("A")), reply(message("B")))
    stub.held = [call("call_9"), wish("mcpr_9")]
    made = agent(stub)
    ask(made, "conv_9")
    ask(made, "conv_9")
    denial = {"type": "mcp_approval_response", "approval_request_id": "mcpr_9", "approve": False, "reason": ABANDONED}
    assert stub.inputs == [[answered("call_9", ABANDONED), denial, user("Hi")], [user("Hi")]]
    assert stub.reads == 1


@pytest.mark.parametrize("mode", ["response", "stateless"])
def test_a_response_that_failed_leaves_nothing_behind(mode: str) -> None:
    stub = Stub(
        reply(message("A")),
        reply(message("x"), response_id="resp_2", how="failed"),
        [*opening("resp_3"), added(call(), 0), done(call(), 0)],
        reply(message("B"), response_id="resp_4"),
    )
    made = agent(stub, mode)
    session = made.create_session()
    ask(made, session)
    fails(made, session, "lost")
    fails(made, session, "lost")
    assert ask(made, session, "And?") == "B"
    if mode == "response":
        assert stub.requests[-1]["previous_response_id"] == "resp_1"
        assert stub.inputs[-1] == [user("And?")]
    else:
        assert stub.inputs[-1] == [user("Hi"), message("A"), user("And?")]
    assert stub.reads == 0


def test_custom_and_other_calls_are_answered_in_their_own_form() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "note", "input": "x"}
    shell = {"type": "shell_call", "id": "sh_1", "call_id": "call_2", "action": {"commands": ["ls"]}}
    local = {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_3", "action": {"command": ["ls"]}}
    patch = {"type": "apply_patch_call", "id": "ap_1", "call_id": "call_4", "operation": {"type": "delete_file"}}
    stub = Stub(reply(custom, shell, local, patch), reply(message("B")))
    made = agent(stub)
    assert ask(made, made.create_session()) == "B"
    kinds = [item["type"] for item in stub.inputs[-1]]
    outputs = ["custom_tool_call_output", "shell_call_output", "local_shell_call_output", "apply_patch_call_output"]
    assert kinds == outputs
