"""What makes two requests the same, and how a difference is shown."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.replay import matching
from tests.replay.asking import Json, body

TOOL: Json = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def call(arguments: str, id_: str = "call_1", **fields: Any) -> Json:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": arguments}, **fields}


def talk(*messages: Json, **fields: Any) -> Json:
    return {"model": "m", "messages": [*messages], **fields}


SAME: list[tuple[str, Json, Json]] = [
    ("keys in another order", {"model": "m", "messages": []}, {"messages": [], "model": "m"}),
    ("nulls", body(tools=None, response_format=None), body()),
    ("no tools", body(tools=[]), body()),
    ("the default format", body(response_format={"type": "text"}), body()),
    ("one text part", body(), talk({"role": "user", "content": [{"type": "text", "text": "Hi"}]})),
    ("other parameters", body(temperature=0.5, max_tokens=7, stream=False, user="u"), body()),
    (
        "ids of calls and texts of tools",
        talk(
            {"role": "assistant", "content": "", "tool_calls": [call('{"a":1}', index=0)]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        ),
        talk(
            {"role": "assistant", "content": None, "tool_calls": [call('{ "a": 1 }', "call_2")]},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        ),
    ),
    (
        "reasoning that is sent back",
        talk({"role": "assistant", "content": "a", "reasoning_content": "because"}),
        talk({"role": "assistant", "content": "a", "reasoning": "so"}),
    ),
    (
        "how a tool is written",
        body(tools=[TOOL]),
        body(
            tools=[
                {"type": "function", "function": {"type": "function", "name": "f", "strict": None, "description": None}}
            ]
        ),
    ),
]
OTHER: list[tuple[str, Json, Json]] = [
    ("model", body(), {**body(), "model": "n"}),
    ("text", body("Hi"), body("Ho")),
    ("role", talk({"role": "user", "content": "a"}), talk({"role": "system", "content": "a"})),
    (
        "order of messages",
        talk({"role": "user", "content": "a"}, {"role": "user", "content": "b"}),
        talk({"role": "user", "content": "b"}, {"role": "user", "content": "a"}),
    ),
    ("text of the assistant", talk({"role": "assistant", "content": "a"}), talk({"role": "assistant", "content": "b"})),
    (
        "arguments",
        talk({"role": "assistant", "tool_calls": [call('{"a": 1}')]}),
        talk({"role": "assistant", "tool_calls": [call('{"a": 2}')]}),
    ),
    ("tools", body(tools=[TOOL]), body()),
    ("format", body(response_format={"type": "json_object"}), body()),
    (
        "images",
        talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}),
        talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "b"}}]}),
    ),
]


@pytest.mark.parametrize(("what", "one", "other"), SAME, ids=[case[0] for case in SAME])
def test_what_is_not_significant(what: str, one: Json, other: Json) -> None:
    assert matching.chat(one).key == matching.chat(other).key
    assert matching.distance(matching.chat(one).form, matching.chat(other).form) == (0, None)


@pytest.mark.parametrize(("what", "one", "other"), OTHER, ids=[case[0] for case in OTHER])
def test_what_is_significant(what: str, one: Json, other: Json) -> None:
    assert matching.chat(one).key != matching.chat(other).key
    apart, first = matching.distance(matching.chat(one).form, matching.chat(other).form)
    assert apart > 0
    assert first is not None


def test_a_request_is_not_changed_by_being_looked_at() -> None:
    asked = talk({"role": "assistant", "content": "", "tool_calls": [call("{}")]}, tools=[TOOL])
    before = repr(asked)
    matching.chat(asked)
    assert repr(asked) == before


def test_the_first_difference_is_a_path_with_both_values() -> None:
    one = matching.chat(talk({"role": "user", "content": "Hi"}, {"role": "user", "content": "there"})).form
    other = matching.chat(talk({"role": "user", "content": "Hi"}, {"role": "user", "content": "here"})).form
    first = matching.distance(one, other)[1]
    assert str(first) == 'at $.messages[1].content: asked "there", recorded "here"'
    fewer = matching.chat(talk({"role": "user", "content": "Hi"})).form
    assert str(matching.distance(fewer, other)[1]) == (
        'at $.messages[1]: asked nothing, recorded {"role":"user","content":"here"}'
    )


def test_a_long_difference_is_shown_around_its_place() -> None:
    one, other = (matching.chat(body("x" * 5000 + end)).form for end in ("cat", "dog"))
    first = matching.distance(one, other)[1]
    assert first is not None
    assert first.wanted.endswith('cat"')
    assert first.recorded.endswith('dog"')
    assert max(len(first.wanted), len(first.recorded)) < 200


def test_ports_do_not_share_keys() -> None:
    assert matching.tool("web_search", {"query": "x"}).key == matching.tool("web_search", {"query": "x", "n": None}).key
    assert matching.tool("web_search", {"query": "x"}).key != matching.tool("web_search", {"query": "y"}).key
    assert (
        matching.embeddings({"model": "m", "input": "a"}).key == matching.embeddings({"model": "m", "input": ["a"]}).key
    )
    assert (
        matching.embeddings({"model": "m", "input": "a"}).key != matching.embeddings({"model": "n", "input": "a"}).key
    )
