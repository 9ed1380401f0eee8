"""The journal: numbered once, encoded once, read by whoever comes."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.journal import Journal
from antiphon.wire.errors import ModelError
from antiphon.wire.events import Completed, Created, OutputTextDelta
from antiphon.wire.responses import Response
from tests.grammar import parse_sse

RESPONSE = Response(id="resp_1", created_at=1, status="completed", model="m")


def delta(text: str) -> OutputTextDelta:
    return OutputTextDelta(item_id="msg_1", output_index=0, content_index=0, delta=text)


def journal(*, streamed: bool = True, bound: int = 1_000_000) -> Journal:
    return Journal("resp_1", streamed=streamed, bound=bound, on_abandon=lambda: None)


async def read(of: Journal) -> list[bytes]:
    return [batch async for batch in of.follow()]


async def test_events_are_numbered_by_their_place() -> None:
    under = journal()
    under.append([Created(response=RESPONSE), delta("a")])
    under.append([delta("b"), Completed(response=RESPONSE)])
    under.end(RESPONSE)
    events = parse_sse(b"".join(await read(under)))
    assert [event["sequence_number"] for event in events] == [0, 1, 2, 3]


async def test_a_follower_gets_what_comes_while_it_waits() -> None:
    under = journal()
    reader = asyncio.ensure_future(read(under))
    await asyncio.sleep(0)
    under.append([delta("a")])
    await asyncio.sleep(0)
    under.append([delta("b")])
    under.end(RESPONSE)
    async with asyncio.timeout(5):
        batches = await reader
    assert len(batches) == 2


async def test_what_waits_together_is_written_together() -> None:
    under = journal()
    for text in "abc":
        under.append([delta(text)])
    under.end(RESPONSE)
    (batch,) = await read(under)
    assert len(parse_sse(batch)) == 3


async def test_a_follower_that_lags_makes_the_run_wait() -> None:
    under = journal(bound=100)
    under.append([delta("x" * 200)])
    assert under.full
    waiting = asyncio.ensure_future(under.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    follower = under.follow()
    await anext(follower)
    async with asyncio.timeout(5):
        await waiting
    assert not under.full
    await follower.aclose()


async def test_a_follower_that_leaves_lets_the_run_go_on() -> None:
    left: list[bool] = []
    under = Journal("resp_1", streamed=True, bound=10, on_abandon=lambda: left.append(True))
    under.append([delta("x" * 200)])
    waiting = asyncio.ensure_future(under.room())
    await asyncio.sleep(0)
    under.abandon()
    async with asyncio.timeout(5):
        await waiting
    assert left == [True]
    under.append([delta("y" * 200)])
    assert not under.full


async def test_a_journal_that_nobody_streams_keeps_nothing_but_counts() -> None:
    under = journal(streamed=False, bound=1)
    under.append([delta("a"), delta("b")])
    assert not under.full
    assert under.next_number == 2
    under.end(RESPONSE)
    assert await under.last() == RESPONSE


async def test_the_last_response_is_there_for_several_who_wait() -> None:
    under = journal()
    waiting = [asyncio.ensure_future(under.last()) for _ in range(3)]
    waiting[0].cancel()
    await asyncio.sleep(0)
    under.end(RESPONSE)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting[1:]) == [RESPONSE, RESPONSE]


async def test_a_run_that_broke_before_any_output_raises_its_error() -> None:
    under = journal()
    under.end(ModelError("gone"))
    with pytest.raises(ModelError, match="gone"):
        await under.last()
