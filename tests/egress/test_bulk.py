"""Much comes in, a bounded part goes to the model, and the rest is said; more than much is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from antiphon.adapters.mcp.pool import TURNS
from antiphon.adapters.mcp.transport import LARGE
from tests.egress.bulky import Bulky
from tests.egress.net import SITE, named, net, within
from tests.listening import listening
from tests.mcp.stage import calls, items, says, tool
from tests.whole.house import Json, whole
from tests.whole.scripts import model_of, scripted

MOST: Final = 50 * 1024 * 1024
ROOM: Final = 16 * 1024


@pytest.mark.parametrize("path", ["/json", "/events", "/sse"])
def test_a_result_of_50_mb_is_taken_and_one_that_is_larger_is_refused_in_words(path: str, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        steps = [calls("flood", {"size": size}) for size in (MOST - 1000, 10**12, 5)]
        server = Bulky()
        async with listening(server.app, cancelling=True) as origin:
            net().served[SITE] = int(origin.rpartition(":")[2])
            named({"bulky.test": [[SITE]]})
            async with whole(tmp_path, limits={"tool_output_kb": 16}, **scripted(*steps, says())) as served:
                net().known.add(int(served.url.rpartition(":")[2]))
                body: Json = {"model": "m", "input": "x", "tools": [tool(f"http://bulky.test{path}")]}
                response = await served.create(**body)
                told = [entry.exchange.output for entry in model_of(served).asked[-1].context if entry.exchange]
        large, larger, small = items(response, "mcp_call")
        assert len(large["output"]) < ROOM + 500
        assert f"[cut: the first {ROOM} of " in large["output"]
        assert len(told[0]) < ROOM + 1000
        assert larger["status"] == "failed"
        assert "bulky.test" in larger["error"]["message"]
        assert str(MOST) in larger["error"]["message"]
        assert small["output"] == "xxxxx"

    run()


@pytest.mark.parametrize("path", ["/events", "/sse"])
def test_a_stream_may_go_on_for_long(path: str, tmp_path: Path) -> None:
    """What is counted is the event."""

    @within
    async def run() -> None:
        steps = [calls("flood", {"size": 20 * 1024 * 1024}) for _ in range(3)]
        server = Bulky(noise=10 * 1024 * 1024)
        async with listening(server.app, cancelling=True) as origin:
            net().served[SITE] = int(origin.rpartition(":")[2])
            named({"bulky.test": [[SITE]]})
            async with whole(tmp_path, **scripted(*steps, says())) as served:
                net().known.add(int(served.url.rpartition(":")[2]))
                response = await served.create(model="m", input="x", tools=[tool(f"http://bulky.test{path}")])
        assert [each["status"] for each in items(response, "mcp_call")] == ["completed"] * 3

    run()


@pytest.mark.parametrize("path", ["/json", "/events", "/sse"])
def test_many_large_results_at_once_take_turns(path: str, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        many = [{"name": "lab__flood", "arguments": {"size": LARGE + 1000}} for _ in range(3 * TURNS)]
        server = Bulky(noise=1000)
        async with listening(server.app, cancelling=True) as origin:
            net().served[SITE] = int(origin.rpartition(":")[2])
            named({"bulky.test": [[SITE]]})
            steps: list[Json] = [{"acts": [{"act": "calls", "calls": many}]}, says()]
            async with whole(tmp_path, **scripted(*steps)) as served:
                net().known.add(int(served.url.rpartition(":")[2]))
                response = await served.create(model="m", input="x", tools=[tool(f"http://bulky.test{path}")])
        assert [each["status"] for each in items(response, "mcp_call")] == ["completed"] * 3 * TURNS

    run()
