"""Every kind of tool that clients run, through the whole server: offered as a function, called, and called again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.shared import SHARED, needs_shared
from tests.upstream import DONE, Reply, Upstream, chunk, speech, sse, usage
from tests.whole.house import Whole, fast, whole

Json = dict[str, Any]
LARK = 'start: begin line+\nbegin: "*** Begin Patch"\nline: /.+/'
PATCH = '*** Begin Patch\n*** Add File: "ä\\b".txt\n+\t😀\n*** End Patch\n'
DEFERRED: Json = {"type": "function", "name": "calendar", "defer_loading": True, "parameters": {"type": "object"}}
TOOLS: list[Json] = [
    {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False},
    {"type": "custom", "name": "edit", "format": {"type": "grammar", "syntax": "lark", "definition": LARK}},
    {
        "type": "namespace",
        "name": "agents",
        "description": "Other agents.",
        "tools": [
            {"type": "function", "name": "spawn", "parameters": {"type": "object"}},
            {"type": "custom", "name": "tell", "description": "Tells it something."},
        ],
    },
    {"type": "tool_search", "execution": "client", "description": "", "parameters": {"type": "object"}},
    {"type": "local_shell"},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "apply_patch"},
    {"type": "computer"},
    DEFERRED,
]
CALLS: dict[str, tuple[str, Json]] = {
    "weather": ("function_call", {"city": "Zürich"}),
    "edit": ("custom_tool_call", {"input": PATCH}),
    "agents__spawn": ("function_call", {"id": "a"}),
    "agents__tell": ("custom_tool_call", {"input": "hello"}),
    "tool_search": ("tool_search_call", {"query": "dates"}),
    "local_shell": ("local_shell_call", {"command": ["ls"]}),
    "shell": ("shell_call", {"commands": ["ls", 'echo "ö"'], "timeout_ms": 9}),
    "apply_patch": ("apply_patch_call", {"type": "create_file", "path": "a", "diff": "+b"}),
    "computer": ("computer_call", {"actions": [{"type": "move", "x": 1, "y": 2}, {"type": "screenshot"}]}),
}
"""What the model calls, by the name that it is shown: the item that must come of it, and its arguments."""


def calling(calls: Sequence[tuple[str, str]], size: int = 5) -> Reply:
    """A stream that makes these calls (name and arguments), the arguments in pieces of so many characters."""
    parts: list[bytes] = []
    for place, (name, arguments) in enumerate(calls):
        opened = {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": name}}
        parts.append(sse(chunk(tool_calls=[opened])))
        parts.extend(
            sse(chunk(tool_calls=[{"index": place, "function": {"arguments": arguments[start : start + size]}}]))
            for start in range(0, len(arguments), size)
        )
    return Reply([b"".join([*parts, sse(chunk(finish="tool_calls")), sse(usage()), DONE])])


def every_call() -> Reply:
    return calling([(name, json.dumps(arguments)) for name, (_, arguments) in CALLS.items()])


def answer_to(item: Json) -> Json:
    """What a client gives back for this call."""
    outputs: dict[str, Json] = {
        "function_call": {"output": "done"},
        "custom_tool_call": {"output": "done"},
        "tool_search_call": {"execution": "client", "tools": [DEFERRED]},
        "local_shell_call": {"id": item["call_id"], "output": '{"stdout": "a"}'},
        "shell_call": {"output": [{"outcome": {"type": "exit", "exit_code": 0}, "stdout": "a", "stderr": ""}]},
        "apply_patch_call": {"status": "completed", "output": "done"},
        "computer_call": {"output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA=="}},
    }
    kind = "tool_search_output" if item["type"] == "tool_search_call" else f"{item['type']}_output"
    return {"type": kind, "call_id": item["call_id"], **outputs[item["type"]]}


def offered(exchange: Any) -> list[str]:
    return [tool["function"]["name"] for tool in exchange.json.get("tools", ())]


def made(exchange: Any) -> dict[str, Json]:
    """The calls in the conversation that the upstream was sent, by id: name, arguments, output."""
    messages = exchange.json["messages"]
    outputs = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    return {
        call["id"]: {**call["function"], "output": outputs[call["id"]]}
        for message in messages
        for call in message.get("tool_calls") or ()
    }


def check_second_turn(exchange: Any) -> None:
    """The model reads what it wrote, and what was found is offered."""
    assert offered(exchange) == [*CALLS, "calendar"]
    calls = made(exchange)
    assert [call["name"] for call in calls.values()] == list(CALLS)
    for call in calls.values():
        assert json.loads(call["arguments"]) == with_defaults(CALLS[call["name"]][1])
    told = {call["name"]: call["output"] for call in calls.values()}
    assert told["shell"] == "a\n(exit code 0)"
    assert told["tool_search"] == "Found 1 tools, which can be called now: calendar."
    assert told["apply_patch"] == "completed: done"
    images = [m for m in exchange.json["messages"] if m["role"] == "user" and isinstance(m["content"], list)]
    assert images[-1]["content"][1]["image_url"]["url"] == "data:image/png;base64,AA=="


def with_defaults(arguments: Json) -> Json:
    """Mouse actions come back with the keys that are held: none."""
    if "actions" not in arguments:
        return arguments
    return {"actions": [{**one, "keys": None} if "x" in one else one for one in arguments["actions"]]}


async def first_turn(served: Whole, upstream: Upstream, **body: Any) -> Json:
    upstream.reply(every_call())
    events = await served.stream(model="m", input="Go on.", tools=TOOLS, **body)
    response: Json = events[-1]["response"]
    assert [item["type"] for item in response["output"]] == [kind for kind, _ in CALLS.values()]
    assert offered(upstream.exchanges[-1]) == list(CALLS)
    edit, spawn, tell = response["output"][1:4]
    assert (edit["name"], edit["input"]) == ("edit", PATCH)
    assert (spawn["name"], spawn["namespace"]) == ("spawn", "agents")
    assert (tell["name"], tell["namespace"], tell["input"]) == ("tell", "agents", "hello")
    deltas = [event for event in events if event["type"] == "response.custom_tool_call_input.delta"]
    assert len(deltas) > 5
    commands = [event["command"] for event in events if event["type"] == "response.shell_call_command.done"]
    assert commands == ["ls", 'echo "ö"']
    return response


async def test_every_kind_is_called_and_its_output_taken_in_a_full_replay(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        first = await first_turn(served, upstream, store=False)
        upstream.reply(speech("Done."))
        replay = [{"role": "user", "content": "Go on."}, *first["output"], *map(answer_to, first["output"])]
        await served.stream(model="m", input=replay, tools=TOOLS, store=False)
        check_second_turn(upstream.exchanges[-1])


async def test_every_kind_is_called_and_its_output_taken_in_a_chain(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        first = await first_turn(served, upstream)
        upstream.reply(speech("Done."))
        outputs = [answer_to(item) for item in first["output"]]
        second = await served.create(model="m", input=outputs, tools=TOOLS, previous_response_id=first["id"])
        check_second_turn(upstream.exchanges[-1])
        upstream.reply(calling([("calendar", "{}")]))
        third = await served.create(model="m", input="And?", tools=TOOLS, previous_response_id=second["id"])
        assert [(item["type"], item["name"]) for item in third["output"]] == [("function_call", "calendar")]
        listed = await served.client.responses.input_items.list(second["id"], order="asc", limit=100)
        assert {item.type for item in listed.data} >= {"custom_tool_call_output", "shell_call_output", "computer_call"}
        refused = await served.ask(
            "POST", "/responses", {"model": "m", "input": "Hi", "tools": TOOLS, "previous_response_id": first["id"]}
        )
        assert refused[0] == 400
        assert refused[1]["error"]["message"].startswith("No tool output found for")


async def test_the_official_client_accumulates_every_kind(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(every_call())
        body: Any = {"model": "m", "input": "Go on.", "tools": TOOLS}
        async with served.client.responses.stream(**body) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert "response.custom_tool_call_input.done" in kinds
        assert [item.type for item in final.output] == [kind for kind, _ in CALLS.values()]


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "custom", "name": "edit"}, "edit"),
        ({"type": "function", "name": "spawn"}, "agents__spawn"),
        ({"type": "apply_patch"}, "apply_patch"),
        ({"type": "shell"}, "shell"),
        ({"type": "local_shell"}, "local_shell"),
        ({"type": "computer_use_preview"}, "computer"),
        ({"type": "tool_search"}, "tool_search"),
    ],
)
async def test_a_forced_kind_is_a_forced_function(tmp_path: Path, upstream: Upstream, choice: Json, name: str) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(calling([(name, json.dumps(CALLS[name][1]))]))
        body = {"model": "m", "input": "Go on.", "tools": TOOLS, "tool_choice": choice}
        if choice["type"] in {"local_shell", "tool_search"}:  # clients send them; OpenAI's document has forgotten them
            status, response = await served.ask("POST", "/responses", body)
            assert status == 200
        else:
            response = await served.create(**body)
        assert upstream.exchanges[-1].json["tool_choice"] == {"type": "function", "function": {"name": name}}
        assert [item["type"] for item in response["output"]] == [CALLS[name][0]]
        assert response["tool_choice"] == choice


async def test_a_grammar_is_enforced_where_the_endpoint_can(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream, dialect={"grammar": "structured_outputs"})]) as served:
        upstream.reply(speech("*** Begin ", 'Patch\n"', "\\x\n"))
        forced = {"type": "custom", "name": "edit"}
        events = await served.stream(model="m", input="Go on.", tools=TOOLS, tool_choice=forced)
        assert upstream.exchanges[-1].json["structured_outputs"] == {"grammar": LARK}
        item = events[-1]["response"]["output"][0]
        assert (item["type"], item["input"]) == ("custom_tool_call", '*** Begin Patch\n"\\x\n')


async def test_arguments_that_make_no_item_are_mended_by_the_model(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(calling([("apply_patch", '{"path": "a"}')]), every_call())
        events = await served.stream(model="m", input="Go on.", tools=TOOLS)
        assert len(events[-1]["response"]["output"]) == len(CALLS)
        told = upstream.exchanges[-1].json["messages"][-1]
        assert told["role"] == "tool"
        assert told["content"].startswith("Not run. The arguments are not as described: ")


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "tool_search"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "not:known"},
    ],
)
async def test_what_is_not_served_is_refused_only_when_it_is_forced(
    tmp_path: Path, upstream: Upstream, tool: Json
) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        body: Json = {"model": "m", "input": "Go on.", "tools": [tool]}
        status, answer = await served.ask("POST", "/responses", {**body, "tool_choice": {"type": tool["type"]}})
        assert (status, answer["error"]["code"]) == (400, "unsupported_value")
        assert answer["error"]["param"] == "tools[0].type"
        upstream.reply(speech("Hello"))
        async with served.raw.post(f"{served.url}/v1/responses", json=body) as answered:
            assert answered.status == 200
            assert answered.headers["x-antiphon-warning"].startswith("tools[0] was ignored: ")


async def test_additional_tools_of_the_input_are_offered(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(calling([("late", '{"input": "x"}')]))
        added = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "late"}]}
        given = [{"role": "user", "content": "Go on."}, added]
        response = await served.create(model="m", input=given, tools=TOOLS[:1])
        assert offered(upstream.exchanges[-1]) == ["weather", "late"]
        assert [item["type"] for item in response["output"]] == ["custom_tool_call"]
        assert [tool["type"] for tool in response["tools"]] == ["function"]


# what real clients send


def requests() -> list[tuple[str, Json]]:
    """The recorded requests that declare tools which clients run."""
    found: list[tuple[str, Json]] = []
    for path in sorted((SHARED / "client_requests").glob("*.json")):
        body: Json | None = json.loads(path.read_bytes()).get("body")
        if isinstance(body, dict) and expected(body):
            found.append((path.name, body))
    return found


def expected(body: Json) -> dict[str, str]:
    """The item type that a call of each offered function must become, by the name shown to the model."""
    found: dict[str, str] = {}
    for tool in body.get("tools") or ():
        members = tool["tools"] if tool["type"] == "namespace" else (tool,)
        prefix = f"{tool['name']}__" if tool["type"] == "namespace" else ""
        for member in members:
            if member["type"] in {"function", "custom"}:
                kind = "custom_tool_call" if member["type"] == "custom" else "function_call"
                found[prefix + member["name"]] = kind
        if tool["type"] == "tool_search":
            found["tool_search"] = "tool_search_call"
    return found


def on_its_own(body: Json) -> Json:
    """The request without what it refers to, and without what only WebSockets know."""
    gone = {"previous_response_id", "conversation", "background", "type", "generate", "stream_id", "stream"}
    alone = {key: value for key, value in body.items() if key not in gone}
    items: list[Json] | str | None = body.get("input")
    if isinstance(items, list):
        calls = {item["call_id"] for item in items if item.get("type") in {"function_call", "custom_tool_call"}}
        outputs = {"function_call_output", "custom_tool_call_output"}
        alone["input"] = [
            item
            for item in items
            if item.get("type") not in {"item_reference", "reasoning"}
            and (item.get("type") not in outputs or item["call_id"] in calls)
        ] or "Hello"
    return {**alone, "model": "m"}


@needs_shared
async def test_each_tool_of_each_client_is_called_once(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for name, body in requests():
            try:
                await call_each(served, upstream, body)
            except AssertionError as error:
                error.add_note(name)
                raise


async def call_each(served: Whole, upstream: Upstream, body: Json) -> None:
    kinds = expected(body)
    texts = {"custom_tool_call": {"input": PATCH}, "tool_search_call": {"query": "x"}, "function_call": {"a": 1}}
    upstream.reply(calling([(shown, json.dumps(texts[kind])) for shown, kind in kinds.items()], 11))
    events = await served.stream(**on_its_own(body))
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == list(kinds.values())
    assert offered(upstream.exchanges[-1]) == list(kinds)
    for item in output:
        if item["type"] == "custom_tool_call":
            assert item["input"] == PATCH
        elif item["type"] == "function_call":
            assert "__".join(filter(None, (item.get("namespace"), item["name"]))) in kinds


@needs_shared
@pytest.mark.parametrize("name", ["codex-gpt55.02.json", "codex.02.json"])
async def test_codex_goes_on_with_what_it_was_given(tmp_path: Path, upstream: Upstream, name: str) -> None:
    body = on_its_own(dict(requests())[name])
    kinds = expected(body)
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        await call_each(served, upstream, body)
        upstream.reply(calling([(shown, '{"input": "again"}') for shown in kinds]))
        first = (await served.stream(**body))[-1]["response"]["output"]
        upstream.reply(speech("Done."))
        turn = [*body["input"], *first, *map(answer_to, first)]
        events = await served.stream(**{**body, "input": turn})
        assert events[-1]["response"]["status"] == "completed"
        sent = made(upstream.exchanges[-1])
        assert [call["name"] for call in sent.values()][-len(kinds) :] == list(kinds)
        found = ["calendar"] if "tool_search" in kinds else []
        assert offered(upstream.exchanges[-1]) == [*kinds, *found]
