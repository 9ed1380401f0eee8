"""Stored items as chat messages (wire checklist E.1)."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from antiphon.core.context import chat_messages, check_pairs, identified, merged
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Entry, Exchange, Generate
from antiphon.wire.codec import Unknown
from antiphon.wire.content import InputFile, InputImage, InputText, OutputText, ReasoningText, Refusal
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Item, Message, Reasoning, WebSearchCall, item_id
from antiphon.wire.responses import CreateResponse
from tests.core.plays import counted_ids


def said(role: Any, text: str) -> Message:
    part = OutputText(text=text) if role == "assistant" else InputText(text=text)
    return Message(role=role, content=(part,))


def call(call_id: str, **kw: Any) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="f", arguments="{}", **kw)


def output(call_id: str, text: Any = "out") -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)


def messages(*items: Item | Entry, dialect: Dialect | None = None, instructions: str | None = None) -> list[Any]:
    entries = [item if isinstance(item, Entry) else Entry(item) for item in items]
    wanted = Generate("m", CreateResponse(model="m", instructions=instructions), entries)
    return chat_messages(wanted, dialect or Dialect())


def roles(found: list[Any]) -> list[str]:
    return [message["role"] for message in found]


def test_instructions_come_first_and_a_single_text_is_a_plain_string() -> None:
    assert messages(said("user", "Hi"), instructions="Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


def test_assistant_text_and_the_calls_behind_it_are_one_message() -> None:
    found = messages(said("user", "Hi"), said("assistant", "Wait."), call("a"), call("b"), output("b"), output("a"))
    assert roles(found) == ["user", "assistant", "tool", "tool"]
    assert found[1]["content"] == "Wait."
    assert [c["id"] for c in found[1]["tool_calls"]] == ["a", "b"]
    assert [m["tool_call_id"] for m in found[2:]] == ["a", "b"]


def test_items_between_a_call_and_its_output_do_not_split_them() -> None:
    found = messages(call("a"), Reasoning(), call("b"), said("developer", "Note."), output("a"), output("b"))
    assert roles(found) == ["assistant", "tool", "tool", "developer"]


def test_calls_of_two_rounds_are_two_messages() -> None:
    found = messages(call("a"), output("a"), call("b"), output("b"))
    assert roles(found) == ["assistant", "tool", "assistant", "tool"]


def test_server_side_calls_are_told_with_what_they_gave() -> None:
    def searched(call_id: str, turn: int) -> Entry:
        return Entry(WebSearchCall(id="ws_1"), Exchange(call_id, "web_search", '{"query":"q"}', f"hit {call_id}", turn))

    found = messages(searched("a", 0), searched("b", 0), searched("c", 1))
    assert roles(found) == ["assistant", "tool", "tool", "assistant", "tool"]
    assert found[1] == {"role": "tool", "tool_call_id": "a", "content": "hit a"}


def test_a_mixed_round_stays_one_message() -> None:
    searched = Entry(WebSearchCall(id="ws_1"), Exchange("a", "web_search", "{}", "hit", 0))
    assert roles(messages(searched, call("b"), output("b"))) == ["assistant", "tool", "tool"]


def test_a_developer_message_is_a_system_message_where_the_endpoint_lacks_the_role() -> None:
    assert roles(messages(said("developer", "x"), dialect=Dialect(developer_role=False))) == ["system"]


def test_system_messages_can_be_merged_to_the_front() -> None:
    found = messages(said("user", "Hi"), said("system", "B"), instructions="A", dialect=Dialect(merge_system=True))
    assert found == [{"role": "system", "content": "A\n\nB"}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("mode", "expected"), [("drop", [None, None]), ("last_turn", [None, "new"]), ("always", ["old", "new"])]
)
def test_reasoning_is_sent_back_as_the_endpoint_wants_it(mode: Any, expected: list[str | None]) -> None:
    def thought(text: str) -> Reasoning:
        return Reasoning(content=(ReasoningText(text=text),))

    found = messages(
        thought("old"),
        said("assistant", "1"),
        said("user", "?"),
        thought("new"),
        call("a"),
        output("a"),
        dialect=Dialect(send_reasoning=mode, reasoning_field="reasoning"),
    )
    assert [m.get("reasoning") for m in found if m["role"] == "assistant"] == expected


def test_images_in_an_output_follow_in_a_user_message_with_a_label() -> None:
    parts = (InputText(text="seen"), InputImage(image_url="data:image/png;base64,AA=="))
    found = messages(call("a"), output("a", parts))
    assert roles(found) == ["assistant", "tool", "user"]
    assert found[1]["content"].startswith("seen")
    assert found[2]["content"][1]["image_url"]["url"].startswith("data:image/png")


def test_an_inline_text_file_reaches_every_model_as_text() -> None:
    part = InputFile(filename="a.md", file_data="data:text/markdown;base64," + base64.b64encode(b"# Hi").decode())
    found = messages(Message(role="user", content=(part, InputText(text="What?"))))
    assert found[0]["content"][0] == {"type": "text", "text": "File a.md:\n# Hi"}


def test_a_refusal_is_kept() -> None:
    found = messages(Message(role="assistant", content=(Refusal(refusal="No."),)))
    assert found == [{"role": "assistant", "content": None, "refusal": "No."}]


def test_an_item_of_an_unknown_type_is_told_in_words() -> None:
    found = messages(Unknown({"type": "antiphon:note", "id": "x", "text": "hello"}))
    assert "hello" in found[0]["content"]


def test_an_output_without_its_call_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"No tool call found for function call output with call_id nope\."):
        check_pairs([Entry(output("nope"))])


def test_a_call_without_its_output_is_refused_unless_it_was_cut() -> None:
    with pytest.raises(InvalidRequestError, match=r"No tool output found for function call a\."):
        check_pairs([Entry(call("a"))])
    check_pairs([Entry(call("a", status="incomplete"))])
    assert messages(call("a", status="incomplete")) == []


def test_repeated_history_is_dropped_by_id_and_call_id_and_equal_texts_without_ids_stay() -> None:
    new_id = counted_ids()
    history = identified([said("user", "Hi"), call("a"), output("a")], new_id)
    first = history[0].item
    assert first is not None
    again = identified([first, call("a"), output("a"), said("user", "Hi"), said("user", "Hi")], new_id)
    kept = merged(history, again)
    assert [type(entry.item).__name__ for entry in kept] == ["Message", "Message"]


def test_every_item_gets_an_id_and_keeps_its_own() -> None:
    counter = itertools.count()
    entries = identified(
        [said("user", "x"), Message(id="mine", role="user", content=()), Unknown({"type": "z"})],
        lambda prefix: f"{prefix}{next(counter)}",
    )
    assert [item_id(entry.item) for entry in entries if entry.item is not None] == ["msg_0", "mine", "item_1"]
