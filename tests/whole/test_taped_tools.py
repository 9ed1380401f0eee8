"""Tools and files behind a tape: recorded once, answered where the outside is gone, loud where something is missing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError

from tests.whole.house import Json, whole
from tests.whole.library import Library, library
from tests.whole.test_web_search import ENDPOINT, SEARCH, desk_of

TEXT = "The lamp of the lighthouse is lit at dusk."


@asynccontextmanager
async def replaying(data: Path, tape: Path, **tree: Any) -> AsyncGenerator[Library]:
    """A server that knows no endpoint, embedder or search backend."""
    async with whole(data, cassette={"replay": tape}, **tree) as served:
        yield Library(served, data)


def only(tape: Path, port: str) -> Path:
    (found,) = tape.glob(f"{port}-*.json")
    return found


def shown(response: Json) -> list[Json]:
    """The output without its ids."""
    return [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]


async def test_a_search_and_a_page_are_replayed_without_them(tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    async with desk_of(tmp_path / "one", cassette={"record": tape}) as desk:
        wish = desk.wish("a lamp", [SEARCH], [desk.opening("/lighthouse")])
        first = await desk.served.create(**wish)
        assert first["status"] == "completed"
    assert {path.name.partition("-")[0] for path in tape.iterdir()} == {"model.list", "model.stream", "search", "page"}
    async with replaying(tmp_path / "two", tape) as shelf:
        again = await shelf.served.create(**wish)
        report = shelf.served.composition.report()
    assert shown(again) == shown(first)
    assert report is not None
    assert (report.missed, report.unused) == (0, ())


@pytest.mark.parametrize("port", ["search", "page"])
async def test_a_tool_that_misses_ends_the_response_with_words(tmp_path: Path, port: str) -> None:
    tape = tmp_path / "tape"
    async with desk_of(tmp_path / "one", cassette={"record": tape}) as desk:
        wish = desk.wish("a lamp", [SEARCH], [desk.opening("/lighthouse")])
        await desk.served.create(**wish)
    only(tape, port).unlink()
    backend = {"kind": "tavily", "url": "http://127.0.0.1:9/api"}
    async with replaying(tmp_path / "two", tape, models=[ENDPOINT], web_search=backend) as shelf:
        events = await shelf.served.stream(**wish)
        report = shelf.served.composition.report()
    assert events[-1]["type"] == "response.failed"
    words = events[-1]["response"]["error"]["message"]
    assert words == f"No recording of this request: none of the port '{port}' was found."
    assert report is not None
    assert report.misses == (words,)


async def test_files_are_ingested_and_searched_without_the_embedder(tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    async with library(tmp_path / "one", cassette={"record": tape}) as shelf:
        store = await shelf.store(TEXT)
        first = await shelf.find(store.id, "When is the lamp lit?")
    async with replaying(tmp_path / "two", tape) as shelf:
        store = await shelf.store(TEXT)
        again = await shelf.find(store.id, "When is the lamp lit?")
    assert [(hit["content"], hit["score"]) for hit in again] == [(hit["content"], hit["score"]) for hit in first]


async def test_a_miss_of_ingestion_fails_the_file_and_one_of_a_search_is_a_400(tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    async with library(tmp_path / "one", cassette={"record": tape}) as shelf:
        await shelf.store(TEXT)
    async with replaying(tmp_path / "two", tape) as shelf:
        store = await shelf.store(TEXT)
        failed = await shelf.attach(store.id, await shelf.file("Nobody recorded this."))
        assert failed.last_error is not None
        assert 'asked "Nobody recorded this.' in failed.last_error.message
        with pytest.raises(BadRequestError) as refused:
            await shelf.client.vector_stores.search(store.id, query="Nobody asked this.")
    assert refused.value.code == "replay_miss"


async def test_a_miss_of_file_search_is_not_told_to_the_model(tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    call = {"name": "file_search", "arguments": {"query": "When is the lamp lit?"}}
    async with library(tmp_path / "one", models=[ENDPOINT], cassette={"record": tape}) as shelf:
        store = await shelf.store(TEXT)
        wish: Json = {"model": "m", "input": _wish(call)}
        tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
        assert (await shelf.served.create(**wish, tools=tools))["status"] == "completed"
    for path in tape.glob("embedder-*.json"):
        if b'"query"' in path.read_bytes():
            path.unlink()
    async with replaying(tmp_path / "two", tape) as shelf:
        store = await shelf.store(TEXT)
        tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
        events = await shelf.served.stream(**wish, tools=tools)
    assert events[-1]["type"] == "response.failed"
    assert "No recording of this request" in events[-1]["response"]["error"]["message"]


def _wish(*calls: Json) -> str:
    return json.dumps({"say": "at dusk", "rounds": [list(calls)], "size": 7})
