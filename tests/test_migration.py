"""docs/migration.md: every block of code runs, and what stands after a move says what it said before."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import antiphon
from antiphon.wire.codec import encode
from tests.process import ROOT, ended, environ
from tests.whole.house import Json, Whole, whole
from tests.whole.scripts import model_of, scripted

SOURCES = str(Path(antiphon.__file__).parents[1])
PAGE = (ROOT / "docs" / "migration.md").read_text("utf-8")
MOVE = re.compile(r"### ([^\n]+)\n\nBefore:\n\n```python\n(.+?)```\n\nAfter:\n\n```python\n(.+?)```", re.DOTALL)


class Move(NamedTuple):
    """A section with two programs."""

    title: str
    before: str
    after: str


MOVES = [Move(*found.groups()) for found in MOVE.finditer(PAGE)]


def says(text: str) -> Json:
    return {"acts": [{"act": "says", "text": text}]}


CALL: Json = {"acts": [{"act": "calls", "calls": [{"name": "boiling_point", "arguments": {"liquid": "water"}}]}]}
BOILING = ([CALL, says("At 100 degrees.")], "At 100 degrees.\n")
DRINKS = [says('{"name": "tea", "celsius": 80}'), says('{"name": "milk", "celsius": 8}')]
PLAYS = {
    "A turn, streamed": ([says("Hot water.")], "🤔 Hot water.\n"),
    "A tool": BOILING,
    "An agent with a tool": BOILING,
    "Typed output, and a second question": (DRINKS, "tea 80\nmilk 8\n"),
    "Streaming": ([says("Hot water.")], "Hot water."),
}
"""What the model says in each section, and what both programs print."""


async def ran(home: Path, served: Whole, program: str) -> str:
    """What the program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=home,
        env=environ(home, PYTHONPATH=SOURCES, SERVER=served.url, OPENAI_API_KEY="none", PYTHONUTF8="1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    result = await ended(process)
    assert result.code == 0, result.err
    return result.out


def model(*steps: Json) -> dict[str, list[Json]]:
    tree = scripted(*steps)
    tree["models"][0]["models"] = ["gpt-4o"]
    return tree


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.title)
async def test_a_program_says_after_the_move_what_it_said_before(tmp_path: Path, move: Move) -> None:
    steps, printed = PLAYS[move.title]
    async with whole(tmp_path, **model(*steps, *steps)) as served:
        assert await ran(tmp_path, served, move.before) == printed
        assert await ran(tmp_path, served, move.after) == printed
        if steps[0] is CALL:
            asked = [encode(generation.context).decode() for generation in model_of(served).asked]
            assert ['"output":"100"' in one for one in asked] == [False, True, False, True]


async def test_the_client_and_the_messages_of_before_still_do(tmp_path: Path) -> None:
    imports = "from antiphon.agent import Agent, AgentEventLogger\n"
    program = re.sub(r"from ogx_client\.lib\S+ import .+\n", "", MOVES[0].before)
    async with whole(tmp_path, **model(says("Hot water."))) as served:
        assert await ran(tmp_path, served, imports + program) == "🤔 Hot water.\n"


def test_no_block_of_the_page_is_left_out() -> None:
    assert PAGE.count("```python") == 2 * len(MOVES)
    assert [move.title for move in MOVES] == list(PLAYS)
