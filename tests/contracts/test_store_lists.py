"""The contract of the store port: lists of responses, what expires, and forks of conversations."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from antiphon.ports.runs import FenceError
from antiphon.ports.storage import Storage
from antiphon.ports.store import Finished, PageQuery
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import InvalidRequestError, StoreError
from tests.contracts.running import LATER, NOW, batch, claim, finished, progress, queue, waiting
from tests.contracts.turns import DEFAULT, OTHER, answered, entries, ids, listed, said, save, searched, talk, turn


async def names(store: Storage, page: PageQuery, project: str = DEFAULT) -> tuple[list[str], bool]:
    found, more = await store.responses(project, page)
    return [response.id.removeprefix("resp_") for response in found], more


def until(finished: Finished, expires_at: float | None) -> Finished:
    return structs.replace(finished, expires_at=expires_at)


# lists


async def test_responses_are_listed_by_creation_with_their_output(store: Storage) -> None:
    first = turn("c", made=[searched("c"), answered("c")])
    await save(store, first, turn("a", "c"), turn("b", given=[], made=[]))
    await store.save_response(OTHER, turn("d"))
    found, more = await store.responses(DEFAULT, PageQuery(order="asc"))
    assert list(found) == [first.response, turn("a", "c").response, turn("b", made=[]).response]
    assert more is False


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (PageQuery(limit=2), (["e", "d"], True)),
        (PageQuery(limit=2, after="resp_d"), (["c", "b"], True)),
        (PageQuery(limit=2, after="resp_b"), (["a"], False)),
        (PageQuery(limit=2, before="resp_b"), (["d", "c"], True)),
        (PageQuery(limit=9, before="resp_b", after="resp_e"), (["d", "c"], False)),
        (PageQuery(limit=2, order="asc"), (["a", "b"], True)),
        (PageQuery(limit=9, order="asc", after="resp_c"), (["d", "e"], False)),
        (PageQuery(limit=1, order="asc", before="resp_c"), (["b"], True)),
    ],
)
async def test_responses_are_paged(store: Storage, page: PageQuery, expected: tuple[list[str], bool]) -> None:
    await save(store, *(turn(name) for name in "abcde"))
    assert await names(store, page) == expected


async def test_an_unknown_cursor_is_refused(store: Storage) -> None:
    await save(store, turn("a"))
    for project, cursor in ((DEFAULT, "resp_x"), (OTHER, "resp_a")):
        with pytest.raises(InvalidRequestError) as refused:
            await store.responses(project, PageQuery(before=cursor))
        assert (refused.value.code, refused.value.param) == ("invalid_value", "before")
    assert await names(store, PageQuery(), OTHER) == ([], False)


async def test_a_run_is_listed_where_it_was_queued_as_far_as_it_is(store: Storage) -> None:
    await queue(store, "a")
    await save(store, turn("b"))
    await queue(store, "c")
    run = await claim(store)
    await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (0, answered("a"))))
    found, _ = await store.responses(DEFAULT, PageQuery(order="asc"))
    assert [(one.id, one.status) for one in found] == [
        ("resp_a", "in_progress"),
        ("resp_b", "completed"),
        ("resp_c", "queued"),
    ]
    assert ids(found[0].output) == ["msg_a"]
    await store.finish_run(DEFAULT, progress(run, batch(5, 5)), finished(run, answered("a")))
    assert (await names(store, PageQuery(order="asc")))[0] == ["a", "b", "c"]


# expiry


async def test_what_has_expired_is_deleted(store: Storage) -> None:
    await save(store, until(turn("a"), 10.0), until(turn("b"), 20.5), turn("c"))
    await store.save_response(OTHER, until(turn("a"), 10.0))
    assert await store.expire(9.9) == 0
    assert await store.expire(10.0) == 2
    assert await store.response(OTHER, "resp_a") is None
    assert await names(store, PageQuery(order="asc")) == (["b", "c"], False)
    assert await store.items(DEFAULT, ["msg_a_in", "msg_a_out"]) == {}
    assert await store.expire(1e12) == 1
    assert await store.expire(1e12) == 0
    assert await names(store, PageQuery()) == (["c"], False)
    assert len(await store.items(DEFAULT, ["msg_c_in", "msg_c_out"])) == 2


async def test_a_chain_on_what_has_expired_is_broken(store: Storage) -> None:
    await save(store, until(turn("a"), 10.0), turn("b", "a"), turn("c", "b"), turn("d"))
    assert ids(await store.chain(DEFAULT, "resp_c"))[0] == "msg_a_in"
    await store.expire(11.0)
    assert await store.chain(DEFAULT, "resp_b") is None
    assert await store.chain(DEFAULT, "resp_c") is None
    assert await store.response(DEFAULT, "resp_c") is not None
    assert ids(await store.chain(DEFAULT, "resp_d")) == ["msg_d_in", "msg_d_out"]


async def test_a_conversation_keeps_the_items_of_what_has_expired(store: Storage) -> None:
    conversation = await talk(store, "a")
    await save(store, until(turn("a", conversation=conversation), 10.0), until(turn("b"), 10.0))
    await save(store, turn("c", given=[said("b_in", "Question b.")]))
    assert await store.expire(11.0) == 2
    assert await listed(store, conversation) == ["msg_a_in", "msg_a_out"]
    assert list(await store.items(DEFAULT, ["msg_b_in", "msg_b_out"])) == ["msg_b_in"]
    await store.delete_conversation(DEFAULT, conversation)
    assert await store.items(DEFAULT, ["msg_a_in", "msg_a_out"]) == {}


async def test_a_run_does_not_expire_before_it_has_ended(store: Storage) -> None:
    await store.queue_run(DEFAULT, structs.replace(waiting("a"), expires_at=10.0))
    run = await claim(store)
    assert await store.expire(11.0) == 0
    end = finished(run, answered("a"), expires=20.0)
    await store.finish_run(DEFAULT, progress(run, batch(0, 9)), end)
    assert await store.expire(19.0) == 0
    assert await store.expire(20.0) == 1
    assert await store.response(DEFAULT, "resp_a") is None
    assert await store.batches(DEFAULT, "resp_a", -1) is None
    assert await store.items(DEFAULT, ["msg_a_in", "msg_a"]) == {}
    with pytest.raises(FenceError):
        await store.checkpoint(DEFAULT, progress(run, until=LATER + 1))


async def test_very_many_may_expire_while_others_write(store: Storage) -> None:
    await asyncio.gather(*(store.save_response(DEFAULT, until(turn(str(at)), NOW)) for at in range(1500)))
    sweep = asyncio.create_task(store.expire(NOW + 1))
    await save(store, *(turn(f"new_{at}") for at in range(20)))
    assert await sweep == 1500
    assert len((await names(store, PageQuery(limit=10_000)))[0]) == 20


# forks


def fork(name: str) -> Conversation:
    return Conversation(id=f"conv_{name}", created_at=5, metadata={"fork": name})


async def test_a_fork_begins_with_the_items_of_its_source(store: Storage) -> None:
    source = await talk(store, "a", entries("a", 4))
    await store.delete_conversation_item(DEFAULT, source, "msg_a_1")
    assert await store.fork_conversation(DEFAULT, source, fork("b"), None) == fork("b")
    assert await store.fork_conversation(DEFAULT, source, fork("c"), "msg_a_2") == fork("c")
    assert await store.conversation(DEFAULT, "conv_c") == fork("c")
    assert await listed(store, "conv_b") == ["msg_a_0", "msg_a_2", "msg_a_3"]
    assert await listed(store, "conv_c") == ["msg_a_0", "msg_a_2"]


async def test_forks_go_their_own_ways(store: Storage) -> None:
    source = await talk(store, "a", entries("a", 2))
    await listed(store, source)
    await store.fork_conversation(DEFAULT, source, fork("b"), "msg_a_0")
    await store.append_items(DEFAULT, source, [said("1")])
    await store.append_items(DEFAULT, "conv_b", [said("2"), *entries("a", 2)[1:]])
    await save(store, turn("t", conversation="conv_b"))
    assert await listed(store, source) == ["msg_a_0", "msg_a_1", "msg_1"]
    assert await listed(store, "conv_b") == ["msg_a_0", "msg_2", "msg_a_1", "msg_t_in", "msg_t_out"]
    await store.delete_conversation_item(DEFAULT, source, "msg_a_0")
    assert (await listed(store, "conv_b"))[0] == "msg_a_0"
    await store.delete_conversation(DEFAULT, source)
    assert await listed(store, "conv_b") == ["msg_a_0", "msg_2", "msg_a_1", "msg_t_in", "msg_t_out"]
    assert await store.items(DEFAULT, ["msg_1"]) == {}
    await store.delete_conversation(DEFAULT, "conv_b")
    assert await store.items(DEFAULT, ["msg_a_0", "msg_a_1", "msg_2"]) == {}


async def test_a_fork_of_nothing_is_none(store: Storage) -> None:
    source = await talk(store, "a", entries("a", 2))
    await talk(store, "b", entries("b", 1))
    assert await store.fork_conversation(DEFAULT, "conv_x", fork("c"), None) is None
    assert await store.fork_conversation(DEFAULT, source, fork("c"), "msg_x") is None
    assert await store.fork_conversation(DEFAULT, source, fork("c"), "msg_b_0") is None
    assert await store.fork_conversation(OTHER, source, fork("c"), None) is None
    assert await store.conversation(DEFAULT, "conv_c") is None
    with pytest.raises(StoreError):
        await store.fork_conversation(DEFAULT, source, fork("b"), None)
    assert await listed(store, "conv_b") == ["msg_b_0"]


async def test_an_empty_conversation_may_be_forked(store: Storage) -> None:
    await store.fork_conversation(DEFAULT, await talk(store, "a"), fork("b"), None)
    await store.append_items(DEFAULT, "conv_b", [said("1")])
    assert await listed(store, "conv_b") == ["msg_1"]


async def test_a_fork_is_not_locked(store: Storage) -> None:
    source = await talk(store, "a")
    await store.lock_conversation(DEFAULT, source, "me", 2e9)
    await store.fork_conversation(DEFAULT, source, fork("b"), None)
    assert await store.lock_conversation(DEFAULT, "conv_b", "you", 2e9) is True
