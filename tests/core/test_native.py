"""A generation becomes the body of a stateless request to `/v1/responses`."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from antiphon.core.dialect import NativeDialect
from antiphon.core.effects import Entry, Exchange, Generate, Grammar, Offer
from antiphon.core.native import input_items, marked, native_body
from antiphon.core.recall import MCP_MATERIAL
from antiphon.core.sealed import Thought, carried, packed
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.content import InputFile, InputImage, InputText, OutputText, ReasoningText, Refusal, SummaryText
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Item,
    LocalShellAction,
    LocalShellCall,
    LocalShellCallOutput,
    McpCall,
    Message,
    Reasoning,
    WebSearchCall,
)
from antiphon.wire.requests import parse_create
from antiphon.wire.responses import CreateResponse
from antiphon.wire.tools import NamedChoice
from tests.core.plays import SEARCH, WEATHER, user

HELLO = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
BYE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Bye"}]}
CALL = FunctionCall(id="fc_1", call_id="call_1", name="get_weather", arguments='{"city":"Oslo"}')
OUTPUT = FunctionCallOutput(call_id="call_1", output="sunny")
SAID = Message(id="msg_1", role="assistant", content=(OutputText(text="Hi", annotations=()),))


def items(*context: Item | Entry, **switches: Any) -> list[dict[str, Any]]:
    entries = [entry if isinstance(entry, Entry) else Entry(entry) for entry in context]
    return input_items(entries, NativeDialect(**switches), "here")


def body(*offers: Offer, dialect: NativeDialect | None = None, **request: Any) -> dict[str, Any]:
    """The body for a request with these parameters, as JSON says them."""
    asked: CreateResponse = parse_create(encode({"model": "m", "input": "Hello", **request}))
    choice: Any = asked.tool_choice if offers else "none"
    wanted = Generate("upstream", asked, (user("Hello"),), offers, choice, asked.max_output_tokens)
    return native_body(wanted, dialect or NativeDialect(), "here")


def thought(blob: str, **fields: Any) -> Entry:
    return carried(Reasoning(id="rs_1", **fields), packed(Thought("Hm.", blob)))


# parameters


def test_a_plain_request_says_no_more_than_it_must() -> None:
    assert body() == {
        "model": "upstream",
        "input": [HELLO],
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }


def test_parameters_that_were_given_are_sent() -> None:
    given: dict[str, Any] = {
        "instructions": "Be brief.",
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "service_tier": "flex",
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    }
    sent = body(**given, metadata={"a": "b"}, store=True, truncation="auto")
    assert given.items() <= sent.items()
    assert sent["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert sent["store"] is False
    assert "metadata" not in sent


def test_a_schema_is_sent_as_it_was_given() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    assert body(text={"format": form})["text"] == {"format": form}


def test_what_is_left_of_a_budget_is_never_less_than_the_endpoint_takes() -> None:
    wanted = Generate("m", CreateResponse(model="m"), (user("Hello"),), max_output_tokens=3)
    assert native_body(wanted, NativeDialect(), "here")["max_output_tokens"] == 16


def test_encrypted_reasoning_need_not_be_asked_for() -> None:
    assert "include" not in body(dialect=NativeDialect(encrypted_reasoning=False))


# tools


def test_functions_are_offered_and_ours_are_not_strict_unless_they_say_so() -> None:
    sent = body(SEARCH, WEATHER, parallel_tool_calls=False, tools=[])
    assert sent["tools"] == [
        {"type": "function", "name": "web_search", "description": "Search", "parameters": {"type": "object"}}
        | {"strict": False},
        {"type": "function", "name": "get_weather", "description": "Weather", "parameters": {"type": "object"}}
        | {"strict": None},
    ]
    assert sent["parallel_tool_calls"] is False
    assert "tool_choice" not in sent


def test_a_choice_is_sent_in_functions() -> None:
    wanted = Generate("m", CreateResponse(model="m"), (), (WEATHER,), NamedChoice(type="function", name="get_weather"))
    sent = native_body(wanted, NativeDialect(), "here")
    assert sent["tool_choice"] == {"type": "function", "name": "get_weather"}
    forced = Generate("m", CreateResponse(model="m"), (), (WEATHER,), "required")
    assert native_body(forced, NativeDialect(), "here")["tool_choice"] == "required"


GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}


def test_a_custom_tool_is_one_there_as_well() -> None:
    tool = {"type": "custom", "name": "run", "description": "Runs", "format": GRAMMAR}
    offer = Offer("run", "Runs, and its grammar", {"type": "object"}, kind="custom")
    assert body(offer, tools=[tool])["tools"] == [tool]
    member = Offer("ns__run", kind="custom", grammar=Grammar("lark", "start: /a+/"), tool=7)
    assert body(member)["tools"] == [{"type": "custom", "name": "ns__run", "format": GRAMMAR}]
    wanted = Generate(
        "m",
        parse_create(encode({"model": "m", "input": "x", "tools": [tool]})),
        (),
        (offer,),
        NamedChoice(type="function", name="run"),
    )
    assert native_body(wanted, NativeDialect(), "here")["tool_choice"] == {"type": "custom", "name": "run"}
    plain = native_body(wanted, NativeDialect(custom_tools=False), "here")
    assert plain["tools"][0]["type"] == plain["tool_choice"]["type"] == "function"


# items


def test_messages_keep_their_roles_and_parts() -> None:
    image = InputImage(image_url="data:image/png;base64,AA", detail="low")
    file = InputFile(filename="a.pdf", file_data="data:application/pdf;base64,AA")
    developer = Message(role="developer", content=(InputText(text="Rule"),))
    found = items(developer, Message(role="user", content=(image, file)))
    assert found == [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rule"}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
            ],
        },
    ]
    assert items(developer, developer_role=False)[0]["role"] == "system"


def test_what_the_assistant_said_goes_back_with_its_phase_and_without_ids() -> None:
    message = Message(
        id="msg_1", role="assistant", content=(OutputText(text="Hi"), Refusal(refusal="No")), phase="commentary"
    )
    said: list[Any] = [{"type": "output_text", "text": "Hi", "annotations": []}, {"type": "refusal", "refusal": "No"}]
    assert items(message) == [{"type": "message", "role": "assistant", "content": said, "phase": "commentary"}]
    kept = items(message, keep_ids=True)[0]
    assert (kept["id"], kept["status"]) == ("msg_1", "completed")


@pytest.mark.parametrize("part", [InputImage(file_id="file-1"), InputFile(file_id="file-1")])
def test_files_of_ours_mean_nothing_there(part: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        items(Message(role="user", content=(part,)))
    assert caught.value.param == "input"


def test_encrypted_reasoning_goes_back_as_it_came_to_the_endpoint_that_made_it() -> None:
    entry = thought(marked("here", "gAAA=:x"), summary=(SummaryText(text="S"),), encrypted_content="ours")
    summary = [{"type": "summary_text", "text": "S"}]
    expected = {"type": "reasoning", "summary": summary, "encrypted_content": "gAAA=:x"}
    assert items(entry, CALL, OUTPUT)[0] == expected
    assert items(entry, CALL, OUTPUT, keep_ids=True)[0] == expected
    assert [item["type"] for item in items(entry, CALL, OUTPUT, encrypted_reasoning=False)] == [
        "function_call",
        "function_call_output",
    ]


@pytest.mark.parametrize("blob", [marked("elsewhere", "gAAA"), "gAAA", ""])
def test_encrypted_reasoning_of_another_endpoint_stays_here(blob: str) -> None:
    assert "reasoning" not in {item["type"] for item in items(thought(blob), SAID)}
    ours = Reasoning(id="rs_1", encrypted_content="ours, and its key is gone")
    assert "reasoning" not in {item["type"] for item in items(ours, SAID)}


@pytest.mark.parametrize(("which", "texts"), [("drop", []), ("last_turn", ["two"]), ("always", ["one", "two"])])
def test_reasoning_that_is_not_encrypted_goes_back_as_the_settings_say(which: str, texts: list[str]) -> None:
    one, two = (Reasoning(id=f"rs_{text}", content=(ReasoningText(text=text),)) for text in ("one", "two"))
    found = items(user("Hello"), one, SAID, user("Bye"), two, CALL, OUTPUT, send_reasoning=which, keep_ids=True)
    sent = [item for item in found if item["type"] == "reasoning"]
    assert [item["content"][0]["text"] for item in sent] == texts
    assert all(item["id"] for item in sent)


def test_a_thought_that_led_to_nothing_is_left_out() -> None:
    entry = thought(marked("here", "x"), status="incomplete")
    assert items(user("Hello"), entry, user("Bye"), entry) == [HELLO, BYE]


def test_a_function_call_and_its_output() -> None:
    assert items(CALL, OUTPUT) == [
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    ]
    shown = FunctionCallOutput(call_id="call_1", output=(InputText(text="see"), InputImage(image_url="data:x")))
    assert items(CALL, shown)[1]["output"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:x", "detail": "auto"},
    ]


def test_a_member_of_a_namespace_goes_back_under_the_name_it_was_offered_by() -> None:
    call = FunctionCall(call_id="c", name="find", namespace="crm", arguments="")
    assert items(call, FunctionCallOutput(call_id="c", output=""))[0]["name"] == "crm__find"


def test_a_call_that_was_cut_is_left_out() -> None:
    assert items(FunctionCall(call_id="c", name="f", arguments='{"a', status="incomplete"), user("Bye")) == [BYE]


def test_a_call_of_a_custom_tool_is_one_unless_the_endpoint_knows_none() -> None:
    call = CustomToolCall(call_id="c", name="run", input='a "b"')
    output = CustomToolCallOutput(call_id="c", output="done")
    assert items(call, output) == [
        {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": 'a "b"'},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
    ]
    member = CustomToolCall(call_id="c", name="run", namespace="ns", input="a")
    assert (items(member, output)[0]["type"], items(member, output)[0]["name"]) == ("custom_tool_call", "ns__run")
    assert items(call, output, custom_tools=False) == [
        {"type": "function_call", "call_id": "c", "name": "run", "arguments": '{"input":"a \\"b\\""}'},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
    ]


def test_calls_of_our_tools_are_told_round_by_round() -> None:
    def search(number: int, round_: int) -> Entry:
        exchange = Exchange(f"call_{number}", "web_search", f'{{"q":{number}}}', f"found {number}", round_)
        return Entry(WebSearchCall(id=f"ws_{number}"), exchange)

    refused = Entry(None, Exchange("call_4", "web_search", "{}", "Not run", 1))
    found = items(user("Hello"), search(1, 0), search(2, 0), search(3, 1), refused, SAID)
    assert [(item["type"], item.get("call_id")) for item in found[1:-1]] == [
        ("function_call", "call_1"),
        ("function_call", "call_2"),
        ("function_call_output", "call_1"),
        ("function_call_output", "call_2"),
        ("function_call", "call_3"),
        ("function_call", "call_4"),
        ("function_call_output", "call_3"),
        ("function_call_output", "call_4"),
    ]
    assert found[3]["output"] == "found 1"


def test_tools_that_the_client_ran_are_functions_with_the_names_they_were_offered_by() -> None:
    call = LocalShellCall(id="lsh_1", call_id="c", action=LocalShellAction(command=("ls",)))
    found = items(call, LocalShellCallOutput(id="lsh_1", call_id=UNSET, output="a.txt"))
    assert [(item["type"], item["call_id"]) for item in found] == [
        ("function_call", "c"),
        ("function_call_output", "c"),
    ]
    assert found[0]["name"] == "local_shell"


def test_a_call_of_a_server_that_a_client_gives_back_is_a_call_with_its_output() -> None:
    found = items(McpCall(id="mcp_1", server_label="crm", name="find", arguments="{}", output="7"))
    assert [item["type"] for item in found] == ["function_call", "function_call_output"]
    assert found[1]["output"] == f"{MCP_MATERIAL}7"


def test_what_has_no_form_is_told_in_words() -> None:
    found = items(WebSearchCall(id="ws_1"), Unknown({"type": "vendor:thing", "x": 1}))
    assert [item["role"] for item in found] == ["assistant", "assistant"]
    assert found[1]["content"][0]["text"] == '[vendor:thing] {"type":"vendor:thing","x":1}'
