"""A run that is resumed from its rows goes on legally, wherever it was cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.core.deltas import CallDelta, Delta, StepEnded, TextDelta
from antiphon.core.effects import Execute, Generate, Outcome
from antiphon.core.usage import counted
from tests.core.plays import SEARCH, WEATHER, Play
from tests.core.test_assembler import DELTAS
from tests.grammar import check

DONE = StepEnded("stop", counted(5, 3))
SEARCHING = CallDelta(0, "call_0", "web_search", '{"query":"q"}')


def test_a_message_cut_in_the_middle_ends_empty_and_is_said_again() -> None:
    play = Play()
    play.tell(TextDelta("Hel"))
    play.crash()
    play.tell(TextDelta("Hello"), DONE)
    check(play.events)
    first, second = play.output
    assert (first["status"], first["content"]) == ("incomplete", [])
    assert second["content"][0]["text"] == "Hello"
    assert isinstance(play.effect, Generate) is False


def test_the_model_is_not_shown_what_was_cut() -> None:
    play = Play()
    play.tell(TextDelta("Hel"))
    play.crash()
    assert isinstance(play.effect, Generate)
    assert len(play.effect.context) == 1


def test_a_finished_tool_call_is_not_run_again() -> None:
    play = Play(SEARCH)
    play.tell(SEARCHING, StepEnded("tool_calls"))
    play.tell(Outcome("call_0", "found"))
    play.tell(TextDelta("So"))
    play.crash()
    assert isinstance(play.effect, Generate)
    assert [e.exchange.output for e in play.effect.context if e.exchange] == ["found"]
    play.tell(TextDelta("So."), DONE)
    check(play.events)


def test_a_call_in_flight_is_run_again_when_that_is_safe() -> None:
    play = Play(SEARCH)
    play.tell(SEARCHING, StepEnded("tool_calls"))
    play.crash(repeatable=True)
    (call,) = play.calls()
    play.tell(
        Outcome(call.call_id, "found"),
    )
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert play.output[0]["status"] == "completed"


def test_any_other_call_in_flight_ends_failed_and_the_model_is_told() -> None:
    play = Play(SEARCH)
    play.tell(SEARCHING, StepEnded("tool_calls"))
    play.crash(repeatable=False)
    assert isinstance(play.effect, Generate)
    told = play.effect.context[-1].exchange
    assert told is not None
    assert "effect is unknown" in told.output
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert play.output[0]["status"] == "failed"


def test_of_two_calls_only_the_one_in_flight_is_settled() -> None:
    play = Play(SEARCH)
    play.tell(SEARCHING, CallDelta(1, "call_1", "web_search", "{}"), StepEnded("tool_calls"))
    play.tell(Outcome("call_1", "second"))
    play.crash(repeatable=True)
    assert [call.call_id for call in play.calls()] == ["call_0"]
    play.tell(Outcome("call_0", "first"))
    assert isinstance(play.effect, Generate)
    assert [e.exchange.output for e in play.effect.context if e.exchange] == ["first", "second"]


def test_a_call_that_was_written_but_never_started_is_run_even_when_it_is_not_repeatable() -> None:
    play = Play(SEARCH)
    play.tell(SEARCHING, CallDelta(1, "call_1", "web_search", '{"que'))
    play.crash(repeatable=False)
    assert [call.call_id for call in play.calls()] == ["call_0"]
    play.tell(Outcome("call_0", "found"))
    play.tell(TextDelta("ok"), DONE)
    check(play.events)


def test_a_client_call_that_was_finished_ends_the_run() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "get_weather", "{}"), CallDelta(1, "b", "get_weather", '{"x'))
    play.crash()
    check(play.events)
    assert play.run.response.status == "completed"
    assert [item["status"] for item in play.output] == ["completed", "incomplete"]


def test_a_server_call_cut_while_it_was_written_is_not_the_clients_and_is_made_again() -> None:
    play = Play(SEARCH)
    play.tell(CallDelta(0, "call_0", "web_search", '{"que'))
    for _ in range(2):  # the second crash finds the interrupted item among the rows
        play.crash()
        assert isinstance(play.effect, Generate)
        assert len(play.effect.context) == 1
    play.tell(SEARCHING, StepEnded("tool_calls"))
    play.tell(Outcome("call_0", "found"))
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert [item["status"] for item in play.output] == ["failed", "completed", "completed"]


def test_refusals_are_remembered() -> None:
    play = Play(SEARCH, max_tool_calls=1)
    play.tell(SEARCHING, CallDelta(1, "call_1", "web_search", "{}"), StepEnded("tool_calls"))
    play.tell(Outcome("call_0", "found"))
    play.crash()
    assert isinstance(play.effect, Generate)
    assert [bool(entry.item) for entry in play.effect.context] == [True, True, False]


@settings(deadline=None)
@given(st.lists(DELTAS, max_size=12), st.integers(0, 12), st.sampled_from(["stop", "length"]), st.booleans())
def test_wherever_it_is_cut_the_whole_stream_is_legal(
    deltas: list[Delta], crash_at: int, finish: str, repeatable: bool
) -> None:
    play = Play(SEARCH, WEATHER)
    for place, delta in enumerate(deltas):
        if place == crash_at:
            play.crash(repeatable=repeatable)
        if isinstance(play.effect, Execute):
            break
        play.tell(delta)
    if isinstance(play.effect, Generate):
        play.tell(StepEnded(finish))
    for _ in range(4):
        if isinstance(play.effect, Execute):
            play.crash(repeatable=repeatable)
        if isinstance(play.effect, Execute):
            play.tell(*[Outcome(call.call_id, "ok") for call in play.calls()])
        play.tell(TextDelta("end"), StepEnded("stop"))
    assert play.run.finished
    check(play.events)
