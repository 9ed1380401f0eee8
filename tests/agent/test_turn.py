"""The turn as a value, driven by hand: what it wants, what it tells, and that it ends once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from antiphon.agent.content import ToolOutput
from antiphon.agent.continuity import Session
from antiphon.agent.effects import (
    Answered,
    Ask,
    Broken,
    Conclude,
    Concluded,
    Create,
    Created,
    Done,
    Ended,
    Execute,
    Fetch,
    Outcome,
    Send,
    Streamed,
    Wait,
    Waited,
)
from antiphon.agent.errors import SessionError
from antiphon.agent.events import AgentStreamChunk, StepCompleted, StepStarted, TurnCompleted, TurnFailed
from antiphon.agent.output import Output
from antiphon.agent.plan import Plan
from antiphon.agent.retries import Fault, Retries
from antiphon.agent.turn import Run
from tests.agent.stub import Json, added, answered, call, message, opening, reply, user, wish

LOST = Fault("gone", "connection_error", lost=True, passing=True)


def made(mode: Any = "conversation", **options: Any) -> Run:
    session = Session("s", mode, conversation="conv_1" if mode == "conversation" else None)
    request = {"model": "m", "stream": True, **options.pop("request", {})}
    return Run(Plan("turn", session, request, [user("Hi")], **options))


def tell(run: Run, events: Sequence[Json]) -> list[AgentStreamChunk]:
    return [chunk for event in events for chunk in run.receive(Streamed(event))]


def names(chunks: Sequence[AgentStreamChunk]) -> list[str]:
    return [chunk.event.event_type for chunk in chunks]


def end(run: Run) -> TurnCompleted:
    """Conclude the turn."""
    assert isinstance(run.effect, Conclude)
    (chunk,) = run.receive(Concluded())
    assert isinstance(chunk.event, TurnCompleted)
    assert run.effect is None
    return chunk.event


def failure(chunks: Sequence[AgentStreamChunk], run: Run) -> TurnFailed:
    """The last of these is the end, no step is open, and the session is free."""
    event = chunks[-1].event
    assert isinstance(event, TurnFailed)
    assert run.effect is None
    run.plan.session.take()
    return event


def test_a_turn_starts_before_anything_is_sent() -> None:
    run = made()
    assert names(run.begin()) == ["turn_started"]
    assert run.effect == Send({"model": "m", "stream": True, "conversation": "conv_1", "input": [user("Hi")]})


def test_a_text_completes_the_turn() -> None:
    run = made()
    run.begin()
    assert names(tell(run, reply(message("Hello")))) == ["step_started", "step_progress", "step_completed"]
    event = end(run)
    assert (event.final_text, event.num_steps, event.response_ids) == ("Hello", 1, ("resp_1",))
    assert run.result.usage.total_tokens == 5
    assert len(run.result.responses) == len(run.result.steps) == 1


def test_the_conversation_is_created_first() -> None:
    run = made()
    run.plan.session.conversation, run.plan.session.name = None, "Trip"
    run.begin()
    assert run.effect == Create("Trip")
    run.receive(Created("conv_9"))
    assert isinstance(run.effect, Send)
    assert run.effect.request["conversation"] == "conv_9"


def test_calls_run_and_are_answered_in_their_order() -> None:
    run = made()
    run.begin()
    tell(run, reply(call("call_1"), call("call_2")))
    assert isinstance(run.effect, Execute)
    one, two = run.effect.calls
    assert names(run.receive(Done(two, ToolOutput("2")))) == ["step_progress"]
    assert names(run.receive(Done(two, ToolOutput("again")))) == []
    chunks = run.receive(Done(one, ToolOutput("1")))
    assert names(chunks) == ["step_progress", "step_completed"]
    completed = chunks[-1].event
    assert isinstance(completed, StepCompleted)
    assert [found["content"] for found in completed.result.tool_responses] == ["1", "2"]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType] - of tools
    assert isinstance(run.effect, Send)
    assert run.effect.request["input"] == [answered("call_1", "1"), answered("call_2", "2")]
    tell(run, reply(message("Done"), response_id="resp_2"))
    assert end(run).num_steps == 3


def test_a_tool_that_has_to_be_called_is_called_once() -> None:
    run = made(request={"tool_choice": "required"})
    run.begin()
    assert isinstance(run.effect, Send)
    assert run.effect.request["tool_choice"] == "required"
    tell(run, reply(call()))
    assert isinstance(run.effect, Execute)
    run.receive(Done(run.effect.calls[0], ToolOutput("3")))
    assert "tool_choice" not in run.effect.request


@pytest.mark.parametrize(("limits", "code"), [({"max_steps": 1}, "max_steps"), ({"usage_limit": 5}, "usage_limit")])
def test_a_turn_is_bounded(limits: dict[str, int], code: str) -> None:
    run = made(**limits)
    run.begin()
    chunks = tell(run, reply(call()))
    assert failure(chunks, run).error_code == code
    assert "tool_execution" not in [chunk.event.step_type for chunk in chunks if isinstance(chunk.event, StepStarted)]
    assert run.plan.session.answers.keys() == {"call_1"}


def test_bounds_do_not_fail_a_turn_that_is_complete() -> None:
    run = made(max_steps=1, usage_limit=1)
    run.begin()
    tell(run, reply(message("Hello")))
    assert end(run).final_text == "Hello"


def test_an_incomplete_response_with_text_completes_the_turn_with_its_reason() -> None:
    run = made()
    run.begin()
    cut = reply(message("Hel"), call(), how="incomplete", incomplete_details={"reason": "max_output_tokens"})
    tell(run, cut)
    event = end(run)
    assert (event.stop_reason, event.final_text) == ("max_output_tokens", "Hel")
    assert run.plan.session.answers.keys() == {"call_1"}


def test_an_incomplete_response_without_text_fails_the_turn() -> None:
    run = made()
    run.begin()
    tell(run, reply(message("stale"), call()))
    assert isinstance(run.effect, Execute)
    run.receive(Done(run.effect.calls[0], ToolOutput("3")))
    cut = reply(how="incomplete", response_id="resp_2", incomplete_details={"reason": "content_filter"})
    assert failure(tell(run, cut), run).error_code == "content_filter"


class Sum(BaseModel):
    value: int


def typed(item: Json) -> tuple[Run, list[AgentStreamChunk]]:
    run = made(output=Output.of(Sum))
    run.begin()
    tell(run, reply(item))
    return run, run.receive(Concluded())


def test_an_output_type_is_parsed() -> None:
    run, _ = typed(message('{"value": 3}'))
    assert run.result.output == Sum(value=3)


def test_output_of_another_form_fails_the_turn() -> None:
    run, chunks = typed(message("three"))
    assert failure(chunks, run).error_code == "invalid_output"


def test_a_refusal_is_no_output() -> None:
    refused = {**message(""), "content": [{"type": "refusal", "refusal": "I cannot."}]}
    run, chunks = typed(refused)
    event = failure(chunks, run)
    assert (event.error_code, event.error_message) == ("refusal", "I cannot.")


@pytest.mark.parametrize("seen", range(4))
@pytest.mark.parametrize("how", ["cut", "broken", "cancelled"])
def test_whatever_ends_a_stream_ends_the_turn_once(seen: int, how: str) -> None:
    run = made(retries=Retries(0))
    run.begin()
    told = tell(run, [*opening(), added({"type": "file_search_call", "id": "fs_1"}, 0)][:seen])
    outcome: dict[str, Outcome] = {"cut": Ended(), "broken": Broken(LOST)}
    chunks = run.receive(outcome[how]) if how in outcome else run.stop()
    event = failure(chunks, run)
    started = [chunk.event.step_id for chunk in told if isinstance(chunk.event, StepStarted)]
    completed = [chunk.event.step_id for chunk in [*told, *chunks] if isinstance(chunk.event, StepCompleted)]
    assert started == completed
    expected = {"cut": "stream_cut", "broken": "stream_cut" if seen else "connection_error", "cancelled": "cancelled"}
    assert event.error_code == expected[how]
    assert run.receive(Streamed(opening()[0])) == run.stop() == []
    assert run.plan.session.doubt


def test_tools_that_were_stopped_say_so() -> None:
    run = made()
    run.begin()
    tell(run, reply(call("call_1"), call("call_2")))
    assert isinstance(run.effect, Execute)
    run.receive(Done(run.effect.calls[0], ToolOutput("3")))
    chunks = run.stop()
    completed = chunks[0].event
    assert isinstance(completed, StepCompleted)
    assert [found["is_error"] for found in completed.result.tool_responses] == [False, True]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType] - of tools
    failure(chunks, run)
    assert not run.plan.session.doubt
    assert run.plan.session.answers["call_1"] == answered("call_1", "3")


def test_a_request_that_failed_before_its_first_event_is_sent_again() -> None:
    run = made()
    run.begin()
    first = run.effect
    assert run.receive(Broken(LOST)) == []
    assert isinstance(run.effect, Wait)
    assert run.effect.seconds == 0.5
    run.receive(Waited())
    assert run.effect == first
    assert run.effect is not first
    run.receive(Broken(LOST))
    assert isinstance(run.effect, Wait)
    assert run.effect.seconds == 1.0
    run.receive(Waited())
    assert failure(run.receive(Broken(LOST)), run).error_code == "connection_error"


def test_a_response_of_the_background_is_heard_on_after_its_last_event() -> None:
    run = made(request={"background": True})
    run.begin()
    events = reply(message("Hello"))
    tell(run, events[:3])
    run.receive(Broken(LOST))
    run.receive(Waited())
    assert run.effect == Fetch("resp_1", 2)
    run.receive(Ended())
    run.receive(Waited())
    assert run.effect == Fetch("resp_1", 2)
    assert names(tell(run, events)) == ["step_progress", "step_completed"]  # what was heard before is not told again
    assert end(run).final_text == "Hello"


def test_a_response_that_cannot_be_fetched_is_cut() -> None:
    run = made(request={"background": True})
    run.begin()
    tell(run, reply(message("Hello"))[:3])
    run.receive(Broken(LOST))
    run.receive(Waited())
    assert failure(run.receive(Broken(Fault("No.", "not_found", 404))), run).error_code == "stream_cut"


@pytest.mark.parametrize("request_", [{}, {"background": True, "store": False}, {"background": False}])
def test_other_responses_are_cut_with_their_stream(request_: Json) -> None:
    run = made(request=request_)
    run.begin()
    tell(run, reply(message("Hello"))[:3])
    assert failure(run.receive(Broken(LOST)), run).error_code == "stream_cut"


def test_approvals_are_asked_after_the_tools_and_answered_together() -> None:
    run = made(asks=True)
    run.begin()
    tell(run, reply(wish(), call(), wish("mcpr_2")))
    assert isinstance(run.effect, Execute)
    run.receive(Done(run.effect.calls[0], ToolOutput("3")))
    assert isinstance(run.effect, Ask)
    assert run.effect.approval.id == "mcpr_1"
    run.receive(Answered(True))
    run.receive(Answered("Not that."))
    assert isinstance(run.effect, Send)
    yes = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    no = {"type": "mcp_approval_response", "approval_request_id": "mcpr_2", "approve": False, "reason": "Not that."}
    assert run.effect.request["input"] == [yes, answered("call_1", "3"), no]


def test_what_is_no_answer_to_an_approval_fails_the_turn() -> None:
    run = made(asks=True)
    run.begin()
    tell(run, reply(wish()))
    assert failure(run.receive(Answered(1)), run).error_code == "approval_error"  # pyright: ignore[reportArgumentType] - wrong on purpose


def test_a_turn_within_a_turn_is_refused() -> None:
    run = made()
    run.begin()
    other = Run(Plan("other", run.plan.session, {}))
    with pytest.raises(SessionError, match="in the middle of another turn"):
        other.begin()
    run.stop()
    assert names(other.begin()) == ["turn_started"]
