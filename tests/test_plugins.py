"""The example plugin in a real server: found by its dotted names, nothing registered."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import antiphon
from tests.grammar import check, parse_sse
from tests.process import DEADLINE, ROOT, Serving, serving
from tests.process import antiphon as command

PLUGIN = ROOT / "examples" / "plugin"
SOURCES = Path(antiphon.__file__).parents[1]
PATH = os.pathsep.join(map(str, (SOURCES, PLUGIN, ROOT)))
CITING = '[{"name": "test", "kind": "tests.citing"}]'
Json = dict[str, Any]


class Desk:
    """A server with the plugin."""

    def __init__(self, server: Serving, raw: aiohttp.ClientSession) -> None:
        self.server = server
        self.raw = raw

    async def post(self, path: str, body: Json) -> Json:
        async with asyncio.timeout(DEADLINE), self.raw.post(f"{self.server.url}/v1{path}", json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def stream(self, body: Json) -> list[Json]:
        asked = self.raw.post(f"{self.server.url}/v1/responses", json={**body, "stream": True})
        async with asyncio.timeout(DEADLINE), asked as answer:
            events = parse_sse(await answer.read())
        check(events)
        return events


@asynccontextmanager
async def desk(home: Path, **variables: str) -> AsyncGenerator[Desk]:
    """As the plugin's README says: its settings file and its almanac in the folder that the server is started in."""
    for name in ("antiphon.toml", "almanac.tsv"):
        shutil.copy(PLUGIN / name, home / name)
    variables = {"PYTHONPATH": PATH, "ANTIPHON_EMBEDDER_KIND": "none", "ANTIPHON_MODELS": CITING, **variables}
    async with serving(home, variables=variables) as server, aiohttp.ClientSession() as raw:
        yield Desk(server, raw)


@pytest.fixture
async def plugged(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with desk(tmp_path) as served:
        yield served


async def test_a_search_backend_of_others_is_searched_and_cited(plugged: Desk) -> None:
    body = {
        "model": "builtin/antiphon-extractive",
        "input": "When was the lamp lit?",
        "tools": [{"type": "web_search"}],
    }
    response = await plugged.post("/responses", body)
    (part,) = response["output"][-1]["content"]
    assert part["text"] == "The lamp of the harbour was first lit in 1891."
    assert [one["url"] for one in part["annotations"]] == ["https://harbour.example/lamp"]


async def test_a_tool_of_others_is_run_has_its_own_items_and_events_and_is_remembered(plugged: Desk) -> None:
    tool = {"type": "lamplight:dice", "sides": 20}
    calls: list[Json] = [{"name": "roll_dice", "arguments": {"count": 3}}, {"name": "roll_dice", "arguments": {}}]
    events = await plugged.stream({"model": "m", "input": json.dumps({"rounds": [calls]}), "tools": [tool]})
    response = events[-1]["response"]
    rolled, failed, _ = response["output"]
    assert rolled["type"] == "lamplight:dice_call"
    assert rolled["id"].startswith("dice_")
    assert len(rolled["rolls"]) == 3
    assert failed["status"] == "failed"
    assert response["tools"] == [tool]
    told = [event["type"] for event in events if event["type"].startswith("lamplight:")]
    assert told[:2] == ["lamplight:dice_call.in_progress"] * 2
    assert told.count("lamplight:dice_call.rolling") == 2
    assert {told[-1], told[-2]} == {"lamplight:dice_call.completed", "lamplight:dice_call.failed"}
    later = {"model": "builtin/antiphon-extractive", "input": "Which numbers show on the dice?"}
    answer = await plugged.post("/responses", {**later, "previous_response_id": response["id"]})
    assert ", ".join(map(str, rolled["rolls"])) in answer["output"][-1]["content"][0]["text"]


async def test_a_wrong_declaration_is_left_out_and_that_is_said(plugged: Desk) -> None:
    body = {"model": "m", "input": "{}", "tools": [{"type": "lamplight:dice", "sides": 1}]}
    async with plugged.raw.post(f"{plugged.server.url}/v1/responses", json=body) as answer:
        assert answer.status == 200
        assert "'sides' must be an integer from 2 to 1000." in answer.headers["x-antiphon-warning"]


async def test_an_extractor_of_others_reads_what_nobody_else_does(plugged: Desk) -> None:
    form = aiohttp.FormData()
    form.add_field("purpose", "user_data")
    form.add_field("file", b"[harbour]\nlamp = lit\n", filename="harbour.ini")
    async with plugged.raw.post(f"{plugged.server.url}/v1/files", data=form) as answer:
        file = await answer.json()
    content = [{"type": "input_file", "file_id": file["id"]}, {"type": "input_text", "text": "Is the lamp lit?"}]
    body = {"model": "builtin/antiphon-extractive", "input": [{"role": "user", "content": content}]}
    response = await plugged.post("/responses", body)
    assert "harbour: lamp is lit." in response["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ANTIPHON_TOOLS_MODULES": "lamplight.nothing"}, "the module lamplight.nothing cannot be imported"),
        ({"ANTIPHON_TOOLS_MODULES": "lamplight"}, "must be one of"),
        ({"ANTIPHON_TOOLS_OPTIONS": '{"lamplight.dice": {"sead": 1}}'}, "sead"),
        ({"ANTIPHON_TOOLS_OPTIONS": '{"lamplight.cards": {}}'}, "is not one of `tools.modules`"),
    ],
)
async def test_what_is_wrong_with_a_plugin_is_said_at_the_start(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    given = {"PYTHONPATH": PATH, "ANTIPHON_TOOLS_MODULES": "lamplight.dice", **variables}
    ended = await command(tmp_path, "serve", "--port", "0", **given)
    assert ended.code != 0
    assert words in ended.err
    assert "tools" in ended.err
    assert "Traceback" not in ended.err
