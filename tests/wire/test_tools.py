"""Tools and tool choices: read, shown, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Tool as OfficialTool
from pydantic import TypeAdapter

from antiphon.wire.codec import Unknown, builtins, components, decode, encode
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.parsing import parse_tool_choice, parse_tools
from antiphon.wire.tools import (
    TOOL_TYPES,
    AllowedTools,
    FunctionTool,
    NamedChoice,
    Tool,
    ToolChoice,
    WebSearchPreviewTool,
    WebSearchTool,
    echo,
)
from tests.schemas import validate
from tests.shared import SHARED, needs_shared
from tests.wire.samples import TOOLS

OFFICIAL: Final = TypeAdapter[Any](OfficialTool)
samples = pytest.mark.parametrize("sample", TOOLS.values(), ids=TOOLS.keys())


def parsed(value: object) -> Tool:
    (tool,) = parse_tools([json.dumps(value).encode()])
    return tool


def shown(value: object) -> Any:
    return builtins(echo(parsed(value)))


def refused(value: object) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(value)
    return caught.value.param, caught.value.code


def test_all_kinds_of_the_checklist_have_a_class_and_a_sample() -> None:
    dated = {"web_search_2025_08_26", "web_search_preview_2025_03_11"}
    assert len(TOOL_TYPES.keys() - dated) == 16
    assert {sample["type"] for sample in TOOLS.values()} == set(TOOL_TYPES)


@samples
def test_a_tool_goes_out_as_it_came_in(sample: dict[str, Any]) -> None:
    tool = parsed(sample)
    assert isinstance(tool, TOOL_TYPES[sample["type"]])
    assert builtins(tool) == sample
    assert decode(encode([tool]), list[Tool]) == [tool]


@samples
def test_a_tool_that_is_shown_already_is_shown_the_same(sample: dict[str, Any]) -> None:
    assert shown(sample) == sample


@needs_shared
@samples
def test_a_tool_is_as_the_openapi_document_says(sample: dict[str, Any]) -> None:
    validate("Tool", sample)


@samples
def test_a_tool_is_read_by_the_official_client(sample: dict[str, Any]) -> None:
    assert OFFICIAL.validate_python(sample).model_dump(mode="json", exclude_unset=True) == sample


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        ({"type": "function", "name": "f"}, {"description": None, "parameters": None, "strict": True}),
        ({"type": "function", "name": "f", "strict": None, "parameters": {}}, {"description": None, "strict": True}),
        (
            {"type": "file_search", "vector_store_ids": ["vs_1"], "ranking_options": None},
            {"filters": None, "max_num_results": 20, "ranking_options": {"ranker": "auto", "score_threshold": 0.0}},
        ),
        (
            {"type": "image_generation"},
            {
                "background": "auto",
                "moderation": "auto",
                "n": 1,
                "output_compression": 100,
                "output_format": "png",
                "quality": "auto",
                "size": "auto",
            },
        ),
        ({"type": "custom", "name": "c"}, {"format": {"type": "text"}}),
        ({"type": "tool_search"}, {"execution": "server", "description": None, "parameters": None}),
    ],
)
def test_a_response_shows_the_defaults(sent: dict[str, Any], more: dict[str, Any]) -> None:
    assert shown(sent) == {**sent, **more}
    validate_if_shared(shown(sent))


def validate_if_shared(tool: object) -> None:
    if SHARED.is_dir():
        validate("Tool", tool)


@pytest.mark.parametrize("kind", [kind for kind in sorted(TOOL_TYPES) if kind.startswith("web_search")])
def test_a_web_search_keeps_its_name_and_gets_all_keys(kind: str) -> None:
    tool = shown({"type": kind, "user_location": None})
    location = {"type": "approximate", "city": None, "country": None, "region": None, "timezone": None}
    assert (tool["type"], tool["search_context_size"], tool["user_location"]) == (kind, "medium", location)
    assert isinstance(parsed({"type": kind}), WebSearchPreviewTool if "preview" in kind else WebSearchTool)
    assert shown({"type": kind, "user_location": {"country": "CH"}})["user_location"] == {**location, "country": "CH"}
    validate_if_shared(tool)


def test_a_response_shows_no_secret_of_an_mcp_server() -> None:
    tool = shown(
        {
            "type": "mcp",
            "server_label": "s",
            "server_url": "https://user:secret@example.org:8443/secret?key=secret#secret",
            "authorization": "secret",
            "headers": {"X-Key": "secret"},
            "require_approval": None,
        }
    )
    assert tool["server_url"] == "https://example.org:8443/<redacted>"
    assert tool["headers"] == {"X-Key": "<redacted>"}
    assert tool["require_approval"] == "always"
    assert "secret" not in json.dumps(tool)
    validate_if_shared(tool)
    broken = shown({"type": "mcp", "server_label": "s", "server_url": "http://[secret", "headers": {}})
    assert (broken["server_url"], broken["headers"]) == ("<redacted>", {})


def test_a_response_shows_no_secret_of_a_container_or_of_an_unknown_tool() -> None:
    policy = {"type": "allowlist", "allowed_domains": ["a.b"], "domain_secrets": [{"value": "secret"}]}
    bare = {"type": "allowlist", "allowed_domains": ["a.b"]}
    container = shown({"type": "code_interpreter", "container": {"type": "auto", "network_policy": policy}})
    assert container["container"] == {"type": "auto", "network_policy": bare}
    shell = shown({"type": "shell", "environment": {"type": "container_auto", "network_policy": policy}})
    assert shell["environment"] == {"type": "container_auto", "network_policy": bare}
    novel = {"type": "novel", "authorization": "secret", "headers": {"a": "secret"}, "b": {"authorization": "secret"}}
    assert shown(novel) == {"type": "novel", "headers": {"a": "<redacted>"}, "b": {}}


@given(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | st.just({"d": None})))
def test_an_unknown_tool_is_kept_losslessly(fields: dict[str, Any]) -> None:
    fields = {**fields, "type": "novel"}
    assert parsed(fields) == Unknown(fields)
    assert shown(fields) == fields


@pytest.mark.parametrize(
    ("tool", "param", "code"),
    [
        (5, "tools[0]", "invalid_type"),
        ({}, "tools[0].type", "missing_required_parameter"),
        ({"type": 5}, "tools[0].type", "invalid_type"),
        ({"type": "function"}, "tools[0].name", "missing_required_parameter"),
        ({"type": "function", "function": {"name": "f"}}, "tools[0].name", "missing_required_parameter"),
        ({"type": "function", "name": 5}, "tools[0].name", "invalid_type"),
        ({"type": "function", "name": ""}, "tools[0].name", "empty_string"),
        ({"type": "function", "name": "a b"}, "tools[0].name", "invalid_value"),
        ({"type": "function", "name": "f\n"}, "tools[0].name", "invalid_value"),
        ({"type": "function", "name": "f" * 129}, "tools[0].name", "string_above_max_length"),
        ({"type": "function", "name": "f", "parameters": []}, "tools[0].parameters", "invalid_type"),
        ({"type": "custom"}, "tools[0].name", "missing_required_parameter"),
        ({"type": "namespace", "name": "n", "tools": [{"type": "function"}]}, "tools[0].tools[0].name", None),
        ({"type": "namespace", "name": "n", "tools": [{"type": "x"}]}, "tools[0].tools[0].type", "invalid_value"),
        ({"type": "file_search"}, "tools[0].vector_store_ids", "missing_required_parameter"),
        (
            {"type": "file_search", "vector_store_ids": ["a"], "max_num_results": 51},
            "tools[0].max_num_results",
            "integer_above_max_value",
        ),
        (
            {"type": "file_search", "vector_store_ids": ["a"], "ranking_options": {"score_threshold": -1}},
            "tools[0].ranking_options.score_threshold",
            "decimal_below_min_value",
        ),
        ({"type": "web_search", "search_context_size": "huge"}, "tools[0].search_context_size", "invalid_value"),
        ({"type": "image_generation", "partial_images": 4}, "tools[0].partial_images", "integer_above_max_value"),
        ({"type": "mcp", "server_label": "s"}, "tools[0].server_url", "missing_required_parameter"),
        ({"type": "mcp", "server_url": "https://a.b"}, "tools[0].server_label", "missing_required_parameter"),
        ({"type": "code_interpreter", "container": 5}, "tools[0].container", "invalid_type"),
        ({"type": "computer_use_preview"}, "tools[0].display_width", "missing_required_parameter"),
    ],
)
def test_what_is_wrong_with_a_tool_is_named(tool: object, param: str, code: str | None) -> None:
    found = refused(tool)
    assert found[0] == param
    assert code is None or found[1] == code


def test_function_names_may_be_long_and_strict_may_be_absent() -> None:
    assert parsed({"type": "function", "name": "a-Z_0" * 25}) == FunctionTool(name="a-Z_0" * 25)


@pytest.mark.parametrize("mode", ["none", "auto", "required"])
def test_a_choice_may_be_a_mode(mode: str) -> None:
    assert parse_tool_choice(encode(mode)) == mode
    assert decode(encode(mode), ToolChoice) == mode
    assert parse_tool_choice(b"null") == "auto"


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "c"},
        {"type": "mcp", "server_label": "s"},
        {"type": "mcp", "server_label": "s", "name": "f"},
        *({"type": kind} for kind in ("file_search", "web_search_preview", "code_interpreter", "image_generation")),
        *({"type": kind} for kind in ("computer", "computer_use_preview", "apply_patch", "shell")),
        {"type": "programmatic_tool_calling"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
    ],
)
def test_a_choice_goes_out_as_it_came_in(choice: dict[str, Any]) -> None:
    found = parse_tool_choice(json.dumps(choice).encode())
    assert isinstance(found, AllowedTools if choice["type"] == "allowed_tools" else NamedChoice)
    assert builtins(found) == choice
    assert decode(encode({"a": found}), dict[str, ToolChoice]) == {"a": found}
    if SHARED.is_dir():
        validate("ToolChoiceParam", choice)


WRONG_CHOICES: Final[list[tuple[object, str, str]]] = [
    ("always", "tool_choice", "invalid_value"),
    (5, "tool_choice", "invalid_type"),
    ([], "tool_choice", "invalid_type"),
    ({}, "tool_choice.type", "missing_required_parameter"),
    ({"name": "f"}, "tool_choice.type", "missing_required_parameter"),
    ({"type": "function"}, "tool_choice.name", "missing_required_parameter"),
    ({"type": "function", "name": None}, "tool_choice.name", "missing_required_parameter"),
    ({"type": "function", "name": 5}, "tool_choice.name", "invalid_type"),
    ({"type": "mcp", "name": "f"}, "tool_choice.server_label", "missing_required_parameter"),
    ({"type": "allowed_tools", "mode": "none", "tools": [{}]}, "tool_choice.mode", "invalid_value"),
    ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools", "empty_array"),
    ({"type": "allowed_tools", "mode": "auto", "tools": [{}] * 129}, "tool_choice.tools", "array_above_max_length"),
]


@pytest.mark.parametrize(("choice", "param", "code"), WRONG_CHOICES)
def test_what_is_wrong_with_a_choice_is_named(choice: object, param: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_tool_choice(json.dumps(choice).encode())
    assert (caught.value.param, caught.value.code) == (param, code)


def test_tools_and_choices_are_described_for_the_openapi_document() -> None:
    (listed,), found = components([list[Tool]])
    assert listed == {"type": "array", "items": {"$ref": "#/components/schemas/Tool"}}
    names = {each["$ref"].rsplit("/")[-1] for each in found["Tool"]["anyOf"] if "$ref" in each}
    assert names == {each.__name__ for each in TOOL_TYPES.values()}
    assert found["ToolChoice"]["anyOf"][1:] == [
        {"$ref": "#/components/schemas/NamedChoice"},
        {"$ref": "#/components/schemas/AllowedTools"},
    ]


@needs_shared
@pytest.mark.parametrize("path", sorted((SHARED / "client_requests").glob("*.json")), ids=lambda path: path.stem)
def test_the_tools_of_real_clients_are_accepted(path: Path) -> None:
    body: dict[str, Any] = json.loads(path.read_bytes())["body"] or {}
    sent: list[dict[str, Any]] = body.get("tools") or []
    tools = parse_tools([json.dumps(each).encode() for each in sent])
    for tool, each in zip(tools, sent, strict=True):
        assert isinstance(tool, TOOL_TYPES[each["type"]])
        assert {key: builtins(tool)[key] for key in each} == each
        validate("Tool", builtins(echo(tool)))
    parse_tool_choice(json.dumps(body.get("tool_choice")).encode())
