"""The legal order of a response's events, checked on their JSON: wire checklist B.1 and B.3.

stream := created queued? in_progress (item | phase)* error? terminal
item   := added (part | summary | arguments | commands | phase)* done
part   := part.added delta* text.done part.done
arguments := delta* done          (of a function call, or the input of a custom tool's)
commands  := (added delta* done)* (of a shell call, counted from 0; without an item id)
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
PART_DELTAS = {
    "response.output_text.delta": ("output_text", "text"),
    "response.refusal.delta": ("refusal", "refusal"),
    "response.reasoning_text.delta": ("reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary_text", "text"),
}
PART_DONES = {
    "response.output_text.done": ("output_text", "text"),
    "response.refusal.done": ("refusal", "refusal"),
    "response.reasoning_text.done": ("reasoning_text", "text"),
    "response.reasoning_summary_text.done": ("summary_text", "text"),
}
ARGUMENTS = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
    "response.mcp_call_arguments": ("mcp_call", "arguments"),
}


def parse_sse(raw: bytes) -> list[Json]:
    """The events of an SSE body; asserts its form (an event line that equals the type, one data line, LF only)."""
    assert b"\r" not in raw
    events: list[Json] = []
    for block in raw.split(b"\n\n"):
        if not block or block.startswith(b":"):
            continue
        if block == b"data: [DONE]":
            continue
        head, data = block.split(b"\n")
        assert head.startswith(b"event: "), block
        assert data.startswith(b"data: "), block
        event = json.loads(data[6:])
        assert head[7:].decode() == event["type"]
        events.append(event)
    return events


class _Item:
    def __init__(self, item: Json) -> None:
        self.id = item["id"]
        self.type = item["type"]
        self.call_id = item.get("call_id")
        self.part: Json | None = None
        self.texts: list[str] = []
        self.said = False
        self.parts = 0
        self.summaries = 0
        self.arguments: list[str] = []
        self.arguments_done: str | None = None
        self.commands: list[str] = []
        self.command: list[str] | None = None


def check(events: list[Json], *, terminal: bool = True) -> None:
    """Assert that the events are a legal stream; `terminal` false allows it to end early (a cancelled run)."""
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "sequence numbers have gaps"
    types = [event["type"] for event in events]
    assert types[0] == "response.created"
    assert types[1] in {"response.in_progress", "response.queued"}
    assert [t for t in types if t in TERMINAL] == ([types[-1]] if terminal else [])
    opened: dict[int, _Item] = {}
    done: dict[int, Json] = {}
    for event in events[2:]:
        _step(event, opened, done)
    assert not opened, f"never closed: {[item.type for item in opened.values()]}"
    if terminal:
        response = events[-1]["response"]
        assert response["output"] == [done[index] for index in sorted(done)], "output is not what was streamed"
        assert events[-1]["type"] == f"response.{response['status']}"


def _step(event: Json, opened: dict[int, _Item], done: dict[int, Json]) -> None:
    kind = event["type"]
    if kind in TERMINAL or kind in {"error", "response.in_progress"}:
        return
    index = event["output_index"]
    if kind == "response.output_item.added":
        assert index == len(opened) + len(done), "added out of order"
        opened[index] = _Item(event["item"])
        return
    item = opened[index]
    if kind == "response.output_item.done":
        _done(event["item"], item)
        done[index] = event["item"]
        del opened[index]
    elif kind.startswith("response.shell_call_command."):
        _command(event, item)
    else:
        assert event["item_id"] == item.id
        if (name := kind.rpartition(".")[0]) in ARGUMENTS:
            _arguments(event, item, name)
        elif not kind.startswith((f"response.{item.type}.", f"{item.type}.")):
            _part(event, item)


def _done(final: Json, item: _Item) -> None:
    assert (final["id"], final["type"], final.get("call_id")) == (item.id, item.type, item.call_id)
    if final.get("status") in {"incomplete", "failed"}:
        return  # a crash leaves nothing else behind it
    assert item.part is None, "a part is open"
    assert not item.arguments or item.arguments_done is not None
    for kind, field in ARGUMENTS.values():
        assert item.type != kind or final[field] == item.arguments_done
    assert item.command is None, "a command is open"
    assert item.type != "shell_call" or final["action"]["commands"] == item.commands


def _arguments(event: Json, item: _Item, name: str) -> None:
    kind, field = ARGUMENTS[name]
    assert item.type == kind
    assert item.arguments_done is None
    if event["type"].endswith(".delta"):
        item.arguments.append(event["delta"])
    else:
        assert "".join(item.arguments) == event[field]
        item.arguments_done = event[field]


def _command(event: Json, item: _Item) -> None:
    assert item.type == "shell_call"
    assert "item_id" not in event
    assert event["command_index"] == len(item.commands)
    step = event["type"].rpartition(".")[2]
    if step == "added":
        assert item.command is None
        item.command = [event["command"]]
        return
    assert item.command is not None
    if step == "delta":
        item.command.append(event["delta"])
        return
    assert event["command"] == "".join(item.command)
    item.commands.append(event["command"])
    item.command = None


def _part(event: Json, item: _Item) -> None:
    kind = event["type"]
    summary = kind.startswith("response.reasoning_summary_")
    assert event["summary_index" if summary else "content_index"] == (item.summaries if summary else item.parts)
    if kind in {"response.content_part.added", "response.reasoning_summary_part.added"}:
        assert item.part is None
        item.part, item.texts, item.said = event["part"], [], False
        return
    assert item.part is not None, f"{kind} without a part"
    if kind in PART_DELTAS:
        assert not item.said
        assert item.part["type"] == PART_DELTAS[kind][0]
        item.texts.append(event["delta"])
    elif kind in PART_DONES:
        part, field = PART_DONES[kind]
        assert item.part["type"] == part
        assert event[field] == "".join(item.texts)
        item.said = True
    elif kind in {"response.content_part.done", "response.reasoning_summary_part.done"}:
        assert item.said
        item.part = None
        item.parts += not summary
        item.summaries += summary
    else:
        assert kind == "response.output_text.annotation.added", f"unexpected {kind}"
