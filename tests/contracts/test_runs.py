"""The contract of the port `Runs`, kept by every kind of store."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from antiphon.adapters.clock import SeededClock
from antiphon.ports.runs import Batch, FenceError
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import StoreError
from tests.contracts.running import (
    LATER,
    NOW,
    answers,
    batch,
    claim,
    finish,
    finished,
    progress,
    queue,
    waiting,
)
from tests.contracts.turns import DEFAULT, OTHER, answered, ids, listed, said, save, searched, talk, turn

# waiting


async def test_a_queued_run_is_retrieved_as_it_was_accepted(store: Storage) -> None:
    await queue(store, "a")
    assert await store.response(DEFAULT, "resp_a") == waiting("a").response
    assert await store.status(DEFAULT, "resp_a") == "queued"
    page = await store.input_items(DEFAULT, "resp_a", PageQuery())
    assert page is not None
    assert ids(page.items) == ["msg_a_in"]
    assert await store.batches(DEFAULT, "resp_a", -1) == []


async def test_a_run_that_has_not_ended_is_no_context(store: Storage) -> None:
    await queue(store, "a")
    assert await store.chain(DEFAULT, "resp_a") is None
    run = await claim(store)
    assert await store.chain(DEFAULT, "resp_a") is None
    await finish(store, run, answered("a"))
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a"]


async def test_the_input_of_a_run_is_the_chain_before_it_and_its_own(store: Storage) -> None:
    await save(store, turn("a"))
    await store.queue_run(DEFAULT, waiting("b", "a"))
    page = await store.input_items(DEFAULT, "resp_b", PageQuery(order="asc"))
    assert page is not None
    assert ids(page.items) == ["msg_a_in", "msg_a_out", "msg_b_in"]
    run = await claim(store)
    await finish(store, run, answered("b"))
    assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_a_in", "msg_a_out", "msg_b_in", "msg_b"]


async def test_what_builds_on_a_run_that_has_not_ended_has_no_context(store: Storage) -> None:
    await queue(store, "a")
    await save(store, turn("b", "a"))
    assert await store.chain(DEFAULT, "resp_b") is None
    assert await store.input_items(DEFAULT, "resp_b", PageQuery()) is None
    await finish(store, await claim(store), answered("a"))
    assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_a_in", "msg_a", "msg_b_in", "msg_b_out"]


async def test_the_same_run_is_not_queued_twice(store: Storage) -> None:
    await queue(store, "a")
    with pytest.raises(StoreError):
        await store.queue_run(DEFAULT, structs.replace(waiting("a"), input=(said("never"),)))
    assert await store.items(DEFAULT, ["msg_never"]) == {}


# claims


async def test_a_claimant_gets_all_that_the_run_needs(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    assert run.project == DEFAULT
    assert run.response == structs.replace(waiting("a").response, status="in_progress")
    assert (run.request, run.input, run.output) == (b"request a", waiting("a").input, ())
    assert (run.state, run.last, run.fence, run.recoveries, run.cancel) == (None, -1, 1, 0, False)
    found = await store.response(DEFAULT, "resp_a")
    assert found is not None
    assert found.status == "in_progress"


async def test_the_oldest_runs_are_claimed_first_and_once(store: Storage) -> None:
    await queue(store, "c", "a", "d")
    await store.queue_run(OTHER, waiting("b"))
    runs = await store.claim_runs("me", NOW, LATER, 3, 100)
    assert [run.response.id for run in runs] == ["resp_c", "resp_a", "resp_d"]
    (last,) = await store.claim_runs("you", NOW, LATER, 3, 100)
    assert (last.project, last.response.id) == (OTHER, "resp_b")
    assert await store.claim_runs("you", NOW, LATER, 3, 100) == []


async def test_nothing_is_claimed_where_nothing_waits(store: Storage) -> None:
    assert await store.claim_runs("me", NOW, LATER, 3, 100) == []
    await save(store, turn("a"))
    assert await store.claim_runs("me", NOW, LATER, 3, 100) == []
    await queue(store, "b")
    assert await store.claim_runs("me", NOW, LATER, 0, 100) == []
    await finish(store, await claim(store))
    assert await store.claim_runs("me", LATER + 1, LATER + 2, 3, 100) == []


async def test_of_many_claimants_one_gets_the_run(store: Storage) -> None:
    await queue(store, *(str(at) for at in range(20)))
    found = await asyncio.gather(*(store.claim_runs(str(at), NOW, LATER, 3, 100) for at in range(20)))
    claimed = [run.response.id for runs in found for run in runs]
    assert sorted(claimed) == sorted(f"resp_{at}" for at in range(20))


async def test_a_project_holds_no_more_leases_than_it_may(store: Storage) -> None:
    await queue(store, "a", "b", "c")
    await queue(store, "d", project=OTHER)
    first = await store.claim_runs("me", NOW, LATER, 10, 2)
    assert [(run.project, run.response.id) for run in first] == [
        (DEFAULT, "resp_a"),
        (DEFAULT, "resp_b"),
        (OTHER, "resp_d"),
    ]
    assert await store.claim_runs("you", NOW, LATER, 10, 2) == []
    await finish(store, first[0])
    assert [run.response.id for run in await store.claim_runs("you", NOW, LATER, 10, 2)] == ["resp_c"]


async def test_a_lease_that_has_passed_does_not_count(store: Storage) -> None:
    await queue(store, "a", "b")
    await claim(store)
    found = await store.claim_runs("you", LATER + 1, LATER + 30, 10, 1)
    assert [(run.response.id, run.recoveries) for run in found] == [("resp_a", 1)]


async def test_a_run_whose_lease_has_passed_is_found_as_its_owner_left_it(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    made = answers("a", 3)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 9), (0, made[0]), (2, made[2])))
    assert await store.claim_runs("you", LATER, LATER + 30, 1, 100) == []
    found = await claim(store, "you", now=LATER + 1, until=LATER + 30)
    assert (found.fence, found.recoveries, found.last, found.state) == (2, 1, 9, b"state 9")
    assert found.output == ((0, made[0]), (2, made[2]))
    assert found.input == waiting("a").input
    again = await claim(store, "me", now=LATER + 31, until=LATER + 60)
    assert (again.fence, again.recoveries) == (3, 2)


async def test_a_checkpoint_prolongs_the_lease(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, until=LATER + 30))
    assert await store.claim_runs("you", LATER + 1, LATER + 60, 1, 100) == []


async def test_one_run_is_claimed_by_name_whatever_the_limits(store: Storage) -> None:
    await queue(store, "a", "b")
    run = await store.claim_run(DEFAULT, "resp_b", "me", NOW, LATER)
    assert run is not None
    assert (run.response.id, run.fence) == ("resp_b", 1)
    assert await store.claim_run(DEFAULT, "resp_b", "you", NOW, LATER) is None
    assert await store.claim_run(OTHER, "resp_a", "you", NOW, LATER) is None
    assert await store.claim_run(DEFAULT, "resp_x", "you", NOW, LATER) is None
    taken = await store.claim_run(DEFAULT, "resp_b", "you", LATER + 1, LATER + 2)
    assert taken is not None
    assert (taken.fence, taken.recoveries) == (2, 1)
    await finish(store, taken)
    assert await store.claim_run(DEFAULT, "resp_b", "you", LATER + 10, LATER + 20) is None


# checkpoints


async def test_progress_is_seen_by_everyone(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    made = [searched("a"), answered("a")]
    await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (1, made[1])))
    await store.checkpoint(DEFAULT, progress(run, None, (0, made[0])))
    found = await store.response(DEFAULT, "resp_a")
    assert found == structs.replace(run.response, output=(made[0].item, made[1].item))
    assert await store.status(DEFAULT, "resp_a") == "in_progress"
    assert await store.batches(DEFAULT, "resp_a", -1) == [batch(0, 4)]
    assert await store.items(DEFAULT, ["ws_a"]) == {"ws_a": made[0]}


async def test_an_entry_that_is_checkpointed_again_takes_the_place_of_the_first(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, None, (0, answered("a", "Half"))))
    await store.checkpoint(DEFAULT, progress(run, None, (0, answered("a", "Half a sentence."))))
    assert await store.items(DEFAULT, ["msg_a"]) == {"msg_a": answered("a", "Half a sentence.")}
    response = await finish(store, run, answered("a", "Half a sentence."))
    assert await store.response(DEFAULT, "resp_a") == response


async def test_a_checkpoint_whose_commit_was_not_heard_of_may_come_again_with_more(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 2)))
    await store.checkpoint(DEFAULT, progress(run, batch(3, 4), (0, answered("a"))))
    await store.checkpoint(DEFAULT, progress(run, batch(3, 8), (0, answered("a")), (1, answered("b"))))
    assert await store.batches(DEFAULT, "resp_a", 3) == [batch(3, 8)]
    end = finished(run, answered("a"), answered("b"))
    await store.finish_run(DEFAULT, progress(run, batch(3, 9), (0, answered("a")), (1, answered("b"))), end)
    assert await store.batches(DEFAULT, "resp_a", -1) == [batch(0, 2), batch(3, 9)]
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a", "msg_b"]


async def test_a_lease_that_was_given_back_is_free_at_once_and_counts_as_no_recovery(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 2), until=0))
    again = await claim(store, "you")
    assert (again.fence, again.recoveries, again.last) == (2, 0, 2)
    with pytest.raises(FenceError):
        await store.checkpoint(DEFAULT, progress(run, batch(3, 4)))


async def test_who_lost_the_run_commits_nothing(store: Storage) -> None:
    await queue(store, "a")
    old = await claim(store)
    await store.checkpoint(DEFAULT, progress(old, batch(0, 4), (0, answered("a"))))
    new = await claim(store, "you", now=LATER + 1, until=LATER + 30)
    with pytest.raises(FenceError):
        await store.checkpoint(DEFAULT, progress(old, batch(5, 9), (1, answered("never")), until=LATER + 90))
    with pytest.raises(FenceError):
        await store.finish_run(DEFAULT, progress(old, batch(5, 9)), finished(old, answered("a"), answered("never")))
    assert await store.items(DEFAULT, ["msg_never"]) == {}
    assert await store.batches(DEFAULT, "resp_a", -1) == [batch(0, 4)]
    found = await claim(store, "me", now=LATER + 31, until=LATER + 60)
    assert (found.state, found.last, found.fence) == (b"state 4", 4, new.fence + 1)


async def test_a_run_that_was_deleted_is_lost(store: Storage) -> None:
    await queue(store, "a", "b")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (0, answered("a"))))
    assert await store.delete_response(DEFAULT, "resp_a") is True
    with pytest.raises(FenceError):
        await store.checkpoint(DEFAULT, progress(run, batch(5, 9), (1, answered("never"))))
    with pytest.raises(FenceError):
        await store.finish_run(DEFAULT, progress(run, batch(5, 9)), finished(run, answered("a")))
    assert await store.batches(DEFAULT, "resp_a", -1) is None
    assert await store.items(DEFAULT, ["msg_a_in", "msg_a", "msg_never"]) == {}
    assert await store.delete_response(DEFAULT, "resp_b") is True
    assert await store.claim_runs("you", LATER + 1, LATER + 2, 10, 10) == []


# cancel


async def test_a_cancel_is_seen_at_the_next_checkpoint(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    assert await store.checkpoint(DEFAULT, progress(run, batch(0, 0))) is False
    assert await store.cancel_run(DEFAULT, "resp_a") is True
    assert await store.cancel_run(DEFAULT, "resp_a") is True
    assert await store.checkpoint(DEFAULT, progress(run, batch(1, 1))) is True
    assert (await claim(store, "you", now=LATER + 1)).cancel is True


async def test_a_cancel_of_a_waiting_run_is_told_to_its_claimant(store: Storage) -> None:
    await queue(store, "a")
    assert await store.cancel_run(DEFAULT, "resp_a") is True
    found = await store.response(DEFAULT, "resp_a")
    assert found is not None
    assert found.status == "queued"
    assert (await claim(store)).cancel is True


async def test_only_a_run_that_has_not_ended_can_be_cancelled(store: Storage) -> None:
    await queue(store, "a")
    await finish(store, await claim(store))
    await save(store, turn("b"))
    for response_id in ("resp_a", "resp_b", "resp_x"):
        assert await store.cancel_run(DEFAULT, response_id) is False


# the journal


@pytest.mark.parametrize(
    ("after", "expected"),
    [(-1, [0, 1, 5]), (0, [1, 5]), (1, [1, 5]), (3, [1, 5]), (4, [5]), (5, [5]), (8, [5]), (9, []), (99, [])],
)
async def test_a_stream_is_resumed_at_any_event(store: Storage, after: int, expected: list[int]) -> None:
    await queue(store, "a")
    run = await claim(store)
    for events in (batch(0, 0), batch(1, 4)):
        await store.checkpoint(DEFAULT, progress(run, events))
    await store.finish_run(DEFAULT, progress(run, batch(5, 9)), finished(run))
    found = await store.batches(DEFAULT, "resp_a", after)
    assert found is not None
    assert [events.first for events in found] == expected
    assert [events.frames for events in found] == [batch(first, {0: 0, 1: 4, 5: 9}[first]).frames for first in expected]


async def test_a_long_journal_comes_in_parts(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    sizes = [400_000, 400_000, 400_000, 1_500_000, 10]
    for at, size in enumerate(sizes):
        await store.checkpoint(DEFAULT, progress(run, Batch(at, at, b"x" * size)))
    parts: list[list[int]] = []
    after = -1
    while found := await store.batches(DEFAULT, "resp_a", after):
        parts.append([events.last for events in found])
        after = found[-1].last
    assert parts == [[0, 1], [2], [3], [4]]


async def test_a_response_without_a_journal_says_so(store: Storage) -> None:
    await save(store, turn("a"))
    await store.queue_run(DEFAULT, waiting("b", streamed=False))
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, None, (0, answered("b"))))
    assert await store.batches(DEFAULT, "resp_b", -1) is None
    await store.finish_run(DEFAULT, progress(run), finished(run, answered("b")))
    for response_id in ("resp_a", "resp_b", "resp_x"):
        assert await store.batches(DEFAULT, response_id, -1) is None


# the end


async def test_a_finished_run_is_like_any_other_response(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    made = answers("a", 3)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (0, made[0]), (1, made[1])))
    end = finished(run, *made)
    await store.finish_run(DEFAULT, progress(run, batch(5, 9), (2, made[2])), end)
    assert await store.response(DEFAULT, "resp_a") == end.response
    assert await store.status(DEFAULT, "resp_a") == "completed"
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_0", "msg_a_1", "msg_a_2"]
    assert await store.batches(DEFAULT, "resp_a", 4) == [batch(5, 9)]
    with pytest.raises(FenceError):
        await store.checkpoint(DEFAULT, progress(run))
    await save(store, turn("b", "a"))
    assert ids(await store.chain(DEFAULT, "resp_b"))[-3:] == ["msg_a_2", "msg_b_in", "msg_b_out"]
    assert await store.delete_response(DEFAULT, "resp_a") is True
    assert await store.items(DEFAULT, ["msg_a_in", "msg_a_0", "msg_a_1", "msg_a_2"]) == {}
    assert await store.batches(DEFAULT, "resp_a", -1) is None
    assert await store.status(DEFAULT, "resp_a") is None


async def test_the_end_decides_what_the_output_is(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    made = answers("a", 4)
    await store.checkpoint(DEFAULT, progress(run, None, (0, made[0]), (2, made[2]), (3, made[3])))
    response = await finish(store, run, made[0], made[2], made[1])
    assert await store.response(DEFAULT, "resp_a") == response
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_0", "msg_a_2", "msg_a_1"]
    assert list(await store.items(DEFAULT, [f"msg_a_{at}" for at in range(4)])) == ["msg_a_0", "msg_a_1", "msg_a_2"]


async def test_the_end_appends_to_the_conversation_and_unlocks_it(store: Storage) -> None:
    conversation = await talk(store, "a", [said("1")])
    assert await store.lock_conversation(DEFAULT, conversation, "me", 2e9) is True
    await store.queue_run(DEFAULT, waiting("a", conversation=conversation))
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, None, (0, searched("a"))))
    assert await listed(store, conversation) == ["msg_1"]
    end = finished(run, searched("a"), answered("a"), conversation=conversation)
    await store.finish_run(DEFAULT, progress(run), end)
    assert await listed(store, conversation) == ["msg_1", "msg_a_in", "ws_a", "msg_a"]
    assert list(await store.conversation_entries(DEFAULT, conversation) or ())[2:3] == [searched("a")]
    assert await store.response(DEFAULT, "resp_a") == end.response
    assert await store.lock_conversation(DEFAULT, conversation, "you", 2e9) is True
    await store.delete_response(DEFAULT, "resp_a")
    assert await listed(store, conversation) == ["msg_1", "msg_a_in", "ws_a", "msg_a"]


async def test_a_queued_run_keeps_the_lock_that_it_holds_for_as_long_as_it_says(
    store: Storage, clock: SeededClock
) -> None:
    mine, other = await talk(store, "a"), await talk(store, "b")
    now = clock.now()
    for conversation, owner in ((mine, "resp_a"), (other, "somebody")):
        await store.lock_conversation(DEFAULT, conversation, owner, now + 60)
    for name, conversation in (("a", mine), ("b", other)):
        run = structs.replace(waiting(name, conversation=conversation), locked_until=now + 1000)
        await store.queue_run(DEFAULT, run)
    clock.advance(500)
    assert await store.lock_conversation(DEFAULT, mine, "you", now + 2000) is False
    assert await store.lock_conversation(DEFAULT, other, "you", now + 2000) is True


async def test_an_id_that_came_into_the_conversation_meanwhile_is_appended_under_a_fresh_one(store: Storage) -> None:
    conversation = await talk(store, "a")
    await store.queue_run(DEFAULT, waiting("a", conversation=conversation))
    run = await claim(store)
    await store.append_items(DEFAULT, conversation, run.input)
    await store.finish_run(DEFAULT, progress(run), finished(run, answered("a"), conversation=conversation))
    found = await listed(store, conversation)
    assert (found[0], found[2], len(set(found))) == ("msg_a_in", "msg_a", 3)
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a"]


async def test_a_failed_run_appends_nothing_but_unlocks_the_conversation(store: Storage) -> None:
    conversation = await talk(store, "a")
    await store.lock_conversation(DEFAULT, conversation, "me", 2e9)
    await store.queue_run(DEFAULT, waiting("a", conversation=conversation))
    run = await claim(store)
    end = finished(run, answered("a"), append=False, conversation=conversation)
    await store.finish_run(DEFAULT, progress(run), end)
    assert await listed(store, conversation) == []
    assert await store.response(DEFAULT, "resp_a") == end.response
    assert await store.lock_conversation(DEFAULT, conversation, "you", 2e9) is True


# isolation


async def test_a_run_of_another_project_is_like_one_that_does_not_exist(store: Storage) -> None:
    await queue(store, "a")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (0, answered("a"))))
    assert await store.response(OTHER, "resp_a") is None
    assert await store.batches(OTHER, "resp_a", -1) is None
    assert await store.cancel_run(OTHER, "resp_a") is False
    assert await store.claim_run(OTHER, "resp_a", "you", LATER + 1, LATER + 2) is None
    assert await store.delete_response(OTHER, "resp_a") is False
    with pytest.raises(FenceError):
        await store.checkpoint(OTHER, progress(run, batch(5, 9)))
    with pytest.raises(FenceError):
        await store.finish_run(OTHER, progress(run, batch(5, 9)), finished(run))
    await store.queue_run(OTHER, waiting("a"))
    assert await store.batches(OTHER, "resp_a", -1) == []
    assert await store.checkpoint(DEFAULT, progress(run, batch(5, 9))) is False
