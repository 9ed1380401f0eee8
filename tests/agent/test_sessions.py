"""Sessions: which ids are known, one turn at a time, and declarations that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.agent import Agent, AgentError, ConfigurationError, SessionError, TurnFailedError
from antiphon.agent.events import TurnCompleted
from tests.agent.stub import StatusError, Stub, add, call, message, reply, user, whole


def test_an_eager_session_is_its_conversation() -> None:
    stub = Stub(reply(message("A")))
    made = Agent(stub, model="m")
    session = made.create_session("Trip", eager=True)
    assert (session, made.conversation_id(session), made.sessions) == ("conv_1", "conv_1", ["conv_1"])
    made.create_turn("Hi", session, stream=False)
    assert len(stub.created) == 1
    assert stub.reads == 0


@pytest.mark.parametrize("mode", ["response", "stateless"])
def test_other_sessions_create_nothing_even_when_eager(mode: Any) -> None:
    stub = Stub()
    assert Agent(stub, model="m", continuity=mode).create_session(eager=True).startswith("sess_")
    assert stub.created == []


@pytest.mark.parametrize(
    ("mode", "session"), [("conversation", "resp_1"), ("response", "conv_1"), ("stateless", "conv_1"), ("response", "")]
)
def test_an_unknown_session_is_refused_at_once(mode: Any, session: str) -> None:
    with pytest.raises(SessionError, match="no session"):
        Agent(Stub(), model="m", continuity=mode).create_turn("Hi", session)


def test_a_response_of_somebody_else_can_be_continued() -> None:
    stub = Stub(reply(message("A"), response_id="resp_2"))
    Agent(stub, model="m", continuity="response").create_turn("Hi", "resp_1", stream=False)
    assert stub.requests[0]["previous_response_id"] == "resp_1"


def test_turns_of_one_session_do_not_overlap() -> None:
    stub = Stub(reply(message("A")), reply(message("B")))
    made = Agent(stub, model="m")
    session = made.create_session()
    one, two = made.create_turn("Hi", session), made.create_turn("Hi", session)
    next(one)
    with pytest.raises(SessionError, match="in the middle of another turn"):
        next(two)
    with pytest.raises(SessionError):
        made.create_turn("Hi", session, stream=False)
    assert isinstance([*one][-1].event, TurnCompleted)
    assert isinstance([*two][-1].event, TurnCompleted)
    other = made.create_session()
    assert other != session


def test_nothing_is_sent_before_the_first_event_is_asked_for() -> None:
    stub = Stub(reply(message("A")))
    made = Agent(stub, model="m")
    turn = made.create_turn("Hi", made.create_session())
    assert stub.created == stub.requests == []
    next(turn)
    assert stub.created == stub.requests == []
    next(turn)
    assert len(stub.requests) == 1
    turn.close()


def test_a_turn_can_be_left_before_it_has_begun() -> None:
    made = Agent(Stub(), model="m")
    session = made.create_session()
    with made.create_turn("Hi", session) as turn:
        pass
    assert [*turn] == []
    with pytest.raises(AgentError, match="not over"):
        _ = turn.result


def test_the_result_is_there_after_the_end() -> None:
    made = Agent(Stub(reply(message("A"))), model="m")
    turn = made.create_turn("Hi", made.create_session())
    with pytest.raises(AgentError, match="not over"):
        _ = turn.result
    last = [*turn][-1]
    assert last.response["id"] == "resp_1"
    assert turn.result.final_text == "A"
    assert turn.result.responses == (last.response,)


def test_a_turn_that_failed_raises_with_what_was_done() -> None:
    made = Agent(Stub(reply(call()), StatusError(400, code="bad")), model="m", tools=[add])
    with pytest.raises(TurnFailedError, match="refused with 400") as caught:
        made.create_turn("Hi", made.create_session(), stream=False)
    assert caught.value.code == "bad"
    assert caught.value.result.response_ids == ("resp_1",)
    assert len(caught.value.result.steps) == 2
    assert caught.value.result.stop_reason == "failed"


def test_options_of_a_turn_stand_above_those_of_the_agent() -> None:
    stub = Stub(reply(message("A")), reply(message("B")))
    made = Agent(stub, model="m", instructions="Be kind.", temperature=0.5, tools=[add])
    session = made.create_session()
    raw = {"type": "web_search"}
    made.create_turn("Hi", session, stream=False, temperature=0.1, instructions="", model="n", tools=[raw])
    made.create_turn([user("Hi")], session, stream=False, text={"verbosity": "low"}, output_type=None)
    one, two = stub.requests
    assert (one["model"], one["temperature"], one["tools"]) == ("n", 0.1, [raw])
    assert "instructions" not in one
    assert (two["model"], two["temperature"], two["instructions"]) == ("m", 0.5, "Be kind.")
    assert two["text"] == {"verbosity": "low"}
    assert [tool["name"] for tool in two["tools"]] == ["add"]


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"continuity": "memory"},
        {"max_steps": 0},
        {"max_steps": True},
        {"usage_limit": 0},
        {"retries": -1},
        {"parallel_tools": 0},
        {"stream": True},
        {"conversation": "conv_1"},
        {"store": False},
        {"continuity": "stateless", "background": True},
        {"tools": [add, add]},
        {"output_type": "text"},
        {"tool_timeout": -1},
    ],
)
def test_a_wrong_declaration_fails_when_the_agent_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Agent(Stub(), **whole(options))


@pytest.mark.parametrize("options", [{"retries": 1}, {"input": "x"}, {"max_steps": 0}, {"hooks": None}])
def test_a_wrong_option_of_a_turn_fails_before_it_begins(options: dict[str, Any]) -> None:
    made = Agent(Stub(), model="m")
    with pytest.raises(ConfigurationError):
        made.create_turn("Hi", made.create_session(), **options)
