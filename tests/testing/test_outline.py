"""Responses in lines, and how two of them differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from antiphon.testing import differences, outline


def message(*texts: str, **fields: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts, **fields}


def call(name: str, arguments: str, identity: str = "fc_1") -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": identity,
        "call_id": f"call_{identity}",
        "name": name,
        "arguments": arguments,
    }


def response(*output: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "response", "id": "resp_1", "status": "completed", "output": list(output), **fields}


def test_each_item_is_a_line() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    refusal = message(content=[{"type": "refusal", "refusal": "No."}])
    assert outline(response(reasoning, call("add", '{"a":1}'), search, message("Hel", "lo"), refusal)) == [
        "reasoning: Hm.",
        'function_call: add {"a": 1}',
        'web_search_call: action={"type": "search", "query": "x"}',
        "message: Hello",
        "message: refused: No.",
    ]


def test_what_is_not_whole_says_why() -> None:
    cut = response(
        message("Hel", status="incomplete"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    assert outline(cut) == ["message (incomplete): Hel", "incomplete: max_output_tokens"]
    failed = response(status="failed", error={"code": "server_error", "message": "It broke."})
    assert outline(failed) == ["failed: server_error: It broke."]


def test_ids_and_the_spacing_of_arguments_make_no_difference() -> None:
    one, other = response(call("add", '{"a":1}')), response(call("add", '{ "a": 1 }', "fc_2"), id="resp_2")
    assert differences(one, other) == []


def test_differences_are_told_by_item() -> None:
    one = response(call("add", '{"a":1}'), message("Hello"))
    other = response(call("add", '{"a":2}'), message("Hello"), message("More"))
    found = differences(one, other)
    assert found[0] == "output[0]:"
    assert '  - function_call: add {"a": 1}' in found
    assert '  + function_call: add {"a": 2}' in found
    assert found[-2:] == ["output[2]:", "  + message: More"]


def test_objects_of_clients_are_read_like_json() -> None:
    part = SimpleNamespace(type="output_text", text="Hello")
    item = SimpleNamespace(type="message", id="msg_1", status="completed", content=[part])
    found = SimpleNamespace(object="response", status="completed", error=None, incomplete_details=None, output=[item])
    assert outline(found) == ["message: Hello"]
    assert differences(found, response(message("Hello"))) == []
    assert outline([item]) == ["message: Hello"]
