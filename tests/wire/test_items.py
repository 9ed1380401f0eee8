"""Items: in by `parse_item`, out by `encode`, equal, and as OpenAI's document and client have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, DecodeError, Struct, ValidationError
from openai.types.responses.response_item import ResponseItem
from pydantic import TypeAdapter

from antiphon.wire.codec import Unknown, builtins, components, decode, encode
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    ITEM_TYPES,
    CompactionTrigger,
    FunctionCall,
    Item,
    ItemReference,
    McpListTools,
    Message,
    Reasoning,
    WebSearchCall,
    identified,
    item_id,
    read_item,
    read_items,
)
from antiphon.wire.parsing import CONVERSATION_ROLES, parse_item, parse_items
from antiphon.wire.responses import Response
from tests.schemas import validate
from tests.shared import SHARED, needs_shared
from tests.wire.samples import ITEMS

OFFICIAL: Final = TypeAdapter[Any](ResponseItem)
INPUT_ONLY: Final = {"item_reference": "ItemReferenceParam", "compaction_trigger": "CompactionTriggerItemParam"}
samples = pytest.mark.parametrize("sample", ITEMS.values(), ids=ITEMS.keys())

text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


def parsed(value: object, **more: Any) -> Item:
    return parse_item(json.dumps(value).encode(), "input[0]", **more)


def refused(value: object, **more: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(value, **more)
    return caught.value.param, caught.value.code


def blame(value: object) -> str | None:
    """The parameter that is blamed, None if the value is an item."""
    try:
        encode(parsed(value))
    except InvalidRequestError as error:
        return error.param or ""
    return None


def test_every_type_of_the_checklist_has_a_class_and_a_sample() -> None:
    assert len(ITEM_TYPES) == 30
    assert {sample["type"] for sample in ITEMS.values()} == set(ITEM_TYPES)


@samples
def test_an_item_goes_out_as_it_came_in(sample: dict[str, Any]) -> None:
    item = parsed(sample)
    assert isinstance(item, ITEM_TYPES[sample["type"]])
    assert builtins(item) == sample
    assert read_item(encode(item)) == item
    assert decode(encode([item]), list[Item]) == [item]


@needs_shared
@samples
def test_an_item_is_as_the_openapi_document_says(sample: dict[str, Any]) -> None:
    validate(INPUT_ONLY.get(sample["type"], "ItemResource"), sample)


@samples
def test_an_item_is_read_by_the_official_client(sample: dict[str, Any]) -> None:
    if sample["type"] in INPUT_ONLY:
        return
    item = OFFICIAL.validate_python(sample)
    assert item.type == sample["type"]
    assert item.model_dump(mode="json", exclude_unset=True) == sample


@given(st.dictionaries(text, json_values, max_size=6), text.filter(lambda kind: kind not in ITEM_TYPES))
def test_an_unknown_type_is_kept_losslessly(fields: dict[str, Any], kind: str) -> None:
    fields = {**fields, "type": kind}
    raw = json.dumps(fields).encode()
    item = parse_item(raw, "input[0]")
    assert isinstance(item, Unknown)
    assert json.loads(encode(item)) == fields
    assert read_item(encode(item)) == item
    assert decode(encode((item,)), tuple[Item, ...]) == (item,)


@given(json_values)
def test_whatever_json_stands_in_the_place_of_an_item_is_an_item_or_a_named_error(value: object) -> None:
    blamed = blame(value)
    assert blamed is None or blamed.startswith("input[0]")


@given(st.sampled_from(sorted(ITEMS)), st.data())
def test_a_field_of_a_wrong_type_is_named_or_ignored(name: str, data: st.DataObject) -> None:
    sample = ITEMS[name]
    key = data.draw(st.sampled_from(sorted(sample.keys() - {"type"}) or ["id"]))
    blamed = blame({**sample, key: data.draw(json_values)})
    assert blamed is None or blamed.startswith(f"input[0].{key}")


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        (5, "input[0]", "invalid_type"),
        ("text", "input[0]", "invalid_type"),
        ({}, "input[0].type", "missing_required_parameter"),
        ({"type": 5}, "input[0].type", "invalid_type"),
        ({"id": "x", "name": "y"}, "input[0].type", "missing_required_parameter"),
        ({"content": "x"}, "input[0].role", "missing_required_parameter"),
        ({"role": "user"}, "input[0].content", "missing_required_parameter"),
        ({"role": "user", "content": None}, "input[0].content", "missing_required_parameter"),
        ({"role": "user", "content": 5}, "input[0].content", "invalid_type"),
        ({"role": "user", "content": ["x"]}, "input[0].content[0]", "invalid_type"),
        ({"role": "user", "content": [{"text": "x"}]}, "input[0].content[0].type", "missing_required_parameter"),
        ({"role": 5, "content": "x"}, "input[0].role", "invalid_type"),
        ({"role": "robot", "content": "x"}, "input[0].role", "invalid_value"),
        ({"role": "tool", "content": "x"}, "input[0].role", "invalid_value"),
        ({"role": "user", "content": "x", "phase": "middle"}, "input[0].phase", "invalid_value"),
        ({"type": "item_reference"}, "input[0].id", "missing_required_parameter"),
        ({"type": "item_reference", "id": 5}, "input[0].id", "invalid_type"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0].arguments", "missing_required_parameter"),
        ({"type": "function_call_output", "call_id": "c", "output": {}}, "input[0].output", "invalid_type"),
        (
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": 1},
            "input[0].approve",
            "invalid_type",
        ),
    ],
)
def test_what_is_wrong_is_named(value: object, param: str, code: str) -> None:
    assert refused(value) == (param, code)


def test_the_place_of_an_item_is_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"'items\[1\]\.role'") as caught:
        parse_items([b'{"role":"user","content":"x"}', b'{"content":"x"}'], "items")
    assert caught.value.param == "items[1].role"


def test_input_parts_in_an_assistants_message_are_refused_in_openais_words() -> None:
    part = {"type": "input_text", "text": "x"}
    for shape in (
        {"role": "assistant", "content": [part]},
        {"type": "message", "role": "assistant", "content": [part]},
    ):
        with pytest.raises(InvalidRequestError) as caught:
            parsed(shape)
        assert caught.value.message == "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'."
        assert (caught.value.param, caught.value.code) == ("input[0].content[0]", "invalid_value")


def test_output_parts_in_a_users_message_are_refused() -> None:
    assert refused({"role": "user", "content": [{"type": "output_text", "text": "x"}]})[0] == "input[0].content[0]"


def test_a_conversation_takes_more_roles_and_parts() -> None:
    part = {"type": "summary_text", "text": "x"}
    for role in ("tool", "critic", "discriminator", "unknown", "user"):
        item = parsed({"role": role, "content": [part]}, roles=CONVERSATION_ROLES)
        assert builtins(item) == {"type": "message", "status": "completed", "role": role, "content": [part]}
    bad = {"role": "assistant", "content": [{"type": "input_image"}]}
    assert refused(bad, roles=CONVERSATION_ROLES) == ("input[0].content[0]", "invalid_value")


@pytest.mark.parametrize("more", [{}, {"type": "message"}, {"type": None, "id": None, "status": None, "phase": None}])
def test_content_given_as_a_string_becomes_one_part(more: dict[str, Any]) -> None:
    for role in ("user", "system", "developer"):
        assert parsed({"role": role, "content": "x", **more}) == Message(role=role, content=(InputText(text="x"),))
    assistant = parsed({"role": "assistant", "content": "x", **more})
    assert assistant == Message(role="assistant", content=(OutputText(text="x"),))
    assert builtins(assistant)["content"] == [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}]


@pytest.mark.parametrize("more", [{}, {"type": "item_reference"}, {"type": None}])
def test_an_object_with_nothing_but_an_id_is_a_reference(more: dict[str, Any]) -> None:
    assert parsed({"id": "msg_1", **more}) == ItemReference(id="msg_1")


@samples
def test_what_only_we_write_is_accepted_and_ignored(sample: dict[str, Any]) -> None:
    extra: dict[str, Any] = {"created_by": "me", "parsed": None, "internal_note": {"turn": 1}}
    assert parsed({**sample, **extra}) == parsed(sample)
    for status in (None, "odd", 5, ["x"]):
        assert type(parsed({**sample, "status": status})) is type(parsed(sample))


@samples
def test_a_clients_id_is_kept_and_an_empty_one_is_none(sample: dict[str, Any]) -> None:
    assert item_id(parsed({**sample, "id": "mine"})) == (None if sample["type"] == "compaction_trigger" else "mine")
    if sample["type"] not in INPUT_ONLY:
        for empty in ("", None, 5):
            assert item_id(parsed({**sample, "id": empty})) is None


def test_output_only_fields_of_parts_are_ignored_where_they_are_odd() -> None:
    path = {"type": "file_path", "file_id": "file-1", "index": 1}
    parts: list[dict[str, Any]] = [
        {"type": "output_text", "text": "a", "annotations": None, "logprobs": None, "parsed": {"a": 1}},
        {"type": "output_text", "text": "b", "annotations": [{"type": "novel"}, path], "logprobs": [3]},
        {"type": "output_text", "text": "c", "annotations": {}, "logprobs": 3},
    ]
    item = parsed({"role": "assistant", "content": parts})
    assert [part.get("annotations") for part in builtins(item)["content"]] == [[], [path], []]


def test_what_strict_parsers_want_absent_is_never_null() -> None:
    reasoning = parsed({"type": "reasoning", "summary": [], "content": None, "encrypted_content": None, "status": None})
    assert builtins(reasoning) == {"type": "reasoning", "summary": []}
    listed = [{"name": "f", "description": None, "annotations": None, "input_schema": {"default": None}}]
    tools = parsed({"type": "mcp_list_tools", "server_label": "s", "tools": listed, "error": None})
    assert builtins(tools)["tools"] == [{"name": "f", "input_schema": {"default": None}}]
    assert "error" not in builtins(tools)
    call = {"type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}", "approval_request_id": None}
    assert "approval_request_id" not in builtins(parsed(call))


def test_nulls_in_free_form_objects_stay() -> None:
    item = {"type": "tool_search_output", "call_id": None, "tools": [{"type": "x", "a": None}], "execution": None}
    assert builtins(parsed(item))["tools"] == [{"type": "x", "a": None}]


def test_json_that_cannot_be_read_is_an_invalid_request() -> None:
    for raw in (
        b"{",
        b'{"type":"x","y":1e999}',
        b'{"type":"x","y":"\xff"}',
        b'{"type":"x","y":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ):
        with pytest.raises(InvalidRequestError) as caught:
            parse_item(raw, "input[0]")
        assert caught.value.code == "invalid_json"


def test_an_item_gets_an_id() -> None:
    call = FunctionCall(call_id="c", name="f", arguments="{}")
    assert item_id(call) is None
    assert item_id(identified(call, "fc_1")) == "fc_1"
    assert identified(Unknown({"type": "x", "a": 1}), "x_1") == Unknown({"type": "x", "a": 1, "id": "x_1"})
    assert identified(CompactionTrigger(), "x") == CompactionTrigger()
    assert Reasoning().id is UNSET


def test_stored_items_are_read_back() -> None:
    items: tuple[Item, ...] = (*map(parsed, ITEMS.values()), Unknown({"type": "x"}))
    assert read_items([encode(item) for item in items]) == items
    with pytest.raises(ValidationError):
        read_item(b'{"type":"message"}')
    with pytest.raises(DecodeError):
        read_item(b"{")


def test_a_response_with_items_of_any_type_is_read_back() -> None:
    items: tuple[Item, ...] = (WebSearchCall(id="ws_1"), Unknown({"type": "novel", "a": {"b": None}}))
    response = Response(id="resp_1", created_at=1, status="completed", model="m", output=items, tool_choice="required")
    assert decode(encode(response), Response) == response
    with pytest.raises(ValidationError):
        decode(b'[{"type":"message"}]', list[Item])
    with pytest.raises(ValidationError):
        decode(b"[5]", list[Item])


def test_a_value_is_an_item_or_not() -> None:
    assert isinstance(cast("object", Unknown({})), Item)
    assert not isinstance(InputText(text="x"), Item)


def test_every_item_type_is_described_for_the_openapi_document() -> None:
    (described,), found = components([Response])
    assert described == {"$ref": "#/components/schemas/Response"}
    assert found["Response"]["properties"]["output"]["items"] == {"$ref": "#/components/schemas/Item"}
    classes: set[type[Struct]] = set(ITEM_TYPES.values())
    assert {each["$ref"].rsplit("/")[-1] for each in found["Item"]["anyOf"] if "$ref" in each} == {
        each.__name__ for each in classes
    }
    assert all(each.__name__ in found for each in classes)
    assert found[McpListTools.__name__]["properties"]["type"] == {"enum": ["mcp_list_tools"]}


@needs_shared
@pytest.mark.parametrize("path", sorted((SHARED / "client_requests").glob("*.json")), ids=lambda path: path.stem)
def test_the_input_of_real_clients_is_accepted(path: Path) -> None:
    body: dict[str, Any] = json.loads(path.read_bytes())["body"] or {}
    given_items: list[Any] = body["input"] if isinstance(body.get("input"), list) else []
    items = parse_items([json.dumps(each).encode() for each in given_items], "input")
    for item, given_item in zip(items, given_items, strict=True):
        assert not isinstance(item, Unknown)
        assert item_id(item) == given_item.get("id")
        assert parse_item(encode(item), "input") == item
