"""A tape: its modes, its timing, and what it keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec import Raw

from antiphon.ports.search import SearchError
from antiphon.replay.cassette import Cassette, ReplayMissError
from antiphon.replay.exchange import Answer, Chunk, Exchange, Failure, RecordingError, written
from antiphon.replay.tape import CHOSEN, Deck, Mode, Place, Tape, typed
from antiphon.wire.errors import RateLimitError

AT = Place("p", "e")
DEADLINE = 10.0


class Live:
    """The outside: counts how often it is asked and answers with that number."""

    def __init__(self, *, raises: Exception | None = None) -> None:
        self.asked = 0
        self._raises = raises

    async def value(self) -> bytes:
        self.asked += 1
        if self._raises is not None:
            raise self._raises
        return b"%d" % self.asked

    async def stream(self) -> AsyncGenerator[Sequence[bytes]]:
        self.asked += 1
        yield [b'"a"', b'{ "b" : 1}']
        if self._raises is not None:
            raise self._raises
        yield [b"%d" % self.asked]


def tape(folder: Path, mode: Mode, **options: float) -> Tape:
    return Tape(Cassette(folder), mode, **options)


async def heard(batches: AsyncGenerator[Sequence[bytes]]) -> list[list[bytes]]:
    async with asyncio.timeout(DEADLINE), aclosing(batches):
        return [list(batch) async for batch in batches]


async def seen(
    batches: AsyncGenerator[Sequence[bytes]], into: list[Sequence[bytes]]
) -> AsyncGenerator[Sequence[bytes]]:
    async for batch in batches:
        into.append(batch)
        yield batch


async def test_recording_asks_always_and_replaying_never(tmp_path: Path) -> None:
    live = Live()
    recording = tape(tmp_path, Mode.RECORD)
    assert [await recording.value(AT, {"a": 1}, live.value) for _ in range(3)] == [b"1", b"2", b"3"]
    replaying = tape(tmp_path, Mode.REPLAY)
    assert [await replaying.value(AT, {"a": 1}, live.value) for _ in range(4)] == [b"1", b"2", b"3", b"3"]
    with pytest.raises(ReplayMissError, match=r"at \$\.a: asked 2, recorded 1"):
        await replaying.value(AT, {"a": 2}, live.value)
    assert live.asked == 3


async def test_replay_or_record_asks_for_what_is_not_there(tmp_path: Path) -> None:
    for expected in (1, 0):
        live = Live()
        both = tape(tmp_path, Mode.REPLAY_OR_RECORD)
        assert [await both.value(AT, {"a": 1}, live.value) for _ in range(2)] == [b"1", b"1"]
        assert live.asked == expected
        assert both.cassette.missed == 0


async def test_once_is_enough_where_that_is_said(tmp_path: Path) -> None:
    recording, live = tape(tmp_path, Mode.RECORD), Live()
    for _ in range(3):
        await recording.value(AT, {}, live.value, once=True)
    assert len(Cassette(tmp_path).names()) == 1


async def test_a_stream_comes_again_batch_for_batch_and_byte_for_byte(tmp_path: Path) -> None:
    live = Live()
    told = await heard(tape(tmp_path, Mode.RECORD).stream(AT, {}, live.stream))
    assert told == [[b'"a"', b'{ "b" : 1}'], [b"1"]]
    assert await heard(tape(tmp_path, Mode.REPLAY).stream(AT, {}, live.stream)) == told
    assert live.asked == 1


async def test_what_is_refused_comes_again_with_all_it_says(tmp_path: Path) -> None:
    for mode in (Mode.RECORD, Mode.REPLAY):
        live = Live(raises=RateLimitError("Slow.", retry_after=3.5, code="quota", param="x"))
        with pytest.raises(RateLimitError) as caught:
            await tape(tmp_path, mode).value(AT, {}, live.value)
        error = caught.value
        assert (error.message, error.retry_after, error.code, error.param) == ("Slow.", 3.5, "quota", "x")


async def test_a_stream_that_breaks_comes_again_to_where_it_broke(tmp_path: Path) -> None:
    for mode in (Mode.RECORD, Mode.REPLAY):
        live = Live(raises=SearchError("Gone."))
        said: list[Sequence[bytes]] = []

        with pytest.raises(SearchError, match="Gone"):
            await heard(seen(tape(tmp_path, mode).stream(AT, {}, live.stream), said))
        assert said == [[b'"a"', b'{ "b" : 1}']]


async def test_a_fault_of_ours_is_not_recorded(tmp_path: Path) -> None:
    for call in ("value", "stream"):
        recording, live = tape(tmp_path, Mode.RECORD), Live(raises=ZeroDivisionError("ours"))
        asking = (
            recording.value(AT, {}, live.value) if call == "value" else heard(recording.stream(AT, {}, live.stream))
        )
        with pytest.raises(ZeroDivisionError):
            await asking
    assert list(tmp_path.iterdir()) == []


async def test_what_is_cancelled_is_not_recorded(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def live() -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b"1"

    running = asyncio.ensure_future(tape(tmp_path, Mode.RECORD).value(AT, {}, live))
    async with asyncio.timeout(DEADLINE):
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert list(tmp_path.iterdir()) == []


async def test_a_stream_is_kept_with_the_document_that_ends_it(tmp_path: Path) -> None:
    stream = tape(tmp_path, Mode.RECORD).stream(AT, {}, Live().stream, ends=lambda each: each == b"1")
    await anext(stream)
    assert list(tmp_path.iterdir()) == []
    await anext(stream)
    assert len(list(tmp_path.iterdir())) == 1, "before its reader has it"
    await stream.aclose()
    assert len(list(tmp_path.iterdir())) == 1


async def test_what_is_asked_together_is_kept_one_by_one(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def live(places: Sequence[int]) -> Awaitable[Sequence[bytes]]:
        asked.append(list(places))

        async def answer() -> list[bytes]:
            return [b"%d" % place for place in places]

        return answer()

    requests = [{"text": text} for text in "abc"]
    await tape(tmp_path, Mode.RECORD).values(AT, requests[:2], live)
    both = tape(tmp_path, Mode.REPLAY_OR_RECORD)
    assert await both.values(AT, [requests[2], requests[1], requests[0]], live) == [b"0", b"1", b"0"]
    assert asked == [[0, 1], [0]]


@pytest.mark.parametrize(("timing", "least"), [(0.0, 0.0), (1.0, 0.04), (2.0, 0.08)])
async def test_the_time_between_chunks_is_dropped_kept_or_scaled(timing: float, least: float, tmp_path: Path) -> None:
    chunks = (Chunk(0, Raw(b"[1]")), Chunk(40, Raw(b"[2]")))
    Cassette(tmp_path).keep(Exchange(AT.port, {}, Answer(chunks)))
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert await heard(tape(tmp_path, Mode.REPLAY, timing=timing).stream(AT, {}, Live().stream)) == [[b"1"], [b"2"]]
    took = loop.time() - before
    assert took >= least
    assert timing or took < 0.04


async def test_the_time_between_chunks_is_recorded(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()

    async def live() -> AsyncGenerator[Sequence[bytes]]:
        yield [b"1"]
        passed = asyncio.Event()
        loop.call_later(0.03, passed.set)
        await passed.wait()
        yield [b"2"]

    await heard(tape(tmp_path, Mode.RECORD).stream(AT, {}, live))
    (path,) = tmp_path.glob("*.json")
    first, second = json.loads(path.read_text())["answer"]["chunks"]
    assert first[0] < 25 <= second[0] < 5000


BROKEN: list[tuple[str, Answer]] = [
    ("no answer", Answer()),
    ("a value of another kind", Answer(failure=Failure("NoError", "x"))),
    ("a failure of other fields", Answer(failure=Failure("RateLimitError", "x", {"transient": True}))),
    ("chunks that are no lists", Answer(chunks=(Chunk(0, Raw(b"7")),))),
]


@pytest.mark.parametrize(("what", "answer"), BROKEN)
async def test_an_answer_that_is_none_is_an_error_of_the_recording(what: str, answer: Answer, tmp_path: Path) -> None:
    name = Cassette(tmp_path).keep(Exchange(AT.port, {}, Answer(value=Raw(b"1"))))
    from_hand = Exchange(AT.port, {}, answer)
    (tmp_path / name).write_bytes(written(from_hand))
    replaying, live = tape(tmp_path, Mode.REPLAY), Live()
    with pytest.raises(RecordingError):
        await heard(replaying.stream(AT, {}, live.stream))
    with pytest.raises(RecordingError):
        await replaying.value(AT, {}, live.value)
    assert live.asked == 0


def test_an_answer_of_another_form_is_an_error_of_the_recording() -> None:
    with pytest.raises(RecordingError, match="another form"):
        typed(b'{"a": 1}', list[int])


async def test_what_is_no_json_is_not_recorded(tmp_path: Path) -> None:
    async def live() -> bytes:
        return b"<html>"

    with pytest.raises(RecordingError, match="not JSON"):
        await tape(tmp_path, Mode.RECORD).value(AT, {}, live)
    assert list(tmp_path.iterdir()) == []


async def test_equal_requests_at_once_are_kept_one_by_one(tmp_path: Path) -> None:
    recording = tape(tmp_path, Mode.RECORD)
    live: list[Callable[[], Awaitable[bytes]]] = [Live().value for _ in range(20)]
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(recording.value(AT, {}, each) for each in live))
    assert len(Cassette(tmp_path).names()) == 20


def test_a_request_chooses_its_tape(tmp_path: Path) -> None:
    server, chosen = tape(tmp_path / "a", Mode.REPLAY), tape(tmp_path / "b", Mode.RECORD)
    deck = Deck(server)
    assert deck.loaded
    assert deck.tape is server
    token = CHOSEN.set(chosen)
    assert (deck.tape, deck.own) == (chosen, server)
    CHOSEN.reset(token)
    assert not Deck().loaded
    assert Deck(loaded=True).tape is None
