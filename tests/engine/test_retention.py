"""Retention: what is kept for how long, and how it goes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Says, Step
from antiphon.engine.conversations import Conversations
from antiphon.engine.retention import Retention
from antiphon.ports.store import PageQuery
from antiphon.wire.conversations import CreateConversation
from antiphon.wire.errors import NotFoundError, StoreError
from tests.engine.stage import DEADLINE, Stage, staged

DAY = 86_400.0


class Kept:
    """Holds so many expired things and gives up at most `chunk` of them at once."""

    def __init__(self, expired: int, chunk: int = 100) -> None:
        self.expired = expired
        self.chunk = chunk
        self.calls: list[float] = []
        self.refusal: StoreError | None = None
        self.swept = asyncio.Event()

    async def expire(self, now: float, /) -> int:
        self.calls.append(now)
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        gone = min(self.expired, self.chunk)
        self.expired -= gone
        if not gone:
            self.swept.set()
        return gone


HELLO = Step((Says("Hello"),), repeat=True)


def retention(stage: Stage) -> Retention:
    return Retention(stage.store, clock=stage.clock, seconds=300)


async def test_responses_go_after_their_time(tmp_path: Path) -> None:
    async with staged(tmp_path, HELLO, retention=30 * DAY) as stage:
        old = await stage.create(input="Hi")
        stage.clock.advance(20 * DAY)
        young = await stage.create(input="Hi")
        assert await retention(stage).sweep() == 0
        stage.clock.advance(11 * DAY)
        assert await retention(stage).sweep() == 1
        with pytest.raises(NotFoundError):
            await stage.runner.retrieve("default", old.id)
        assert (await stage.runner.retrieve("default", young.id)).output == young.output
        assert await retention(stage).sweep() == 0


async def test_without_a_time_everything_stays(tmp_path: Path) -> None:
    async with staged(tmp_path, HELLO) as stage:
        kept = await stage.create(input="Hi")
        stage.clock.advance(10_000 * DAY)
        assert await retention(stage).sweep() == 0
        assert (await stage.runner.retrieve("default", kept.id)).id == kept.id


async def test_a_conversation_keeps_its_items(tmp_path: Path) -> None:
    async with staged(tmp_path, HELLO, retention=DAY) as stage:
        conversation = await Conversations(stage.store, stage.clock).create("default", CreateConversation())
        await stage.create(input="Hi", conversation=conversation.id)
        stage.clock.advance(2 * DAY)
        assert await retention(stage).sweep() == 1
        found = await stage.store.conversation_items("default", conversation.id, PageQuery())
        assert found is not None
        assert len(found.items) == 2


async def test_a_chain_whose_beginning_has_gone_cannot_go_on(tmp_path: Path) -> None:
    async with staged(tmp_path, HELLO, retention=2 * DAY) as stage:
        first = await stage.create(input="Hi")
        stage.clock.advance(1.5 * DAY)
        second = await stage.create(input="Hi", previous_response_id=first.id)
        stage.clock.advance(DAY)
        assert await retention(stage).sweep() == 1
        assert (await stage.runner.retrieve("default", second.id)).id == second.id
        assert await stage.store.chain("default", second.id) is None


async def test_many_go_in_chunks_and_others_run_in_between() -> None:
    kept = Kept(expired=1000)
    assert await Retention(kept, clock=SeededClock(), seconds=1).sweep() == 1000
    assert len(kept.calls) == 11
    assert len(set(kept.calls)) == 1  # what expires meanwhile is for the next sweep


async def test_it_sweeps_while_it_is_open_and_a_refusal_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(expired=5)
    kept.refusal = StoreError("The database is locked.")
    retention = Retention(kept, clock=SeededClock(), seconds=0.01)
    with caplog.at_level(logging.INFO, "antiphon.engine.retention"):
        retention.open()
        async with asyncio.timeout(DEADLINE):
            await kept.swept.wait()
            kept.swept.clear()
            await kept.swept.wait()
            await retention.close()
    assert kept.expired == 0
    assert [record.getMessage() for record in caplog.records] == [
        "what has expired could not be deleted: The database is locked.",
        "5 objects had expired and were deleted",
    ]


async def test_closing_what_was_never_open_does_nothing() -> None:
    await Retention(Kept(0), clock=SeededClock(), seconds=1).close()
