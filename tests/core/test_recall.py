"""What clients ran in earlier turns, as the model reads it again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from antiphon.core.choice import declared
from antiphon.core.context import chat_messages, check_pairs, identified, merged
from antiphon.core.dialect import Dialect, NativeDialect
from antiphon.core.effects import Entry, Generate
from antiphon.core.native import native_body
from antiphon.core.recall import MCP_FAILED, MCP_MATERIAL
from antiphon.wire.content import InputImage, InputText
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    AdditionalTools,
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ComputerCall,
    ComputerCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    FileSearchCall,
    FunctionCallOutput,
    Item,
    LocalShellAction,
    LocalShellCall,
    LocalShellCallOutput,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    Screenshot,
    ShellAction,
    ShellCall,
    ShellCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
    item_id,
)
from antiphon.wire.responses import CreateResponse
from antiphon.wire.tools import FunctionTool, NamespaceTool
from tests.core.plays import counted_ids

Json = dict[str, Any]
PNG = "data:image/png;base64,AA=="
EMPTY: Json = {}
SHELL = ShellCall(call_id="a", action=ShellAction(commands=("ls",)))


def messages(*items: Item) -> list[Json]:
    entries = [Entry(item) for item in items]
    return chat_messages(Generate("m", CreateResponse(model="m"), entries), Dialect())


def told(call: Item, output: Item) -> tuple[str, Json, str]:
    """The name, arguments and output that the model reads of a call."""
    assistant, tool, *_ = messages(call, output)
    made = assistant["tool_calls"][0]
    assert tool["tool_call_id"] == made["id"]
    check_pairs([Entry(call), Entry(output)])
    return made["function"]["name"], json.loads(made["function"]["arguments"]), tool["content"]


def exited(code: int, **streams: str) -> Json:
    return {"outcome": {"type": "exit", "exit_code": code}, "stdout": "", "stderr": "", **streams}


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ((exited(0, stdout="a\nb\n"),), "a\nb\n(exit code 0)"),
        ((exited(2, stderr="no"),), "stderr:\nno\n(exit code 2)"),
        (({"outcome": {"type": "timeout"}, "stdout": "half", "stderr": ""},), "half\n(timed out)"),
        ((exited(0), exited(1)), "[command 1]\n(exit code 0)\n[command 2]\n(exit code 1)"),
        ((EMPTY,), "(exit code unknown)"),
        ((), ""),
    ],
)
def test_what_a_shell_gave_is_rendered(output: tuple[Json, ...], text: str) -> None:
    assert told(SHELL, ShellCallOutput(call_id="a", output=output)) == ("shell", {"commands": ["ls"]}, text)


def test_a_patch_says_whether_it_could_be_made() -> None:
    call = ApplyPatchCall(call_id="a", operation={"type": "delete_file", "path": "x"})
    given = {"type": "delete_file", "path": "x"}
    assert told(call, ApplyPatchCallOutput(call_id="a")) == ("apply_patch", given, "completed")
    failed = ApplyPatchCallOutput(call_id="a", status="failed", output="no such file")
    assert told(call, failed)[2] == "failed: no such file"


@pytest.mark.parametrize("shown", [Screenshot(image_url=PNG), InputImage(image_url=PNG)])
def test_a_screen_is_an_image_in_the_next_message(shown: Screenshot | InputImage) -> None:
    call = ComputerCall(call_id="a", actions=({"type": "screenshot"},))
    found = messages(call, ComputerCallOutput(call_id="a", output=shown))
    assert [message["role"] for message in found] == ["assistant", "tool", "user"]
    assert found[2]["content"][1]["image_url"]["url"] == PNG
    assert found[1]["content"].startswith("The screen")


@pytest.mark.parametrize("named", ["call_1", "lsh_1"])
def test_the_output_of_a_local_shell_is_found_by_either_id(named: str) -> None:
    call = LocalShellCall(id="lsh_1", call_id="call_1", action=LocalShellAction(command=("ls",)))
    given = identified([call, LocalShellCallOutput(id=named, output="{}")], counted_ids())
    check_pairs(given)
    assert len({item_id(entry.item) for entry in given if entry.item is not None}) == 2
    items = [entry.item for entry in given if entry.item is not None]
    assert [message["role"] for message in messages(*items)] == ["assistant", "tool"]


def test_a_call_may_be_answered_by_an_output_of_another_type() -> None:
    call = LocalShellCall(call_id="a", action=LocalShellAction(command=("ls",)))
    assert told(call, FunctionCallOutput(call_id="a", output="x"))[2] == "x"


def test_a_search_by_the_client_is_told_with_the_names_that_it_found() -> None:
    call = ToolSearchCall(call_id="a", execution="client", arguments={"query": "x"})
    tools: tuple[Json, ...] = (
        {"type": "function", "name": "f"},
        {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]},
    )
    output = ToolSearchOutput(call_id="a", execution="client", tools=tools)
    words = "Found 2 tools, which can be called now: f, crm__find."
    assert told(call, output) == ("tool_search", {"query": "x"}, words)
    assert told(call, ToolSearchOutput(call_id="a", execution="client"))[2] == "Found no tools."


def test_a_search_by_a_server_is_told_in_words() -> None:
    found = messages(ToolSearchCall(arguments={}), ToolSearchOutput(tools=({"type": "function", "name": "f"},)))
    assert found[1]["content"] == "[tool_search_output] Found 1 tools, which can be called now: f."
    check_pairs([Entry(ToolSearchCall(arguments={}))])


def test_an_mcp_call_is_a_call_with_what_it_gave() -> None:
    call = McpCall(id="mcp_1", server_label="dice", name="roll", arguments="", output="4")
    found = messages(McpListTools(server_label="dice"), call)
    assert found[0]["tool_calls"][0]["function"] == {"name": "dice__roll", "arguments": "{}"}
    assert found[1] == {"role": "tool", "tool_call_id": "mcp_1", "content": f"{MCP_MATERIAL}4"}
    check_pairs([Entry(call)])
    failed = McpCall(id="mcp_1", server_label="d", name="r", arguments="{}", error={"code": 1})
    assert messages(failed)[1]["content"] == f'{MCP_FAILED}{{"code":1}}'


def test_a_file_search_is_a_call_with_what_it_found() -> None:
    result: Json = {"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "The mill.", "attributes": {"y": 1}}
    found = FileSearchCall(id="fs_1", queries=("mill",), results=(result,))
    assistant, tool = messages(found)
    assert assistant["tool_calls"][0]["function"] == {"name": "file_search", "arguments": '{"query":"mill"}'}
    assert tool["tool_call_id"] == "fs_1"
    assert all(word in tool["content"] for word in ("cite as <|file-1|>", "a.txt", "0.500", "The mill.", '{"y":1}'))
    check_pairs([Entry(found)])
    both = replace(found, queries=("a", "b"), results=None)
    assistant, tool = messages(both)
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"query": ["a", "b"]}
    assert "Search again" in tool["content"]
    assert messages(replace(found, status="failed"))[1]["content"] == "The search failed."
    assert messages(replace(found, results=({"score": "x", "attributes": 3},)))[1]["role"] == "tool"
    native = native_body(Generate("m", CreateResponse(model="m"), [Entry(found)]), NativeDialect(), "up")["input"]
    assert [item["type"] for item in native] == ["function_call", "function_call_output"]
    assert "The mill." in native[1]["output"]


def test_an_approval_that_was_asked_for_is_told_in_words() -> None:
    found = messages(McpApprovalRequest(server_label="dice", name="roll", arguments="{}"))
    assert found[0]["content"].startswith("[mcp_approval_request] ")


def test_calls_of_different_kinds_made_together_are_one_message() -> None:
    found = messages(
        SHELL,
        CustomToolCall(call_id="b", name="c", input="x"),
        CustomToolCallOutput(call_id="b", output=(InputText(text="done"),)),
        ShellCallOutput(call_id="a", output=(exited(0),)),
    )
    assert [message["role"] for message in found] == ["assistant", "tool", "tool"]
    assert [message["content"] for message in found[1:]] == ["(exit code 0)", "done"]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (SHELL, "No tool output found for shell call a."),
        (CustomToolCall(call_id="a", name="c", input=""), "No tool output found for custom tool call a."),
        (ComputerCall(call_id="a"), "No tool output found for computer call a."),
        (
            ToolSearchCall(call_id="a", execution="client", arguments={}),
            "No tool output found for tool search call a.",
        ),
        (
            ApplyPatchCallOutput(call_id="a"),
            "No tool call found for apply patch call output with call_id a.",
        ),
        (ShellCallOutput(call_id="a", output=()), "No tool call found for shell call output with call_id a."),
    ],
)
def test_every_kind_is_paired(item: Item, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_pairs([Entry(item)])
    assert refused.value.message == words


def test_repeated_calls_and_outputs_of_every_kind_are_dropped() -> None:
    pair = (SHELL, ShellCallOutput(call_id="a", output=()))
    history = identified(pair, counted_ids())
    fresh = identified((*pair, CustomToolCall(call_id="a", name="c", input="")), counted_ids())
    assert [type(entry.item) for entry in merged(history, fresh)] == [CustomToolCall]


# tools that the context adds


def test_found_tools_are_declared_and_not_deferred_any_more() -> None:
    member = {"type": "function", "name": "find", "defer_loading": True, "strict": None}
    found = ToolSearchOutput(
        tools=(
            {"type": "namespace", "name": "crm", "description": "", "tools": [member]},
            {"type": "function", "name": "f", "defer_loading": True, "parameters": {"defer_loading": 1}},
        )
    )
    own = FunctionTool(name="own")
    tools = declared([own], [Entry(found)])
    assert tools == (
        own,
        NamespaceTool(name="crm", description="", tools=(FunctionTool(name="find"),)),
        FunctionTool(name="f", parameters={"defer_loading": 1}),
    )


def test_additional_tools_are_declared_as_they_are_and_say_nothing() -> None:
    item = AdditionalTools(tools=({"type": "function", "name": "f", "defer_loading": True},))
    assert declared([], [Entry(item)]) == (FunctionTool(name="f", defer_loading=True),)
    assert messages(item) == []


def test_a_definition_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        declared([], [Entry(ToolSearchOutput(tools=({"type": "function"},)))])
    assert refused.value.param == "input.tools[0].name"
