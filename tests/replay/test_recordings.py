"""Finding recordings: order, cases, misses, bad files."""

from __future__ import annotations

import gc
import time
import tracemalloc
from pathlib import Path

import pytest

from antiphon.replay import matching
from antiphon.replay.model import ReplayModel
from antiphon.replay.recordings import RecordingError, Recordings, ReplayMissError
from antiphon.wire.errors import AntiphonError
from tests.replay.asking import body, chunk, heard, relayed, said, text_of, wanted, write
from tests.shared import SHARED, needs_shared


async def test_repeated_requests_are_answered_in_order_and_the_last_again(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path, name, body(), said(name))
    model = ReplayModel(Recordings(tmp_path))
    assert [text_of(await heard(model, wanted())) for _ in range(5)] == ["a", "b", "c", "c", "c"]


async def test_the_wanted_case_goes_first(tmp_path: Path) -> None:
    write(tmp_path, "a", body(), said("other"), case="tests::test_other")
    write(tmp_path, "b", body(), said("mine"), case="tests::test_mine[x]")
    write(tmp_path, "c", body("Ho"), said("anybody's"), case="tests::test_other")
    model = ReplayModel(Recordings(tmp_path, case="test_mine"))
    assert [text_of(await heard(model, wanted())) for _ in range(2)] == ["mine", "mine"]
    assert text_of(await heard(model, wanted("Ho"))) == "anybody's"


async def test_equal_tool_texts_go_before_others(tmp_path: Path) -> None:
    def asked(output: str) -> dict[str, object]:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": output},
        ]
        return {"model": "m", "messages": messages, "stream": True}

    write(tmp_path, "a", asked("the tool failed"), said("I cannot say."))
    write(tmp_path, "b", asked('{"answer": 42, "more": null}'), said("42"))
    recordings = Recordings(tmp_path)
    for output, expected in (('{"answer":42}', "b"), ("the tool failed", "a"), ("something else", "a")):
        assert recordings.find(matching.chat(asked(output))).path.stem == expected


async def test_a_miss_names_the_nearest_recording_and_the_first_difference(tmp_path: Path) -> None:
    write(tmp_path, "far", body("What is the capital of France?"), said("Paris"))
    write(tmp_path, "near", body("How many experts does the model have?"), said("128"))
    model = ReplayModel(Recordings(tmp_path))
    with pytest.raises(ReplayMissError) as caught:
        await heard(model, wanted("How many layers does the model have?"))
    assert caught.value.message == (
        "No recording of this request. The nearest is near.json; it differs at $.messages[0].content: "
        'asked "How many layers does the model have?", recorded "How many experts does the model have?".'
    )
    assert isinstance(caught.value, AntiphonError)
    assert (caught.value.http_status, caught.value.code) == (400, "replay_miss")
    with pytest.raises(ReplayMissError):
        await relayed(model, body("How many layers does the model have?"))


async def test_a_miss_without_any_recording_says_so(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        model = ReplayModel(Recordings(folder))
        assert list(await model.models()) == []
        with pytest.raises(ReplayMissError, match="none for the port 'chat'"):
            await heard(model, wanted())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"request": 7}', '{"request": {"body": []}}'])
async def test_a_file_that_is_no_recording_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, "good", body(), said("Hi"))
    (tmp_path / "torn.json").write_text(text)
    with pytest.raises(RecordingError, match=r"torn\.json"):
        await heard(ReplayModel(Recordings(tmp_path)), wanted())


async def test_a_recording_without_an_answer_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "a", body(), said("Hi"))
    model = ReplayModel(Recordings(tmp_path))
    assert text_of(await heard(model, wanted())) == "Hi"
    path.write_text('{"request": {"endpoint": "/v1/chat/completions", "body": {}}, "response": {"body": null}}')
    with pytest.raises(RecordingError, match=r"a\.json holds no answer"):
        await heard(model, wanted())
    path.write_text(path.read_text()[:-9])
    with pytest.raises(RecordingError, match=r"a\.json cannot be read"):
        await heard(model, wanted())


async def test_what_was_recorded_as_garbage_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a", body(), [{"choices": 7}])
    with pytest.raises(RecordingError):
        await heard(ReplayModel(Recordings(tmp_path)), wanted())


async def test_only_keys_stay_in_memory(tmp_path: Path) -> None:
    for place in range(200):
        write(tmp_path, f"{place:03}", body(f"Question {place} " + "x" * 5_000), [chunk("y" * 5_000)])
    recordings = Recordings(tmp_path)
    tracemalloc.start()
    recordings.models()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 400_000


@needs_shared
def test_the_shared_recordings_are_indexed_within_a_second() -> None:
    recordings = Recordings(SHARED / "recordings")
    started = time.perf_counter()
    assert "gpt-4o" in recordings.models()
    assert time.perf_counter() - started < 1.0
