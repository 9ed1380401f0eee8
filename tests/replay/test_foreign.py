"""Recordings in the format of others: known by their form, and imported into cassettes that answer the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate
from antiphon.ports.model import Model
from antiphon.ports.search import SearchError, SearchQuery
from antiphon.replay import importing
from antiphon.replay.absent import AbsentModel, AbsentSearch
from antiphon.replay.cassette import Cassette, ReplayMissError
from antiphon.replay.model import ReplayModel
from antiphon.replay.recordings import Recordings, answer_of
from antiphon.replay.tape import Deck, Mode, Tape
from antiphon.replay.taped.model import TapedModel
from antiphon.replay.taped.search import TapedSearch
from antiphon.wire.chat import ChatRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import RateLimitError
from tests.replay.asking import DEADLINE, body, said, wanted, write
from tests.shared import SHARED, needs_shared

HITS = {"top_k": [{"url": "https://a.example", "title": "A", "content": "Text", "score": 0.5}]}


def imported(source: Path, folder: Path, case: str = "") -> tuple[importing.Imported, Deck]:
    importing.prepare(folder)
    done = importing.imported(Recordings(source), Cassette(folder), "recorded", case=case)
    return done, Deck(Tape(Cassette(folder), Mode.REPLAY))


async def documents(model: Model, asked: dict[str, Any]) -> list[bytes]:
    request = ChatRequest(model=asked["model"], stream=bool(asked.get("stream")), body=asked)
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(request)) as batches:
        return [bytes(document) async for batch in batches for document in batch]


async def heard(model: Model, generate: Generate) -> Sequence[Delta]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(generate)) as batches:
        return [delta async for batch in batches for delta in batch]


async def test_what_is_imported_answers_the_same(tmp_path: Path) -> None:
    source, folder = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    write(source, "a", body("Hi", stream_options={"include_usage": True}), said("Hel", "lo"))
    write(source, "b", body("Wait"), {"status_code": 429, "body": {"message": "slow"}})
    done, deck = imported(source, folder)
    assert (done.recordings, done.left_out) == (2, ())
    old, new = ReplayModel(Recordings(source)), TapedModel(AbsentModel(), deck, "recorded")
    assert await documents(new, body("Hi")) == await documents(old, body("Hi"))
    assert await heard(new, wanted("Hi")) == await heard(old, wanted("Hi"))
    for model in (old, new):
        with pytest.raises(RateLimitError):
            await heard(model, wanted("Wait"))
    assert [card.id for card in await new.models()] == [card.id for card in await old.models()]


async def test_searches_and_vectors_are_imported(tmp_path: Path) -> None:
    source, folder = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    write(source, "a", {"tool_name": "web_search", "kwargs": {"query": "x"}}, {"content": json.dumps(HITS)})
    write(source, "b", {"tool_name": "web_search", "kwargs": {"query": "y"}}, {"error_message": "refused"})
    vectors = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.5]}]}
    asked = {"endpoint": "/v1/embeddings", "model": "e", "body": {"model": "e", "input": "Hi"}}
    path = write(source, "c", {}, vectors)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "request": asked}))
    _, deck = imported(source, folder)
    search = TapedSearch(AbsentSearch(), deck)
    for limit in (3, 5):
        (hit,) = await search.search(SearchQuery("x", limit))
        assert (hit.url, hit.content) == ("https://a.example", "Text")
    with pytest.raises(SearchError, match="refused"):
        await search.search(SearchQuery("y"))
    model = TapedModel(AbsentModel(), deck, "recorded")
    answered = await model.embed(
        EmbeddingsRequest(model="e", inputs=("Hi",), encoding="float", body={"model": "e", "input": "Hi"})
    )
    assert json.loads(answered) == vectors


async def test_only_the_wanted_cases_are_imported(tmp_path: Path) -> None:
    source, folder = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    write(source, "a", body("Hi"), said("One"), case="test_one")
    write(source, "b", body("Hi"), said("Two"), case="test_two")
    done, deck = imported(source, folder, "test_two")
    assert done.recordings == 1
    model = TapedModel(AbsentModel(), deck, "recorded")
    assert b"Two" in b"".join(await documents(model, body("Hi")))


async def test_what_nothing_of_ours_asks_is_named(tmp_path: Path) -> None:
    source = tmp_path / "old"
    source.mkdir()
    write(source, "a", {"tool_name": "weather", "kwargs": {"city": "Oslo"}}, {"content": "rain"})
    done, _ = imported(source, tmp_path / "new")
    assert (done.recordings, done.left_out) == (0, ("a.json: nothing of ours asks weather",))


def test_rules_that_a_folder_has_are_kept(tmp_path: Path) -> None:
    (tmp_path / "cassette.toml").write_text('ignore = ["user"]')
    importing.prepare(tmp_path)
    assert (tmp_path / "cassette.toml").read_text() == 'ignore = ["user"]'


def test_a_format_is_known_by_its_form(tmp_path: Path) -> None:
    assert not importing.foreign(tmp_path / "nowhere")
    assert not importing.foreign(tmp_path)
    (tmp_path / "package.json").write_text('{"name": "x"}')
    assert not importing.foreign(tmp_path)
    (tmp_path / "package.json").unlink()
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "a", body("Hi"), said("One"))
    assert importing.foreign(tmp_path)
    done, _ = imported(tmp_path, tmp_path / "new")
    assert done.exchanges == 3
    assert not importing.foreign(tmp_path / "new")


async def test_recordings_count_what_became_of_them(tmp_path: Path) -> None:
    write(tmp_path, "a", body("Hi"), said("One"))
    write(tmp_path, "b", body("Bye"), said("Two"))
    recordings = Recordings(tmp_path)
    model = ReplayModel(recordings)
    await documents(model, body("Hi"))
    with pytest.raises(ReplayMissError):
        await documents(model, body("Hi there"))
    assert (recordings.answered, recordings.missed, recordings.unused()) == (1, 1, ["b.json"])
    assert 'asked "Hi there", recorded "Hi"' in recordings.misses[0]


@needs_shared
async def test_every_recorded_completion_is_imported_and_answers_byte_for_byte(tmp_path: Path) -> None:
    _, deck = imported(SHARED / "recordings", tmp_path / "new")
    model = TapedModel(AbsentModel(), deck, "recorded")
    answered = 0
    for path, _, request in Recordings(SHARED / "recordings").each():
        recorded = answer_of(path)
        if request.endpoint == "/v1/chat/completions" and recorded.failure is None:
            assert await documents(model, request.body or {}) == list(recorded.documents)
            answered += 1
    assert answered >= 533
