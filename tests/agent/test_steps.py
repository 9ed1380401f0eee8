"""The stream of one response as steps (the law of steps.py)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from antiphon.agent.events import (
    AgentEvent,
    ApprovalRequested,
    InferenceStepResult,
    StepCompleted,
    StepProgress,
    StepStarted,
    ToolExecutionStepResult,
    Usage,
)
from antiphon.agent.steps import Steps
from tests.agent.stub import Json, added, call, done, ending, message, opening, reply, search, wish


def heard(events: list[Json], *, collapse: bool = False, first: int = 0) -> tuple[Steps, list[AgentEvent]]:
    steps = Steps("turn", first, collapse=collapse)
    told = [found for event in events for found in steps.hear(event)]
    return steps, [*told, *steps.close()]


def shape(told: list[AgentEvent]) -> list[str]:
    """Each event in a word, with the number of its step."""
    words: list[str] = []
    for event in told:
        number = getattr(event, "step_id", "").removeprefix("turn_step_")
        match event:
            case StepStarted():
                words.append(f"+{number} {event.step_type[:4]}")
            case StepProgress():
                words.append(f"{number} {event.delta.delta_type}")
            case StepCompleted(result=InferenceStepResult() as result):
                words.append(f"-{number} {result.stop_reason}")
            case StepCompleted():
                words.append(f"-{number}")
            case _:
                words.append(f"{number} {event.event_type}")
    return words


def results(told: list[AgentEvent]) -> list[InferenceStepResult | ToolExecutionStepResult]:
    return [event.result for event in told if isinstance(event, StepCompleted)]


def delta(kind: str, said: str, index: int = 0, **more: object) -> Json:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": said, **more}


def test_a_text_is_one_inference() -> None:
    item = message("Hello")
    events = [*opening(), added({**item, "content": []}, 0), delta("output_text", "Hel", item_id="msg_1")]
    events += [delta("output_text", "lo", item_id="msg_1"), done(item, 0), ending(item)]
    steps, told = heard(events)
    assert shape(told) == ["+0 infe", "0 text", "0 text", "-0 end_of_turn"]
    (result,) = results(told)
    assert isinstance(result, InferenceStepResult)
    assert (result.text_content, result.response_id, steps.text) == ("Hello", "resp_1", "Hello")
    assert result.usage == steps.usage == Usage(3, 2, cached_tokens=1)


@pytest.mark.parametrize("left_out", [{0}, {1}, {0, 1}, {2}, {0, 1, 2}])
def test_what_a_stream_leaves_out_is_made_good(left_out: set[int]) -> None:
    item = message("Hello")
    events = [*opening(), added({**item, "content": []}, 0), done(item, 0), ending(item)]
    steps, told = heard([event for number, event in enumerate(events) if number not in left_out])
    assert shape(told) == ["+0 infe", "0 text", "-0 end_of_turn"]
    assert (steps.text, steps.response_id) == ("Hello", "resp_1")


def test_a_response_that_only_ends_tells_all_of_its_items() -> None:
    _, told = heard([ending(search(), call(), message("Hi"))])
    words = ["+0 infe", "-0 server_tool_call", "+1 tool", "1 tool_call_issued", "-1", "+2 infe", "2 tool_call_issued"]
    assert shape(told) == [*words, "2 text", "-2 tool_calls"]


def test_a_tool_of_the_server_stands_between_two_inferences() -> None:
    _, told = heard(reply(search(), message("Hi")))
    words = ["+0 infe", "-0 server_tool_call", "+1 tool", "1 tool_call_issued", "-1", "+2 infe", "2 text"]
    assert shape(told) == [*words, "-2 end_of_turn"]
    started = [event for event in told if isinstance(event, StepStarted)]
    assert started[1].metadata == {"server_side": True, "tool_type": "file_search", "tool_name": "file_search_call"}
    tools = results(told)[1]
    assert isinstance(tools, ToolExecutionStepResult)
    (response,) = tools.tool_responses
    assert response["content"] == {"queries": ["q"], "results": [{"text": "t"}]}
    assert not response["is_error"]


def test_interleaved_tools_of_the_server_keep_their_ids() -> None:
    one, two = search("fs_1"), {"type": "mcp_call", "id": "mcp_1", "name": "sum", "server_label": "lab", "output": "3"}
    events = [*opening(), added(one, 0), added(two, 1), done(two, 1), done(one, 0), ending(one, two)]
    _, told = heard(events)
    words = ["+0 infe", "-0 server_tool_call", "+1 tool", "1 tool_call_issued", "+2 tool", "2 tool_call_issued"]
    assert shape(told) == [*words, "-2", "-1", "+3 infe", "-3 end_of_turn"]
    tools = [result for result in results(told) if isinstance(result, ToolExecutionStepResult)]
    assert [result.tool_calls[0].call_id for result in tools] == ["mcp_1", "fs_1"]
    assert tools[0].tool_responses[0]["content"] == "3"
    assert tools[0].tool_responses[0]["metadata"] == {"server_label": "lab"}


def test_tools_are_told_apart_where_no_item_has_an_id() -> None:
    one, two = search(""), search("", queries=["other"])
    _, told = heard([*opening(), added(one, 0), added(two, 1), done(two, 1), done(one, 0), ending(one, two)])
    tools = [result for result in results(told) if isinstance(result, ToolExecutionStepResult)]
    assert [(result.step_id, result.tool_calls[0].arguments) for result in tools] == [
        ("turn_step_2", '{"queries": ["other"]}'),
        ("turn_step_1", '{"queries": ["q"]}'),
    ]


def test_a_failed_tool_of_the_server_says_why() -> None:
    item = {"type": "mcp_call", "id": "mcp_1", "name": "sum", "arguments": "{}", "error": "No.", "output": None}
    _, told = heard([*opening(), added(item, 0), done(item, 0), ending(item)])
    tools = results(told)[1]
    assert isinstance(tools, ToolExecutionStepResult)
    assert tools.tool_responses[0]["is_error"]
    assert tools.tool_responses[0]["content"] == "No."


def test_a_tool_that_never_ends_is_completed_with_its_response() -> None:
    steps, told = heard([*opening(), added(search(), 0), ending()])
    assert shape(told)[-3:] == ["-1", "+2 infe", "-2 end_of_turn"]
    tools = results(told)[1]
    assert isinstance(tools, ToolExecutionStepResult)
    assert tools.tool_responses[0]["is_error"]
    assert steps.output == []


def test_all_calls_are_kept_also_around_a_tool_of_the_server() -> None:
    one, two = call("call_1"), call("call_2")
    steps, told = heard(reply(one, search(), two))
    assert [found.call_id for found in steps.calls] == ["call_1", "call_2"]
    made = [result.function_calls for result in results(told) if isinstance(result, InferenceStepResult)]
    assert [[found.call_id for found in calls] for calls in made] == [["call_1"], ["call_2"]]
    assert shape(told)[-1] == "-2 tool_calls"


def test_a_call_that_is_written_while_the_server_works_belongs_to_the_step_in_which_it_is_whole() -> None:
    item = call()
    events = [*opening(), added({**item, "arguments": ""}, 0), added(search(), 1), done(search(), 1), done(item, 0)]
    _, told = heard([*events, ending(item, search())])
    made = [result.function_calls for result in results(told) if isinstance(result, InferenceStepResult)]
    assert [[found.arguments for found in calls] for calls in made] == [[], ['{"a": 1, "b": 2}']]


def test_arguments_are_told_as_they_come_and_final_when_the_item_is_done() -> None:
    item = call(arguments='{"a": 1, "b": 3}')
    events = [*opening(), added({**item, "arguments": ""}, 0), delta("function_call_arguments", '{"a": 1, ')]
    events += [delta("function_call_arguments", '"b": 2}'), done(item, 0), ending(item)]
    steps, told = heard(events)
    assert shape(told) == ["+0 infe", "0 tool_call_issued", "0 tool_call_delta", "0 tool_call_delta", "-0 tool_calls"]
    assert steps.calls[0].arguments == '{"a": 1, "b": 3}'


def test_a_function_with_the_name_of_a_servers_tool_is_a_function() -> None:
    steps, told = heard(reply(call(name="web_search")))
    assert [found.tool_type for found in steps.calls] == ["function"]
    assert shape(told) == ["+0 infe", "0 tool_call_issued", "-0 tool_calls"]


def test_a_call_that_the_response_itself_answers_is_not_the_clients() -> None:
    item = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}}
    output: Json = {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": []}
    steps, _ = heard(reply(item, output))
    assert steps.calls == ()


def test_refusals_thoughts_and_annotations_are_told() -> None:
    events = [*opening(), delta("reasoning_text", "Hm"), delta("reasoning_summary_text", "So", 1)]
    events += [delta("refusal", "No", 2), delta("reasoning", "!", 3)]
    note = {"type": "response.output_text.annotation.added", "output_index": 4, "annotation": {"type": "url_citation"}}
    _, told = heard([*events, note, ending()])
    assert shape(told)[1:-1] == ["0 reasoning", "0 reasoning", "0 refusal", "0 reasoning", "0 annotation"]


def test_what_no_delta_told_is_told_with_the_item_and_nothing_twice() -> None:
    cited = {"type": "output_text", "text": "Hello", "annotations": [{"type": "url_citation"}]}
    item = {**message("x"), "content": [cited, {"type": "refusal", "refusal": "No"}]}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
    _, told = heard(
        [*opening(), done(thought, 0), delta("output_text", "Hel", 1), done(item, 1), ending(thought, item)]
    )
    words = [event.delta for event in told if isinstance(event, StepProgress)]
    assert [getattr(word, "text", "note") for word in words] == ["Hm", "Hel", "lo", "note", "No"]


def test_an_approval_is_asked_within_an_inference() -> None:
    _, told = heard(reply(wish()))
    assert shape(told) == ["+0 infe", "0 approval_requested", "-0 approval"]
    asked = told[1]
    assert isinstance(asked, ApprovalRequested)
    assert (asked.approval.id, asked.approval.tool_name, asked.approval.server_label) == ("mcpr_1", "erase", "lab")


@pytest.mark.parametrize("output", [(), (message("Hi"),), (search(),), (search(), message("Hi")), (call(),), (wish(),)])
def test_empty_inferences_can_be_left_out(output: tuple[Json, ...]) -> None:
    _, told = heard(reply(*output), collapse=True)
    words = shape(told)
    assert words[0].startswith("+0 ")
    assert words[-1].startswith("-")
    empty = [(one, two) for one, two in pairwise(words) if one[0] == "+" and two[0] == "-"]
    assert empty == ([] if output else [("+0 infe", "-0 end_of_turn")])


def test_unknown_events_and_items_are_passed_over() -> None:
    strange = {"type": "hologram", "id": "h_1", "light": 1}
    events = [{"type": "tide"}, {"no": "type"}, *opening(), {"type": "response.tide.rising"}]
    events += [added(strange, 0), done(strange, 0), ending(strange)]
    steps, told = heard(events)
    assert shape(told) == ["+0 infe", "-0 end_of_turn"]
    assert steps.output == [strange]


def test_a_stream_that_is_cut_leaves_no_step_open() -> None:
    _, told = heard([*opening(), added(search(), 0), added(search("fs_2"), 1)])
    assert shape(told)[-2:] == ["-1", "-2"]
    _, told = heard([*opening(), added(call(), 0)])
    assert shape(told)[-1] == "-0 failed"


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (
            ending(how="failed", error={"code": "rate_limit_exceeded", "message": "Slow."}),
            ("Slow.", "rate_limit_exceeded"),
        ),
        (ending(how="failed", error=None), ("The response failed.", "server_error")),
        (ending(how="cancelled"), ("The response was cancelled.", "cancelled")),
        ({"type": "error", "message": "Bad.", "code": None}, ("Bad.", "server_error")),
        ({"type": "error", "error": {"message": "Bad.", "code": "x"}}, ("Bad.", "x")),
    ],
)
def test_a_failure_closes_the_step_and_is_told(event: Json, error: tuple[str, str]) -> None:
    steps, told = heard([*opening(), event, delta("output_text", "late")])
    assert shape(told) == ["+0 infe", "-0 failed"]
    assert (steps.ended, steps.error) == ("failed", error)


@pytest.mark.parametrize(("reason", "stop"), [("content_filter", "content_filter"), ("max_output_tokens",) * 2])
def test_an_incomplete_response_says_why(reason: str, stop: str) -> None:
    steps, told = heard(reply(message("Hel"), how="incomplete", incomplete_details={"reason": reason}))
    assert shape(told)[-1] == f"-0 {stop}"
    assert steps.text == "Hel"


def test_steps_are_numbered_on() -> None:
    steps, told = heard(reply(search()), first=7)
    assert shape(told)[0] == "+7 infe"
    assert steps.next == 10
