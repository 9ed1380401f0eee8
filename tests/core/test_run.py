"""The agent loop, played synchronously."""

from __future__ import annotations

import pytest

from antiphon.core.deltas import CallDelta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Broken, Execute, Generate, Outcome
from antiphon.core.limits import Limits
from antiphon.core.run import FUTILE
from antiphon.core.status import IllegalMoveError
from antiphon.core.usage import counted
from antiphon.wire.items import FunctionCall
from antiphon.wire.responses import ResponseError
from antiphon.wire.tools import NamedChoice
from tests.core.plays import SEARCH, WEATHER, Play
from tests.grammar import check

DONE = StepEnded("stop", counted(5, 3))


def search(index: int = 0, call_id: str | None = None, query: str = '{"query":"q"}') -> CallDelta:
    return CallDelta(index, call_id or f"call_{index}", "web_search", query)


def test_a_text_turn_is_told_in_the_recorded_order() -> None:
    play = Play()
    play.tell(TextDelta(""), TextDelta("Hel"), TextDelta("lo"))
    play.tell(DONE)
    assert play.types == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    check(play.events)
    assert play.output[0]["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert play.run.response.status == "completed"
    assert play.run.response.completed_at == 2
    assert play.run.response.usage == counted(5, 3)
    assert play.effect is None


def test_a_server_tool_runs_and_the_model_is_asked_again_with_its_result() -> None:
    play = Play(SEARCH)
    play.tell(search())
    play.tell(StepEnded("tool_calls", counted(5, 3)))
    (call,) = play.calls()
    play.tell(Outcome(call.call_id, "found it"))
    assert isinstance(play.effect, Generate)
    exchange = play.effect.context[-1].exchange
    assert exchange is not None
    assert (exchange.name, exchange.arguments, exchange.output) == ("web_search", '{"query":"q"}', "found it")
    play.tell(TextDelta("So."), DONE)
    check(play.events)
    assert [item["type"] for item in play.output] == ["web_search_call", "message"]
    assert play.types[2:7] == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
    ]
    assert play.run.response.usage == counted(10, 6)


def test_calls_of_one_round_run_together_and_their_items_stay_in_call_order() -> None:
    play = Play(SEARCH)
    play.tell(search(0), search(1), StepEnded("tool_calls"))
    first, second = play.calls()
    play.tell(Outcome(second.call_id, "two"))
    assert isinstance(play.effect, Execute)
    play.tell(Outcome(first.call_id, "one", failed=True))
    assert isinstance(play.effect, Generate)
    assert [e.exchange.output for e in play.effect.context[1:] if e.exchange] == ["one", "two"]
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert [item.get("status") for item in play.output] == ["failed", "completed", "completed"]


def test_a_client_function_call_ends_the_run() -> None:
    play = Play(SEARCH, WEATHER)
    play.tell(CallDelta(0, "call_a", "get_weather", None), CallDelta(0, None, None, '{"city":'))
    play.tell(CallDelta(0, None, None, '"Paris"}'), StepEnded("tool_calls"))
    check(play.events)
    assert play.effect is None
    assert play.run.response.status == "completed"
    assert play.output[0]["arguments"] == '{"city":"Paris"}'
    assert play.output[0]["call_id"] == "call_a"


def test_a_mixed_round_runs_the_server_tool_and_then_gives_the_client_its_call() -> None:
    play = Play(SEARCH, WEATHER)
    play.tell(search(0), CallDelta(1, "call_b", "get_weather", "{}"), StepEnded("tool_calls"))
    (call,) = play.calls()
    play.tell(Outcome(call.call_id, "found"))
    check(play.events)
    assert play.effect is None
    assert [item["type"] for item in play.output] == ["web_search_call", "function_call"]


def test_calls_beyond_max_tool_calls_are_refused_in_words_and_leave_no_item() -> None:
    play = Play(SEARCH, max_tool_calls=1)
    play.tell(search(0), search(1), StepEnded("tool_calls"))
    (call,) = play.calls()
    play.tell(Outcome(call.call_id, "found"))
    assert isinstance(play.effect, Generate)
    told = play.effect.context[-1]
    assert told.item is None
    assert told.exchange is not None
    assert "Not run" in told.exchange.output
    assert play.effect.offers == ()
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert [item["type"] for item in play.output] == ["web_search_call", "message"]


def test_a_forced_call_is_forced_once() -> None:
    play = Play(SEARCH, tool_choice=NamedChoice(type="function", name="web_search"))
    assert isinstance(play.effect, Generate)
    assert play.effect.tool_choice == NamedChoice(type="function", name="web_search")
    play.tell(search(), StepEnded("tool_calls"))
    play.tell(Outcome(play.calls()[0].call_id, "found"))
    assert isinstance(play.effect, Generate)
    assert play.effect.tool_choice == "auto"


def test_max_output_tokens_is_a_budget_of_the_whole_response() -> None:
    play = Play(SEARCH, max_output_tokens=20)
    play.tell(search(), StepEnded("tool_calls", counted(5, 15)))
    play.tell(Outcome(play.calls()[0].call_id, "found"))
    assert isinstance(play.effect, Generate)
    assert play.effect.max_output_tokens == 5
    play.tell(search(), StepEnded("tool_calls", counted(5, 5)))
    play.tell(Outcome(play.calls()[0].call_id, "found"))
    assert play.run.response.status == "incomplete"
    check(play.events)


def test_a_cut_message_is_incomplete_and_last() -> None:
    play = Play()
    play.tell(TextDelta("Hel"), StepEnded("length", counted(1, 16)))
    check(play.events)
    assert play.types[-1] == "incomplete"
    assert play.output[-1]["status"] == "incomplete"
    details = play.run.response.incomplete_details
    assert details is not None
    assert details.reason == "max_output_tokens"


def test_a_cut_server_call_is_not_run() -> None:
    play = Play(SEARCH)
    play.tell(CallDelta(0, "c", "web_search", '{"query":'), StepEnded("length"))
    check(play.events)
    assert play.effect is None
    assert play.output[0]["status"] == "failed"


def test_a_cut_function_call_is_incomplete() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "c", "get_weather", '{"ci'), StepEnded("length"))
    check(play.events)
    assert play.output[0]["status"] == "incomplete"
    assert play.output[0]["arguments"] == '{"ci'


def test_a_filtered_generation_is_incomplete() -> None:
    play = Play()
    play.tell(TextDelta("x"), StepEnded("content_filter"))
    details = play.run.response.incomplete_details
    assert details is not None
    assert details.reason == "content_filter"


def test_reasoning_that_ate_the_budget_is_no_error() -> None:
    play = Play()
    play.tell(ReasoningDelta("hmm"), StepEnded("length"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["reasoning"]
    assert play.run.response.status == "incomplete"


def test_a_broken_generation_closes_what_is_open_and_fails() -> None:
    play = Play(SEARCH)
    play.tell(TextDelta("Hel"))
    play.tell(Broken(ResponseError(code="server_error", message="gone")))
    check(play.events)
    assert play.types[-2:] == ["error", "failed"]
    assert play.run.response.error == ResponseError(code="server_error", message="gone")
    assert play.output[0]["status"] == "incomplete"


def test_a_cancelled_response_is_final() -> None:
    play = Play(SEARCH)
    play.tell(TextDelta("Hel"), search(), StepEnded("tool_calls"))
    play.cancel()
    check(play.events, terminal=False)
    assert play.run.response.status == "cancelled"
    before = len(play.events)
    play.cancel()
    play.tell(TextDelta("late"))
    assert len(play.events) == before


def test_a_run_ends_after_its_rounds() -> None:
    play = Play(SEARCH, limits=Limits(rounds=2))
    for _ in range(2):
        play.tell(search(), StepEnded("tool_calls"))
        play.tell(Outcome(play.calls()[0].call_id, "again"))
    assert play.run.response.status == "failed"
    check(play.events)


def unknown() -> tuple[CallDelta, StepEnded]:
    return CallDelta(0, None, "nobody", "{}"), StepEnded("tool_calls")


@pytest.mark.parametrize("crashes", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_a_model_that_makes_only_refused_calls_is_not_asked_for_ever(crashes: tuple[int, ...]) -> None:
    play = Play(SEARCH)
    for round_ in range(FUTILE):
        assert isinstance(play.effect, Generate)
        if round_ in crashes:
            play.crash()
        play.tell(*unknown())
    check(play.events)
    assert play.types[-2:] == ["error", "failed"]
    error = play.run.response.error
    assert error is not None
    assert error.message == "The model made only calls that cannot be made, 3 times in a row."
    assert play.output == []


@pytest.mark.parametrize("crash", [False, True])
def test_a_call_that_is_run_begins_the_count_of_futile_rounds_anew(crash: bool) -> None:
    play = Play(SEARCH)
    for round_ in range(2 * FUTILE - 1):
        if crash:
            play.crash()
        if round_ == FUTILE - 1:
            play.tell(search(), StepEnded("tool_calls"))
            play.tell(Outcome(play.calls()[0].call_id, "found"))
        else:
            play.tell(*unknown())
        assert isinstance(play.effect, Generate)
    play.tell(TextDelta("ok"), DONE)
    check(play.events)
    assert [item["type"] for item in play.output] == ["web_search_call", "message"]


def test_a_refused_call_beside_one_that_runs_is_not_futile() -> None:
    play = Play(SEARCH, limits=Limits(rounds=9))
    for _ in range(FUTILE + 1):
        play.tell(search(), CallDelta(1, None, "nobody", "{}"), StepEnded("tool_calls"))
        play.tell(Outcome(play.calls()[0].call_id, "found"))
    assert isinstance(play.effect, Generate)


def test_a_response_with_too_many_items_fails() -> None:
    play = Play(WEATHER, limits=Limits(items=3))
    play.tell(*[CallDelta(i, f"c{i}", "get_weather", "{}") for i in range(6)])
    assert play.run.response.status == "failed"
    check(play.events)


def test_usage_is_estimated_where_the_upstream_counts_nothing() -> None:
    play = Play()
    play.tell(TextDelta("word " * 40), StepEnded("stop"))
    usage = play.run.response.usage
    assert usage is not None
    assert usage.output_tokens >= 40
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_a_refusal_is_a_part_of_its_own() -> None:
    play = Play()
    play.tell(RefusalDelta("I can"), RefusalDelta("not."), DONE)
    check(play.events)
    assert play.output[0]["content"] == [{"type": "refusal", "refusal": "I cannot."}]


def test_a_finished_run_refuses_an_illegal_move() -> None:
    play = Play()
    play.tell(TextDelta("x"), DONE)
    with pytest.raises(IllegalMoveError):
        play.run._move("failed")  # pyright: ignore[reportPrivateUsage] - the table itself is under test


def test_tool_calls_win_over_a_finish_of_stop() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "c", "get_weather", "{}"), StepEnded("stop"))
    assert [type(entry.item) for entry in play.run.output] == [FunctionCall]
    assert play.run.response.status == "completed"
