"""The contract of the store port: conversations and their locks."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.ports.store import PageQuery, Store
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import StoreError
from tests.contracts.turns import DEFAULT, entries, ids, listed, said, save, searched, talk, turn


async def test_a_conversation_is_read_back_equal(store: Store) -> None:
    conversation = Conversation(id="conv_a", created_at=5, metadata={"topic": "tests", "ü": ""})
    await store.create_conversation(DEFAULT, conversation, entries("a", 3))
    assert await store.conversation(DEFAULT, "conv_a") == conversation
    assert await listed(store, "conv_a") == ["msg_a_0", "msg_a_1", "msg_a_2"]
    assert await store.conversation_item(DEFAULT, "conv_a", "msg_a_1") == entries("a", 3)[1].item


async def test_metadata_is_replaced(store: Store) -> None:
    conversation = await talk(store, "a")
    changed = await store.update_conversation(DEFAULT, conversation, {"new": "yes"})
    assert changed == Conversation(id="conv_a", created_at=1_700_000_000, metadata={"new": "yes"})
    assert await store.conversation(DEFAULT, conversation) == changed


async def test_an_unknown_conversation_is_none(store: Store) -> None:
    assert await store.conversation(DEFAULT, "conv_x") is None
    assert await store.update_conversation(DEFAULT, "conv_x", {}) is None
    assert await store.append_items(DEFAULT, "conv_x", [said("1")]) is None
    assert await store.conversation_items(DEFAULT, "conv_x", PageQuery()) is None
    assert await store.conversation_entries(DEFAULT, "conv_x") is None
    assert await store.conversation_item(DEFAULT, "conv_x", "msg_1") is None
    assert await store.delete_conversation_item(DEFAULT, "conv_x", "msg_1") is None
    assert await store.lock_conversation(DEFAULT, "conv_x", "me", 2e9) is None
    assert await store.delete_conversation(DEFAULT, "conv_x") is False
    assert await store.items(DEFAULT, ["msg_1"]) == {}


async def test_the_same_conversation_is_not_created_twice(store: Store) -> None:
    conversation = await talk(store, "a", [said("1")])
    with pytest.raises(StoreError):
        await talk(store, "a", [said("2")])
    assert await listed(store, conversation) == ["msg_1"]


async def test_a_deleted_conversation_takes_its_items_along_but_for_those_of_responses(store: Store) -> None:
    conversation = await talk(store, "a", [said("1")])
    await save(store, turn("a", conversation=conversation))
    assert await store.delete_conversation(DEFAULT, conversation) is True
    assert await store.delete_conversation(DEFAULT, conversation) is False
    assert await store.conversation_entries(DEFAULT, conversation) is None
    assert await store.conversation_item(DEFAULT, conversation, "msg_a_in") is None
    assert list(await store.items(DEFAULT, ["msg_1", "msg_a_in"])) == ["msg_a_in"]
    assert await store.response(DEFAULT, "resp_a") == turn("a", conversation=conversation).response


async def test_deleting_an_item_removes_it_from_one_conversation(store: Store) -> None:
    first, second = await talk(store, "a", entries("x", 3)), await talk(store, "b", entries("x", 3))
    assert await listed(store, first) == ["msg_x_0", "msg_x_1", "msg_x_2"]
    assert await store.delete_conversation_item(DEFAULT, first, "msg_x_1") == await store.conversation(DEFAULT, first)
    assert await store.delete_conversation_item(DEFAULT, first, "msg_x_1") is None
    assert await listed(store, first) == ["msg_x_0", "msg_x_2"]
    assert await store.conversation_item(DEFAULT, first, "msg_x_1") is None
    await store.append_items(DEFAULT, first, entries("x", 3)[1:2])
    assert await listed(store, first) == ["msg_x_0", "msg_x_2", "msg_x_1"]
    assert await listed(store, second) == ["msg_x_0", "msg_x_1", "msg_x_2"]


async def test_a_turn_appends_its_input_and_output(store: Store) -> None:
    conversation = await talk(store, "a", [said("1")])
    await save(store, turn("a", conversation=conversation))
    assert await listed(store, conversation) == ["msg_1", "msg_a_in", "msg_a_out"]
    await save(store, turn("b", conversation=conversation, made=[searched("b")]))
    assert await listed(store, conversation) == ["msg_1", "msg_a_in", "msg_a_out", "msg_b_in", "ws_b"]
    assert (await store.conversation_entries(DEFAULT, conversation) or [])[-1] == searched("b")


async def test_a_failed_turn_appends_nothing_but_releases_the_lock(store: Store) -> None:
    conversation = await talk(store, "a")
    assert await store.lock_conversation(DEFAULT, conversation, "me", 2e9) is True
    await save(store, turn("a", conversation=conversation, append=False))
    assert await listed(store, conversation) == []
    assert await store.response(DEFAULT, "resp_a") is not None
    assert await store.lock_conversation(DEFAULT, conversation, "you", 2e9) is True


async def test_a_turn_of_a_conversation_that_is_gone_is_stored_all_the_same(store: Store) -> None:
    finished = turn("a", conversation="conv_gone")
    await save(store, finished)
    assert await store.response(DEFAULT, "resp_a") == finished.response
    assert await store.conversation_entries(DEFAULT, "conv_gone") is None


async def test_concurrent_appends_keep_every_batch_whole(store: Store) -> None:
    conversation = await talk(store, "a")
    batches = [entries(str(at), 4) for at in range(50)]
    await asyncio.gather(*(store.append_items(DEFAULT, conversation, batch) for batch in batches))
    found = await listed(store, conversation)
    assert len(found) == 200
    chunks = [found[at : at + 4] for at in range(0, 200, 4)]
    assert sorted(map(str, chunks)) == sorted(str(ids(batch)) for batch in batches)


# locks


async def test_a_lock_is_one_owners_until_it_is_released(store: Store, clock: SeededClock) -> None:
    conversation = await talk(store, "a")
    until = clock.now() + 60
    assert await store.lock_conversation(DEFAULT, conversation, "me", until) is True
    assert await store.lock_conversation(DEFAULT, conversation, "me", until + 60) is True
    assert await store.lock_conversation(DEFAULT, conversation, "you", until) is False
    assert await store.lock_conversation(DEFAULT, conversation, "you", 0) is False
    assert await store.lock_conversation(DEFAULT, conversation, "me", 0) is True
    assert await store.lock_conversation(DEFAULT, conversation, "you", until) is True


async def test_a_lock_expires(store: Store, clock: SeededClock) -> None:
    conversation = await talk(store, "a")
    await store.lock_conversation(DEFAULT, conversation, "me", clock.now() + 60)
    clock.advance(61)
    assert await store.lock_conversation(DEFAULT, conversation, "you", clock.now() + 60) is True


async def test_saving_a_turn_releases_the_lock(store: Store) -> None:
    conversation = await talk(store, "a")
    await store.lock_conversation(DEFAULT, conversation, "me", 2e9)
    await save(store, turn("a", conversation=conversation))
    assert await store.lock_conversation(DEFAULT, conversation, "you", 2e9) is True


async def test_one_of_many_takes_the_lock(store: Store) -> None:
    conversation = await talk(store, "a")
    owners = (store.lock_conversation(DEFAULT, conversation, str(at), 2e9) for at in range(20))
    assert sorted(await asyncio.gather(*owners), key=bool) == [False] * 19 + [True]
