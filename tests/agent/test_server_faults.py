"""Our server over a model that is scripted to fail, left in the middle, and asked for what it refuses: the turn ends
once, and the session goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from tests.agent.grammar import failed
from tests.agent.test_faults import MODES, Stuck, code, outputs, told
from tests.agent.turns import Talk, talk
from tests.whole.house import DEADLINE, Json, Whole, whole
from tests.whole.scripts import model_of, scripted

both = pytest.mark.parametrize("driver", ["sync", "async"])
every_mode = pytest.mark.parametrize("mode", MODES)

CALLS: Final[Json] = {"acts": [{"act": "calls", "calls": [{"name": "double", "arguments": {"n": 2}}]}]}
SAYS: Final[Json] = {"act": "says", "text": ["Hel", "lo"]}
GOODBYE: Final[Json] = {"acts": [{"act": "says", "text": "Goodbye."}], "when": "there?", "repeat": True}
FAULTS: Final[dict[str, Json]] = {
    "refused": {"acts": [{"act": "fails", "error": "invalid_request"}]},
    "failed": {"acts": [{"act": "fails"}]},
    "failed_later": {"acts": [SAYS, {"act": "fails"}]},
    "cut": {"acts": [SAYS, {"act": "cuts"}]},
    "rate_limit": {"acts": [{"act": "fails", "error": "rate_limit"}]},
    "timeout": {"acts": [SAYS, {"act": "fails", "error": "timeout"}]},
}


@asynccontextmanager
async def line_to(served: Whole, driver: str, **options: Any) -> AsyncGenerator[Talk]:
    """A session with our server."""
    if driver == "async":
        yield await talk(served.client, **options)
        return
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0, timeout=DEADLINE) as client:
        yield await talk(client, **options)


async def well(line: Talk) -> None:
    """The next turn is as if nothing had happened."""
    chunks = await line.say("Are you there?")
    assert code(chunks) == "end_of_turn", chunks[-1]
    assert told(chunks) == "Goodbye."


@both
@every_mode
@pytest.mark.parametrize("fault", FAULTS)
async def test_our_server_fails(tmp_path: Path, driver: str, mode: str, fault: str) -> None:
    async with (
        whole(tmp_path, **scripted(GOODBYE, FAULTS[fault], CALLS, FAULTS[fault])) as served,
        line_to(served, driver, continuity=mode) as line,
    ):
        first = await line.say("Hi")
        assert failed(first), first[-1]
        code(first)
        await well(line)
        second = await line.say("And with a tool?")
        assert failed(second), second[-1]
        code(second)
        assert outputs(second) == [("4", False)]
        await well(line)


@both
@every_mode
async def test_our_server_is_left_in_the_middle(tmp_path: Path, driver: str, mode: str) -> None:
    waits: Json = {"acts": [SAYS, {"act": "waits", "gate": "never"}]}
    async with (
        whole(tmp_path, **scripted(GOODBYE, waits, CALLS, waits)) as served,
        line_to(served, driver, continuity=mode, retries=5) as line,
    ):
        for start in (1, 6):
            chunks = await line.leave(start + 3, "cancel")
            assert code(chunks) == "cancelled"
            await well(line)
        assert model_of(served).closed == 2


@both
@every_mode
async def test_our_server_and_a_tool_that_never_returns(tmp_path: Path, driver: str, mode: str) -> None:
    stuck = Stuck()
    called: Json = {"acts": [{"act": "calls", "calls": [{"name": "stuck", "arguments": {"n": 2}}]}]}
    async with (
        whole(tmp_path, **scripted(GOODBYE, called)) as served,
        line_to(served, driver, continuity=mode, tools=[stuck.stuck], tool_timeout=None) as line,
    ):
        chunks = await line.say("Hi", timeout=1.0)
        assert code(chunks) == "timeout"
        await well(line)
        stuck.free.set()


@both
async def test_our_server_refuses(tmp_path: Path, driver: str) -> None:
    async with whole(tmp_path, **scripted(GOODBYE)) as served, line_to(served, driver) as line:
        assert failed(await line.say("Hi", model="nobody"))
        assert failed(await line.say([{"type": "item_reference", "id": "msg_0"}]))
        assert failed(await line.say([{"type": "function_call_output", "call_id": "call_0", "output": "x"}]))
        await well(line)
