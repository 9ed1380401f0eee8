"""A stored run asked once more: what is asked, what is given back, what differs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.replay.runs.again import Answers, Exchange, Round, StepError, compared, forked, parameters

Json = dict[str, Any]


def call(name: str, call_id: str, **arguments: Any) -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
    }


def output(call_id: str, text: str) -> Json:
    return {"type": "function_call_output", "id": f"fco_{call_id}", "call_id": call_id, "output": text}


def message(text: str, place: int = 1) -> Json:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "id": f"msg_{place}", "role": "assistant", "status": "completed", "content": [part]}


USER: Json = {"type": "message", "id": "msg_0", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
TWO = (
    Round({"output": [call("weather", "a", city="Rome"), call("weather", "b", city="Oslo")]}, (USER,)),
    Round({"output": [message("Fine.")]}, (output("a", "sunny"), output("b", "cold"))),
)


def test_a_call_is_answered_as_an_equal_one_was_whatever_its_order_and_writing() -> None:
    answers = Answers(TWO)
    asked = {**call("weather", "z"), "arguments": '{"city":"Oslo"}'}
    assert answers.take(asked) == {"type": "function_call_output", "call_id": "z", "output": "cold"}
    assert answers.take(call("weather", "y", city="Rome")) is not None
    assert answers.take(call("weather", "x", city="Rome")) is not None  # the last answer again
    assert answers.take(call("weather", "x", city="Bonn")) is None
    assert answers.take(call("climate", "x", city="Rome")) is None


def test_equal_calls_are_answered_in_order() -> None:
    rounds = (
        Round({"output": [call("next", "a")]}, (USER,)),
        Round({"output": [call("next", "b")]}, (output("a", "one"),)),
        Round({"output": [message("Done.")]}, (output("b", "two"),)),
    )
    answers = Answers(rounds)
    assert [(answers.take(call("next", str(n))) or {}).get("output") for n in range(3)] == ["one", "two", "two"]


def test_parameters_that_have_their_defaults_are_not_asked_for() -> None:
    response: Json = {
        "temperature": 1.0,
        "top_p": 0.5,
        "instructions": None,
        "tools": [],
        "reasoning": {"effort": "low", "summary": None},
    }
    assert parameters(response) == {"top_p": 0.5, "tools": [], "reasoning": {"effort": "low"}}
    assert "reasoning" not in parameters({"reasoning": {"effort": None}})


def test_a_fork_keeps_what_is_before_the_step_with_what_was_given_back() -> None:
    exchange = Exchange(TWO)
    ids = [item["id"] for item in forked(exchange, 2)]
    assert ids == ["msg_0", "fc_a", "fco_a", "fc_b", "fco_b"]
    assert [item["type"] for item in forked(exchange, 1)] == ["item_reference"] * 3
    *_, changed = forked(exchange, 1, "stormy")
    assert changed == {"type": "function_call_output", "call_id": "a", "output": "stormy"}
    *_, changed = forked(exchange, 3, "Bad.")
    assert changed["content"] == [{"type": "output_text", "text": "Bad."}]
    (asked,) = forked(exchange, 0, "Bye")
    assert asked["content"] == [{"type": "input_text", "text": "Bye"}]


def test_a_step_that_is_not_there_or_cannot_be_edited_is_said() -> None:
    with pytest.raises(StepError, match="from 0 to 3"):
        forked(Exchange(TWO), 4)
    with pytest.raises(StepError, match="given back for item 2"):
        forked(Exchange((Round(TWO[0].response, (USER,)),)), 2)
    search = {"type": "file_search_call", "id": "fs_1", "queries": ["x"]}
    with pytest.raises(StepError, match="'file_search_call' cannot be edited"):
        forked(Exchange((Round({"output": [search]}, (USER,)),)), 1, "x")


def test_items_are_compared_without_ids_and_writing_of_arguments() -> None:
    then = [call("weather", "a", city="Rome"), message("Fine.\nBye.")]
    now = [{**call("weather", "z"), "arguments": '{ "city":"Rome" }'}, message("Good.\nBye.", 7)]
    first, second = compared(then, now)
    assert (first.change, second.change) == ("equal", "changed")
    assert [line for line in second.difference if line[0] in "+-"] == ["- Fine.", "+ Good."]


def test_items_that_are_gone_and_new_stand_at_their_places() -> None:
    then = [call("weather", "a", city="Rome"), message("Fine.")]
    assert [row.change for row in compared(then, then[1:])] == ["gone", "equal"]
    assert [row.change for row in compared(then[1:], then)] == ["new", "equal"]
    (gone, new) = compared([call("weather", "a")], [call("climate", "a", city="Rome")])
    assert (gone.then, new.now) == ("weather({})", 'climate({"city": "Rome"})')
