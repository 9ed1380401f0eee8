"""Background runs: accepted at once, driven by whoever holds the lease, taken up again from their rows."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Calling, Calls, Fails, Says, Step, Waits
from antiphon.adapters.stores.sqlite import SqliteStore
from antiphon.core.limits import Limits
from antiphon.core.status import RESPONSE, final
from antiphon.engine.background import Queued
from antiphon.ports.clock import Clock
from antiphon.ports.runs import Checkpoint, Finished
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.requests import parse_create
from antiphon.wire.responses import Response, ResponseStatus
from tests.engine.stage import DEADLINE, Stage, staged
from tests.grammar import check, parse_sse
from tests.patience import eventually

SEARCH: dict[str, Any] = {"type": "web_search"}
HANGS = Step((Says(("Hel",)), Waits(gate="never")))


def says(*pieces: str) -> Step:
    return Step((Says(pieces),))


def searching(query: str = "cats") -> Step:
    return Step((Calls((Calling("web_search", {"query": query}, id="c0"),)),))


async def queue(stage: Stage, **body: Any) -> Queued:
    asked = {"model": "scripted", "input": "Hi", "background": True, "stream": True, **body}
    queued = await stage.runner.start("default", parse_create(json.dumps(asked).encode()))
    assert isinstance(queued, Queued)
    return queued


async def ended(stage: Stage, response_id: str) -> Response:
    async def over() -> bool:
        return final(RESPONSE, (await stage.runner.retrieve("default", response_id)).status)

    await eventually(over)
    return await stage.runner.retrieve("default", response_id)


async def read(stage: Stage, response_id: str, after: int = -1) -> bytes:
    async with asyncio.timeout(DEADLINE):
        events = await stage.runner.follow("default", response_id, after)
        return b"".join([batch async for batch in events])


def text_of(response: Response) -> str:
    parts = [getattr(item, "content", ()) for item in response.output]
    return "".join(part.text for content in parts for part in content)


async def test_a_background_response_is_queued_at_once_and_then_made(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hel", "lo")) as stage:
        queued = await queue(stage)
        assert (await queued.last()).status == "queued"
        response = await ended(stage, queued.response_id)
        assert response.status == "completed"
        assert response.background
        assert text_of(response) == "Hello"


async def test_its_events_are_those_that_were_recorded(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hel", "lo")) as stage:
        queued = await queue(stage)
        async with asyncio.timeout(DEADLINE):
            events = parse_sse(b"".join([batch async for batch in queued.follow()]))
        check(events)
        assert [event["type"] for event in events][:3] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]


async def test_any_prefix_and_the_resumed_rest_are_the_whole_stream(tmp_path: Path) -> None:
    async with staged(tmp_path, searching(), says("Hel", "lo")) as stage:
        queued = await queue(stage, tools=[SEARCH])
        await ended(stage, queued.response_id)
        whole = await read(stage, queued.response_id)
        events = parse_sse(whole)
        check(events)
        for after in range(-1, len(events)):
            rest = await read(stage, queued.response_id, after)
            assert whole.endswith(rest)
            assert len(parse_sse(rest)) == len(events) - after - 1


async def test_a_stream_can_be_read_after_a_restart(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hel", "lo")) as stage:
        queued = await queue(stage)
        await ended(stage, queued.response_id)
        before = await read(stage, queued.response_id)
    async with staged(tmp_path) as stage:
        assert await read(stage, queued.response_id) == before


async def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hello")) as stage:
        queued = await queue(stage)
        follower = queued.follow()
        async with asyncio.timeout(DEADLINE):
            await anext(follower)
        await follower.aclose()
        queued.abandon()
        assert (await ended(stage, queued.response_id)).status == "completed"


class Late(SqliteStore):
    """A store whose word that a run has ended comes late to the process that ran it, and early to its followers."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.committed = asyncio.Event()
        self.told = asyncio.Event()

    async def finish_run(self, project: str, checkpoint: Checkpoint, finished: Finished, /) -> None:
        await super().finish_run(project, checkpoint, finished)
        self.committed.set()
        await self.told.wait()

    async def status(self, project: str, response_id: str, /) -> ResponseStatus | None:
        await self.committed.wait()
        return await super().status(project, response_id)


async def test_a_follower_hears_the_end_that_is_committed_and_not_in_the_window_yet(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hello"), kind=Late) as stage:
        queued = await queue(stage)
        async with asyncio.timeout(DEADLINE):
            heard = b"".join([batch async for batch in queued.follow()])
        assert isinstance(stage.store, Late)
        stage.store.told.set()
        check(parse_sse(heard))


async def test_a_run_that_is_not_streamed_cannot_be_streamed_again(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hello"), says("foreground")) as stage:
        queued = await queue(stage, stream=False)
        await ended(stage, queued.response_id)
        foreground = await stage.create(input="Hi")
        for response_id in (queued.response_id, foreground.id):
            with pytest.raises(InvalidRequestError):
                await stage.runner.follow("default", response_id, -1)
        with pytest.raises(NotFoundError):
            await stage.runner.follow("other", queued.response_id, -1)


async def test_a_failing_model_ends_in_a_failed_response(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Fails("model", "The endpoint broke."),))) as stage:
        queued = await queue(stage)
        response = await ended(stage, queued.response_id)
        assert response.status == "failed"
        assert response.error is not None
        check(parse_sse(await read(stage, queued.response_id)))


async def test_a_running_response_is_cancelled_and_keeps_what_it_said(tmp_path: Path) -> None:
    async with staged(tmp_path, HANGS) as stage:
        queued = await queue(stage)
        await stage.model.reached("never")
        response = await stage.runner.cancel("default", queued.response_id)
        assert response.status == "cancelled"
        assert text_of(response) == "Hel"
        assert stage.model.closed == 1
        check(parse_sse(await read(stage, queued.response_id)), terminal=False)
        assert await stage.runner.cancel("default", queued.response_id) == response


async def test_a_waiting_response_is_cancelled_before_it_begins(tmp_path: Path) -> None:
    async with staged(tmp_path, HANGS, says("never"), limits=Limits(background_runs=1)) as stage:
        first = await queue(stage)
        await stage.model.reached("never")
        second = await queue(stage)
        async with asyncio.timeout(DEADLINE):
            assert (await stage.runner.cancel("default", second.response_id)).status == "cancelled"
        assert len(stage.model.asked) == 1
        await stage.runner.cancel("default", first.response_id)


async def test_runs_beyond_the_limit_wait_for_their_turn(tmp_path: Path) -> None:
    slow = Step((Waits(gate="go"), Says("ok")), repeat=True)
    async with staged(tmp_path, slow, limits=Limits(background_runs=4, background_runs_project=2)) as stage:
        queued = [await queue(stage) for _ in range(5)]
        await stage.model.reached("go")

        async def two_run() -> bool:
            return len(stage.model.asked) == 2

        await eventually(two_run)
        statuses = [(await stage.runner.retrieve("default", q.response_id)).status for q in queued]
        assert sorted(statuses) == ["in_progress"] * 2 + ["queued"] * 3
        stage.model.open("go")
        for one in queued:
            assert (await ended(stage, one.response_id)).status == "completed"


async def test_a_background_turn_of_a_conversation_locks_it_until_its_end(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Waits(gate="go"), Says("one"))), says("two")) as stage:
        await stage.store.create_conversation("default", Conversation(id="conv_1", created_at=1), ())
        queued = await queue(stage, conversation="conv_1")
        with pytest.raises(InvalidRequestError) as caught:
            await stage.create(input="x", conversation="conv_1")
        assert caught.value.code == "conversation_locked"
        stage.model.open("go")
        await ended(stage, queued.response_id)
        await stage.create(input="2", conversation="conv_1")
        entries = await stage.store.conversation_entries("default", "conv_1")
        assert entries is not None
        assert len(entries) == 4


async def test_deleting_a_running_response_stops_it(tmp_path: Path) -> None:
    async with staged(tmp_path, HANGS) as stage:
        queued = await queue(stage)
        await stage.model.reached("never")
        await stage.runner.delete("default", queued.response_id)
        assert stage.model.closed == 1
        with pytest.raises(NotFoundError):
            await stage.runner.retrieve("default", queued.response_id)


async def died(
    stack: AsyncExitStack, folder: Path, clock: SeededClock, *steps: Step, **body: Any
) -> tuple[Stage, Queued]:
    """A process that has accepted a run, begun it, and said nothing more since: its lease passes."""
    stage = await stack.enter_async_context(staged(folder, *steps, clock=clock, limits=Limits(lease=1000.0)))
    return stage, await queue(stage, **body)


async def test_a_run_whose_process_died_is_taken_up_and_its_stream_is_legal(tmp_path: Path) -> None:
    clock = SeededClock(99)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, HANGS)
        await dead.model.reached("never")
        begun = b""
        async with asyncio.timeout(DEADLINE):
            async for batch in queued.follow():
                begun += batch
                if b"Hel" in begun:
                    break
        clock.advance(2000)
        async with staged(tmp_path, says("Hello"), clock=clock) as alive:
            response = await ended(alive, queued.response_id)
            assert response.status == "completed"
            whole = await read(alive, queued.response_id)
            assert whole.startswith(begun)
            check(parse_sse(whole))
            assert text_of(response) == "Hello"


async def test_a_process_that_wakes_up_finds_its_run_taken_and_drops_it(tmp_path: Path) -> None:
    clock = SeededClock(98)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, Step((Says(("Hel",)), Waits(gate="late"), Says(("late",)))))
        await dead.model.reached("late")
        clock.advance(2000)
        async with staged(tmp_path, says("Hello"), clock=clock) as alive:
            response = await ended(alive, queued.response_id)
            dead.model.open("late")

            async def let_go() -> bool:
                return not dead.runner._background._live  # pyright: ignore[reportPrivateUsage]

            await eventually(let_go)
            assert await alive.runner.retrieve("default", queued.response_id) == response
            assert b"late" not in await read(alive, queued.response_id)


async def test_a_finished_tool_call_is_not_run_again_by_the_next_process(tmp_path: Path) -> None:
    clock = SeededClock(97)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, searching(), HANGS, tools=[SEARCH])
        await dead.model.reached("never")
        clock.advance(2000)
        async with staged(tmp_path, says("Cats."), clock=clock) as alive:
            response = await ended(alive, queued.response_id)
            assert response.status == "completed"
            assert alive.searches.most == 0
            exchanges = [e.exchange.output for e in alive.model.asked[0].context if e.exchange is not None]
            assert exchanges == ["results for cats"]
            check(parse_sse(await read(alive, queued.response_id)))


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_call_in_flight_follows_law_7(tmp_path: Path, repeatable: bool) -> None:
    clock = SeededClock(96)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, searching(), says("never"), tools=[SEARCH])
        dead.searches.gate.clear()
        await dead.searches.busy(1)
        clock.advance(2000)
        async with staged(tmp_path, says("Cats."), clock=clock) as alive:
            alive.searches.repeatable = repeatable
            response = await ended(alive, queued.response_id)
            assert alive.searches.most == (1 if repeatable else 0)
            told = next(e.exchange for e in alive.model.asked[0].context if e.exchange is not None)
            assert ("effect is unknown" in told.output) is not repeatable
            assert [getattr(item, "status", "") for item in response.output] == [
                "completed" if repeatable else "failed",
                "completed",
            ]


async def test_a_cancel_that_was_asked_of_a_dead_process_is_honoured_first(tmp_path: Path) -> None:
    clock = SeededClock(95)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, HANGS)
        await dead.model.reached("never")
        await dead.store.cancel_run("default", queued.response_id)
        clock.advance(2000)
        async with staged(tmp_path, says("never"), clock=clock) as alive:
            assert (await ended(alive, queued.response_id)).status == "cancelled"
            assert alive.model.asked == []


async def test_a_run_is_not_taken_up_for_ever(tmp_path: Path) -> None:
    clock = SeededClock(94)
    async with AsyncExitStack() as stack:
        dead, queued = await died(stack, tmp_path, clock, HANGS)
        await dead.model.reached("never")
        clock.advance(2000)
        async with staged(tmp_path, says("never"), clock=clock, limits=Limits(recoveries=0)) as alive:
            response = await ended(alive, queued.response_id)
            assert response.status == "failed"
            assert alive.model.asked == []
            check(parse_sse(await read(alive, queued.response_id)))


async def test_a_run_of_another_process_is_followed_and_cancelled_from_here(tmp_path: Path) -> None:
    clock = SeededClock(93)
    async with AsyncExitStack() as stack:
        there, queued = await died(stack, tmp_path, clock, HANGS)
        await there.model.reached("never")
        async with staged(tmp_path, clock=clock) as here:
            events = await here.runner.follow("default", queued.response_id, -1)
            async with asyncio.timeout(DEADLINE):
                assert b"response.created" in await anext(events)
            await events.aclose()
            await here.store.cancel_run("default", queued.response_id)
            await there.runner._background._live[queued.response_id].ledger.commit()  # pyright: ignore[reportPrivateUsage]
            assert (await ended(here, queued.response_id)).status == "cancelled"
