"""Replaying model output: every recorded exchange, and each form that an answer has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.deltas import StepEnded
from antiphon.core.inquiry import generate_of
from antiphon.replay.model import ReplayModel
from antiphon.replay.recordings import Recordings, ReplayMissError
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    RateLimitError,
)
from tests.replay.asking import (
    Json,
    arguments_of,
    body,
    chunk,
    heard,
    relayed,
    request,
    said,
    text_of,
    wanted,
    write,
)
from tests.shared import SHARED, needs_shared

COMPLETION: Json = {
    "id": "rec-2",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def chats() -> list[tuple[Path, Json]]:
    paths = sorted((SHARED / "recordings").rglob("*.json"))
    read = [(path, json.loads(path.read_bytes())) for path in paths]
    return [(path, one) for path, one in read if one["request"].get("endpoint") == "/v1/chat/completions"]


def spoken(chunks: list[Json], name: str) -> str:
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    if name == "content":
        return "".join(delta.get("content") or "" for delta in deltas)
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    return "".join(call["function"]["arguments"] or "" for call in calls)


@needs_shared
async def test_every_recorded_exchange_replays_as_it_was(tmp_path: Path) -> None:
    count = 0
    for path, exchange in chats():
        folder = tmp_path / path.stem
        folder.mkdir()
        (folder / path.name).symlink_to(path)
        model = ReplayModel(Recordings(folder))
        asked: Json = exchange["request"]["body"]
        answered: Any = exchange["response"]["body"]
        if answered is None:
            with pytest.raises(InvalidRequestError):
                await relayed(model, asked)
            continue
        streamed: bool = asked["stream"]
        recorded: list[Json] = [one["__data__"] for one in (answered if streamed else [answered])]
        assert await relayed(model, asked) == recorded
        deltas = await heard(model, generate_of(request(asked)))
        if streamed:
            assert text_of(deltas) == spoken(recorded, "content"), path.name
            assert arguments_of(deltas) == spoken(recorded, "arguments"), path.name
        assert [one for one in deltas if isinstance(one, StepEnded)] == [deltas[-1]]
        count += 1
    assert count >= 500


@needs_shared
async def test_all_recordings_together_answer_every_recorded_request() -> None:
    model = ReplayModel(Recordings(SHARED / "recordings"))
    for path, exchange in chats():
        asked = exchange["request"]["body"]
        if exchange["response"]["body"] is not None:
            documents = await relayed(model, asked)
            kinds = {document["object"] for document in documents} - {""}  # one provider begins with a nameless chunk
            assert kinds == {"chat.completion.chunk" if asked["stream"] else "chat.completion"}, path.name


@needs_shared
async def test_a_near_miss_among_all_recordings_is_told_apart() -> None:
    model = ReplayModel(Recordings(SHARED / "recordings"))
    with pytest.raises(ReplayMissError, match=r"\$\.messages\[0\]\.content: asked .*Venus.*, recorded .*Which planet"):
        await heard(model, generate_of(request({**body("Which planet is named Venus?"), "model": "gpt-4o"})))


@needs_shared
async def test_the_models_are_those_that_recordings_answer_for() -> None:
    cards = await ReplayModel(Recordings(SHARED / "recordings")).models()
    named = {card.id: card for card in cards}
    assert len(named) == len(cards)
    assert named["gpt-4o"].owned_by == "system"  # as the recorded list of models has it
    assert "gpt-4" not in named


async def test_one_batch_for_each_recorded_chunk(tmp_path: Path) -> None:
    write(tmp_path, "a", body(), said("Hel", "lo"))
    batches = [batch async for batch in ReplayModel(Recordings(tmp_path)).stream(wanted())]
    assert [text_of(batch) for batch in batches] == ["Hel", "lo", ""]
    assert batches[-1] == [StepEnded("stop", None)]


async def test_a_recorded_completion_is_given_as_deltas_and_as_chunks(tmp_path: Path) -> None:
    write(tmp_path, "a", body(stream=False), COMPLETION)
    model = ReplayModel(Recordings(tmp_path))
    deltas = await heard(model, wanted())
    assert text_of(deltas) == "Hello there"
    ended = deltas[-1]
    assert isinstance(ended, StepEnded)
    assert ended.usage is not None
    assert ended.usage.total_tokens == 5
    chunks = await relayed(model, body())
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert spoken(chunks, "content") == "Hello there"
    assert {one["id"] for one in chunks} == {"rec-2"}


async def test_a_recorded_stream_is_given_as_one_completion(tmp_path: Path) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    write(tmp_path, "a", body(), [chunk("Hel"), chunk("lo", calls=[call]), chunk(finish="tool_calls")])
    (found,) = await relayed(ReplayModel(Recordings(tmp_path)), body(stream=False))
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["message"]["content"] == "Hello"
    assert found["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


async def test_the_recording_in_the_wanted_form_goes_first(tmp_path: Path) -> None:
    write(tmp_path, "a", body(stream=False), COMPLETION)
    write(tmp_path, "b", body(), said("streamed"))
    model = ReplayModel(Recordings(tmp_path))
    assert spoken(await relayed(model, body()), "content") == "streamed"
    assert (await relayed(model, body(stream=False)))[0]["id"] == "rec-2"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequestError),
        (401, ModelError),
        (404, NotFoundError),
        (408, ModelTimeoutError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, ModelError),
        (None, ModelError),
    ],
)
async def test_a_recorded_refusal_is_raised(tmp_path: Path, status: Any, error: type[AntiphonError]) -> None:
    write(tmp_path, "a", body(), {"status_code": status, "body": {"message": "It was refused.", "code": "no"}})
    model = ReplayModel(Recordings(tmp_path))
    with pytest.raises(error) as caught:
        await heard(model, wanted())
    assert type(caught.value) is error
    assert (caught.value.message == "It was refused.") == (error is InvalidRequestError)
    with pytest.raises(error):
        await relayed(model, body())


async def test_an_error_inside_a_recorded_stream_is_a_model_error(tmp_path: Path) -> None:
    write(tmp_path, "a", body(), [chunk("Hel"), {"error": {"message": "overloaded"}}])
    with pytest.raises(ModelError):
        await heard(ReplayModel(Recordings(tmp_path)), wanted())
