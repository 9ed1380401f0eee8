"""The checker of turns: it takes what is legal and finds what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    InferenceStepResult,
    StepCompleted,
    StepProgress,
    StepStarted,
    StopReason,
    TextDelta,
    ToolCall,
    ToolCallCompletedDelta,
    ToolCallDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    ToolResponse,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from tests.agent.grammar import arguments_of, canonical, check, failed, shape

TURN = "turn_0123456789ab"
SESSION = "sess_1"
CALL = ToolCall("call_1", "double", '{"n": 1}')
SEARCH = ToolCall("fs_1", "file_search_call", "{}", "file_search")
SERVER = {"server_side": True, "tool_type": "file_search", "tool_name": "file_search_call"}
Events: TypeAlias = list[AgentEvent]


def step(number: int) -> str:
    return f"{TURN}_step_{number}"


def output(call: ToolCall) -> ToolResponse:
    return {"call_id": call.call_id, "tool_name": call.tool_name, "content": "2", "is_error": False, "metadata": {}}


def thought(
    number: int, stop: StopReason, *, text: str = "", calls: tuple[ToolCall, ...] = (), response: str
) -> Events:
    def told(delta: Any) -> StepProgress:
        return StepProgress(step(number), "inference", TURN, delta)

    issued = [told(ToolCallIssuedDelta(call.call_id, call.tool_type, call.tool_name, "{}")) for call in calls]
    written = [told(ToolCallDelta(call.call_id, call.arguments)) for call in calls]
    result = InferenceStepResult(step(number), response, text, calls, stop)
    return [
        StepStarted(step(number), "inference", TURN),
        *([told(TextDelta(text))] if text else []),
        *issued,
        *written,
        StepCompleted(step(number), "inference", TURN, result),
    ]


def searched(number: int) -> Events:
    issued = ToolCallIssuedDelta(SEARCH.call_id, SEARCH.tool_type, SEARCH.tool_name, "{}")
    result = ToolExecutionStepResult(step(number), (SEARCH,), (output(SEARCH),))
    return [
        StepStarted(step(number), "tool_execution", TURN, SERVER),
        StepProgress(step(number), "tool_execution", TURN, issued),
        StepCompleted(step(number), "tool_execution", TURN, result),
    ]


def ran(number: int) -> Events:
    result = ToolExecutionStepResult(step(number), (CALL,), (output(CALL),))
    completed = ToolCallCompletedDelta(CALL.call_id, CALL.tool_type, CALL.tool_name, "2")
    return [
        StepStarted(step(number), "tool_execution", TURN, {"server_side": False}),
        StepProgress(step(number), "tool_execution", TURN, completed),
        StepCompleted(step(number), "tool_execution", TURN, result),
    ]


def legal() -> Events:
    """A search, a call, and an answer."""
    return [
        TurnStarted(TURN, SESSION),
        *thought(0, "server_tool_call", response="resp_1"),
        *searched(1),
        *thought(2, "tool_calls", calls=(CALL,), response="resp_1"),
        *ran(3),
        *thought(4, "end_of_turn", text="Hello", response="resp_2"),
        TurnCompleted(TURN, SESSION, "Hello", ("resp_1", "resp_2"), 5),
    ]


def chunks(events: Events) -> list[AgentStreamChunk]:
    return [AgentStreamChunk(event, "response" if isinstance(event, TurnCompleted) else None) for event in events]


def test_a_legal_turn_passes() -> None:
    check(chunks(legal()))


def test_a_failed_turn_may_break_off_between_steps() -> None:
    for end in (1, 3, 6, 10, 13):
        events = [*legal()[:end], TurnFailed(TURN, SESSION, "No.", "server_error", ("resp_1", "resp_2"))]
        check(chunks(events))
        assert failed(chunks(events)) is events[-1]


def test_tools_of_the_server_may_overlap() -> None:
    one, other = searched(1), searched(2)
    mixed = [one[0], one[1], other[0], other[1], one[2], other[2]]
    before = [TurnStarted(TURN, SESSION), *thought(0, "server_tool_call", response="resp_1")]
    after = [
        *thought(3, "end_of_turn", text="Hi", response="resp_1"),
        TurnCompleted(TURN, SESSION, "Hi", ("resp_1",), 4),
    ]
    check(chunks([*before, *mixed, *after]))


def dropped(kind: type) -> Callable[[Events], Events]:
    def drop(events: Events) -> Events:
        told = [event.delta if isinstance(event, StepProgress) else event for event in events]
        place = next(place for place, event in enumerate(told) if isinstance(event, kind))
        return [*events[:place], *events[place + 1 :]]

    return drop


def doubled(kind: type) -> Callable[[Events], Events]:
    def double(events: Events) -> Events:
        place = next(place for place, event in enumerate(events) if isinstance(event, kind))
        return [*events[: place + 1], *events[place:]]

    return double


def without(place: slice) -> Callable[[Events], Events]:
    def cut(events: Events) -> Events:
        left = [*events]
        del left[place]
        return left

    return cut


def followed(events: Events) -> Events:
    return [*events, TurnFailed(TURN, SESSION, "No.", "server_error")]


def bent(kind: type, number: int, **fields: Any) -> Callable[[Events], Events]:
    """The nth event of this kind with other fields; those that name fields of its result go there."""

    def bend(events: Events) -> Events:
        found = [place for place, event in enumerate(events) if isinstance(event, kind)][number]
        event: Any = events[found]
        if kind is StepCompleted and "step_type" not in fields:
            changed: Any = replace(event, result=replace(event.result, **fields))
        else:
            changed = replace(event, **fields)
        return [*events[:found], changed, *events[found + 1 :]]

    return bend


@pytest.mark.parametrize(
    "wrong",
    [
        dropped(TurnStarted),
        dropped(TurnCompleted),
        dropped(StepStarted),
        dropped(StepCompleted),
        doubled(TurnStarted),
        doubled(TurnCompleted),
        doubled(StepStarted),
        doubled(StepCompleted),
        without(slice(1, 3)),
        without(slice(9, 12)),
        followed,
        bent(TurnStarted, 0, turn_id="turn_1"),
        bent(StepStarted, 1, step_id=step(7)),
        bent(StepStarted, 1, metadata=None),
        bent(StepStarted, 1, metadata={"server_side": False}),
        bent(StepStarted, 3, metadata=SERVER),
        bent(StepProgress, 0, delta=TextDelta("no place for words")),
        bent(StepProgress, 1, delta=ToolCallIssuedDelta("ws_1", "web_search", "web_search_call", "{}")),
        bent(StepProgress, 2, delta=ToolCallDelta("call_9", "{}")),
        bent(StepProgress, 4, delta=TextDelta("other words")),
        bent(StepCompleted, 0, step_type="tool_execution"),
        bent(StepCompleted, 1, tool_responses=()),
        bent(StepCompleted, 2, function_calls=()),
        bent(StepCompleted, 2, function_calls=(CALL, CALL)),
        bent(StepCompleted, 2, stop_reason="because"),
        bent(StepCompleted, 3, tool_calls=(SEARCH,), tool_responses=(output(SEARCH),)),
        dropped(ToolCallCompletedDelta),
        bent(StepCompleted, 4, text_content="Goodbye"),
        bent(TurnCompleted, 0, num_steps=4),
        bent(TurnCompleted, 0, response_ids=("resp_2",)),
        bent(TurnCompleted, 0, stop_reason="tool_calls"),
        bent(TurnCompleted, 0, paused=True),
    ],
)
def test_every_break_of_the_grammar_is_found(wrong: Callable[[Events], Events]) -> None:
    events = wrong(legal())
    with pytest.raises((AssertionError, KeyError)):
        check(chunks(events))


def test_a_response_comes_with_the_completed_turn_only() -> None:
    for place in (0, 3, -1):
        told = chunks(legal())
        told[place] = replace(told[place], response=None if place == -1 else "response")
        with pytest.raises(AssertionError):
            check(told)


def test_a_turn_at_a_glance() -> None:
    told = chunks(legal())
    assert shape(told) == [
        "turn_started",
        "inference",
        "tool_execution server",
        "inference",
        "tool_execution client",
        "inference",
        "turn_completed",
    ]
    assert arguments_of(told) == {"call_1": {"n": 1}}
    assert canonical(told)[1].count("'turn_step_0'") == 1
