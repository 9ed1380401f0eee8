"""The contract of the tool port, kept by every kind of tool in `adapters/tools` and by replayed ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec
import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.core.effects import Call, Offer, Place
from antiphon.ports.search import SearchError, SearchHit, SearchQuery
from antiphon.ports.tool import Tool
from antiphon.wire.codec import builtins
from antiphon.wire.tools import (
    ApplyPatchTool,
    ComputerTool,
    CustomTool,
    FileSearchTool,
    FunctionTool,
    LocalShellTool,
    McpTool,
    NamespaceTool,
    ShellTool,
    ToolSearchTool,
    WebSearchTool,
)
from antiphon.wire.tools import Tool as ToolConfig
from tests.mcp.stub import Servers
from tests.stacks import Stacks

DEADLINE = 5.0
CONFIGS: dict[str, ToolConfig] = {
    "function": FunctionTool(name="f", description="does it", parameters={"type": "object", "properties": {}}),
    "web_search": WebSearchTool(),
    "file_search": FileSearchTool(vector_store_ids=("vs_1",)),
    "custom": CustomTool(name="c", description="takes text"),
    "namespace": NamespaceTool(name="space", tools=(FunctionTool(name="f"), CustomTool(name="c"))),
    "tool_search": ToolSearchTool(execution="client"),
    "local_shell": LocalShellTool(),
    "shell": ShellTool(environment={"type": "local"}),
    "apply_patch": ApplyPatchTool(),
    "computer": ComputerTool(),
    "mcp": McpTool(server_label="lab", server_url="https://lab.example/mcp", require_approval="never"),
}
GOOD: dict[str, str] = {
    "local_shell": '{"command": ["ls", "-l"]}',
    "shell": '{"commands": ["ls", "pwd"]}',
    "apply_patch": '{"type": "delete_file", "path": "a.txt"}',
    "computer": '{"actions": [{"type": "screenshot"}]}',
}
"""Arguments that the kind takes; any object where there are none here."""
JUNK = [
    "",
    "{",
    "null",
    "[]",
    '"x"',
    "{}",
    '{"query": null}',
    '{"query": 7}',
    '{"query": ""}',
    '{"query": {}}',
    "\ud800",
    '{"query": ' + "[" * 100_000,
    '{"x": ' * 100_000,
]


class Shelf:
    """A search that finds one page, fails for "fail" and never ends for "wait"."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.stopped = asyncio.Event()

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        if wanted.text == "fail":
            raise SearchError("shelf.example answered with HTTP 500.")
        if wanted.text == "wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        return [SearchHit("https://a.example/1", "One", "The first.", 0.9)]

    async def close(self) -> None:
        pass


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(params=kinds("tools"))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def tool(kind: str, shelf: Shelf, tmp_path: Path) -> AsyncGenerator[Tool]:
    chosen = adapter("tools", kind)
    parts = Parts(name=kind, clock=SeededClock(), folder=tmp_path, search=shelf, retrieval=Stacks(), mcp=Servers())
    made: Tool = chosen.make(chosen.config(), parts)
    yield made
    await made.close()


async def call(tool: Tool, kind: str, arguments: str) -> Call:
    offer = (await tool.offers("default", CONFIGS[kind], 0))[0]
    return Call("call_1", "item_1", offer.name, arguments, offer)


def offered(offers: Sequence[Offer]) -> list[object]:
    return [(offer.name, offer.description, builtins(offer.parameters), offer.strict, offer.tool) for offer in offers]


async def test_offers_are_functions_and_say_where_they_come_from(tool: Tool, kind: str) -> None:
    offers = await tool.offers("default", CONFIGS[kind], 3)
    assert offers
    assert {offer.tool for offer in offers} == {3}
    assert len({offer.name for offer in offers}) == len(offers)
    assert offered(offers) == offered(await tool.offers("default", CONFIGS[kind], 3))


async def test_it_serves_types(tool: Tool, kind: str) -> None:
    assert kind in tool.types


@pytest.mark.parametrize("arguments", JUNK)
async def test_junk_arguments_are_an_outcome_in_words(tool: Tool, kind: str, arguments: str) -> None:
    asked = await call(tool, kind, arguments)
    async with asyncio.timeout(DEADLINE):
        outcome = await tool.run("default", asked, CONFIGS[kind])
    assert outcome.call_id == "call_1"
    assert outcome.failed
    assert outcome.output.endswith(".")


async def test_a_receipt_opens_and_closes_an_item_with_its_id(tool: Tool, kind: str) -> None:
    asked = await call(tool, kind, json.dumps({"query": "x"}))
    receipt = asked.offer.receipt
    if receipt is None:
        return
    outcomes = (await tool.run("default", asked, CONFIGS[kind]), None)
    items = [receipt.opened("item_1"), *(receipt.closed("item_1", asked, outcome) for outcome in outcomes)]
    shown = [builtins(item) for item in items]
    assert {item["id"] for item in shown} == {"item_1"}
    assert len({item["type"] for item in shown}) == 1
    assert [item["status"] for item in shown[:2]] == ["in_progress", "completed"]
    assert shown[2]["status"] in {"failed", "incomplete"}  # as its type knows
    assert receipt.prefix.endswith("_")
    assert msgspec.json.encode(shown)


async def test_what_the_client_runs_opens_and_closes_an_item_with_its_id(tool: Tool, kind: str) -> None:
    arguments = GOOD.get(kind, '{"input": "x"}')
    for offer in await tool.offers("default", CONFIGS[kind], 0):
        if offer.form is None:
            continue
        assert offer.form.prefix.endswith("_")
        assert offer.form.fault(arguments) is None
        draft = offer.form.draft(Place("item_1", "call_1", 4))
        opened = draft.opened("" if offer.form.streams else arguments)
        events = [*draft.write([arguments[:5], arguments[5:]])]
        last, closed = draft.closed(arguments, whole=True)
        shown = [builtins(opened), builtins(closed)]
        assert [item["id"] for item in shown] == ["item_1", "item_1"]
        assert [item["call_id"] for item in shown] == ["call_1", "call_1"]
        assert [item["status"] for item in shown] == ["in_progress", "completed"]
        assert shown[0]["type"] == shown[1]["type"]
        assert {builtins(event)["output_index"] for event in (*events, *last)} <= {4}


@pytest.mark.parametrize("arguments", JUNK)
async def test_junk_is_a_fault_in_words_or_shown_as_it_is(tool: Tool, kind: str, arguments: str) -> None:
    for offer in await tool.offers("default", CONFIGS[kind], 0):
        if offer.form is None:
            continue
        if (fault := offer.form.fault(arguments)) is not None:
            assert not offer.form.streams
            assert fault.endswith(".")
            assert len(fault) < 300
            continue
        draft = offer.form.draft(Place("item_1", "call_1", 0))
        item = builtins(draft.opened(arguments))
        draft.write([arguments])
        assert (
            builtins(draft.closed(arguments.encode("utf-8", "replace").decode(), whole=True)[1])["type"] == item["type"]
        )


async def test_the_search_is_stopped_when_its_call_is_cancelled(shelf: Shelf, tmp_path: Path) -> None:
    chosen = adapter("tools", "web_search")
    tool: Tool = chosen.make(chosen.config(), Parts(name="w", clock=SeededClock(), folder=tmp_path, search=shelf))
    running = asyncio.create_task(
        tool.run("default", await call(tool, "web_search", '{"query": "wait"}'), WebSearchTool())
    )
    async with asyncio.timeout(DEADLINE):
        await shelf.waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await shelf.stopped.wait()


async def test_a_failing_backend_is_an_outcome(shelf: Shelf, tmp_path: Path) -> None:
    chosen = adapter("tools", "web_search")
    tool: Tool = chosen.make(chosen.config(), Parts(name="w", clock=SeededClock(), folder=tmp_path, search=shelf))
    outcome = await tool.run("default", await call(tool, "web_search", '{"query": "fail"}'), WebSearchTool())
    assert outcome.failed
    assert outcome.output == "The search failed: shelf.example answered with HTTP 500."


def test_web_search_is_not_made_without_a_backend(tmp_path: Path) -> None:
    chosen = adapter("tools", "web_search")
    assert chosen.make(chosen.config(), Parts(name="w", clock=SeededClock(), folder=tmp_path)) is None
