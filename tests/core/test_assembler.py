"""Upstream quirks (wire checklist E.2) become legal items."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Execute, Generate, Outcome
from tests.core.plays import SEARCH, WEATHER, Play
from tests.grammar import check


def test_a_call_without_an_id_gets_one() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, None, "get_weather", "{}"), StepEnded("tool_calls"))
    assert play.output[0]["call_id"].startswith("call_")


def test_a_name_in_pieces_is_put_together_before_the_item_opens() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "c", "get_", None))
    assert "output_item.added" not in play.types
    play.tell(CallDelta(0, None, "weather", None))
    play.tell(CallDelta(0, None, None, "{}"), StepEnded("tool_calls"))
    check(play.events)
    assert play.output[0]["name"] == "get_weather"


def test_a_name_that_is_repeated_is_not_doubled() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "c", "get_weather", '{"a"'), CallDelta(0, "c", "get_weather", ":1}"), StepEnded("stop"))
    assert play.output[0]["name"] == "get_weather"
    assert play.output[0]["arguments"] == '{"a":1}'


def test_all_calls_under_index_0_are_told_apart_by_their_ids() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "get_weather", '{"n":1}'), CallDelta(0, "b", "get_weather", '{"n":2}'))
    play.tell(StepEnded("tool_calls"))
    check(play.events)
    assert [item["call_id"] for item in play.output] == ["a", "b"]


def test_one_call_id_for_two_calls_becomes_two_ids() -> None:
    play = Play(SEARCH)
    play.tell(CallDelta(0, "a", "web_search", "{}"), CallDelta(1, "a", "web_search", "{}"), StepEnded("tool_calls"))
    first, second = play.calls()
    assert first.call_id != second.call_id
    play.tell(Outcome(first.call_id, "1"), Outcome(second.call_id, "2"))
    play.tell(TextDelta("x"), StepEnded("stop"))
    check(play.events)


def test_interleaved_arguments_stay_with_their_calls() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "get_weather", '{"n"'), CallDelta(1, "b", "get_weather", '{"m"'))
    play.tell(CallDelta(0, None, None, ":1}"), CallDelta(1, None, None, ":2}"), StepEnded("tool_calls"))
    check(play.events)
    assert [item["arguments"] for item in play.output] == ['{"n":1}', '{"m":2}']


def test_empty_arguments_are_an_empty_object_with_one_delta() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "get_weather", ""), StepEnded("tool_calls"))
    check(play.events)
    assert play.output[0]["arguments"] == "{}"
    assert play.types.count("function_call_arguments.delta") == 1


def test_malformed_arguments_are_handed_on_as_they_are() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "get_weather", '{"city": Par'), StepEnded("tool_calls"))
    check(play.events)
    assert play.output[0]["arguments"] == '{"city": Par'
    assert play.output[0]["status"] == "completed"


def test_a_call_of_a_tool_that_there_is_not_is_told_to_the_model() -> None:
    play = Play(SEARCH, WEATHER)
    play.tell(TextDelta("Let me."), CallDelta(0, "a", "nobody knows", '{"a": '), CallDelta(0, arguments="1}"))
    play.tell(StepEnded("tool_calls"))
    assert isinstance(play.effect, Generate)
    refused = play.effect.context[-1].exchange
    assert refused is not None
    assert (refused.name, refused.arguments) == ("nobody_knows", '{"a": 1}')
    assert refused.output.endswith("There is no tool of that name. Those that can be called: web_search, get_weather.")
    play.tell(TextDelta("Then not."), StepEnded("stop"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["message", "message"]


def test_an_unknown_call_beside_one_for_the_client_leaves_nothing() -> None:
    play = Play(WEATHER)
    play.tell(CallDelta(0, "a", "nobody_knows", "{}"), CallDelta(1, "b", "get_weather", "{}"), StepEnded("tool_calls"))
    check(play.events)
    assert play.effect is None
    assert [item["call_id"] for item in play.output] == ["b"]


def test_nothing_can_be_called_when_the_choice_is_none() -> None:
    play = Play(SEARCH, WEATHER, tool_choice="none")
    play.tell(CallDelta(0, "a", "get_weather", "{}"), StepEnded("tool_calls"))
    assert isinstance(play.effect, Generate)
    refused = play.effect.context[-1].exchange
    assert refused is not None
    assert refused.output == "Not run. No tools can be called here. Answer without them."
    play.tell(TextDelta("ok"), StepEnded("stop"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["message"]


def test_a_cut_call_of_a_tool_that_there_is_not_leaves_nothing() -> None:
    play = Play(SEARCH)
    play.tell(CallDelta(0, "a", "nobody_knows", '{"a'), StepEnded("length"))
    check(play.events)
    assert play.output == []


def test_reasoning_and_text_that_alternate_open_a_new_item_each_time() -> None:
    play = Play()
    play.tell(ReasoningDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta("d"), StepEnded("stop"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["reasoning", "message", "reasoning", "message"]


def test_text_before_and_white_space_after_a_call() -> None:
    play = Play(WEATHER)
    play.tell(TextDelta("Let me look."), CallDelta(0, "a", "get_weather", "{}"), TextDelta("\n"), StepEnded("stop"))
    check(play.events)
    assert [item["type"] for item in play.output] == ["message", "function_call"]


DELTAS = st.one_of(
    st.builds(TextDelta, st.text(max_size=5)),
    st.builds(RefusalDelta, st.text(max_size=5)),
    st.builds(ReasoningDelta, st.text(max_size=5)),
    st.builds(
        CallDelta,
        st.integers(0, 2),
        st.sampled_from([None, "", "a", "b", "c"]),
        st.sampled_from([None, "", "get_", "weather", "get_weather", "web_search", "other"]),
        st.sampled_from([None, "", "{", "}", "{}", '{"a":1}', '"x"']),
    ),
)


@given(st.lists(DELTAS, max_size=25), st.sampled_from(["stop", "length", "tool_calls", None]), st.data())
def test_whatever_a_model_says_the_order_is_legal(deltas: list[Delta], finish: str | None, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(deltas)), max_size=4)))
    play = Play(SEARCH, WEATHER)
    for start, end in pairwise([0, *cuts, len(deltas)]):
        play.tell(*deltas[start:end])
    play.tell(StepEnded(finish))
    for _ in range(3):
        if play.effect is None:
            break
        if isinstance(play.effect, Execute):
            play.tell(*[Outcome(call.call_id, "ok") for call in play.calls()])
        play.tell(TextDelta("end"), StepEnded("stop"))  # a finished run takes nothing
    assert play.effect is None
    check(play.events)
    assert json.dumps(play.output)


def test_a_call_id_that_an_earlier_turn_has_used_becomes_another() -> None:
    play = Play(WEATHER, SEARCH)
    play.tell(CallDelta(0, "call_0", "web_search", "{}"), StepEnded("tool_calls"))
    play.tell(*[Outcome(call.call_id, "ok") for call in play.calls()])
    play.tell(CallDelta(0, "call_0", "get_weather", "{}"), StepEnded("tool_calls"))
    check(play.events)
    assert play.output[1]["call_id"] != "call_0"
