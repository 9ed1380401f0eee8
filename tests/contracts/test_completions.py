"""The contract of the port `Completions`, kept by every kind of store."""

from __future__ import annotations

import pytest
from msgspec import structs

from antiphon.ports.completions import StoredCompletion
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import InvalidRequestError, StoreError
from tests.contracts.turns import DEFAULT, OTHER


def completion(name: str, model: str = "test/model", **metadata: str) -> StoredCompletion:
    return StoredCompletion(
        id=f"chatcmpl-{name}",
        created=1_700_000_000,
        model=model,
        metadata=metadata,
        body=f'{{"id":"chatcmpl-{name}","ü":null}}'.encode(),
        messages=b'[{"role":"user","content":"' + b"Hello. " * 1000 + b'"}]',
    )


async def ids(store: Storage, page: PageQuery, model: str | None = None, **metadata: str) -> tuple[list[str], bool]:
    found, more = await store.completions(DEFAULT, page, model, metadata)
    return [one.id.removeprefix("chatcmpl-") for one in found], more


async def test_a_completion_is_read_back_equal(store: Storage) -> None:
    stored = structs.replace(completion("a", topic="tests", **{"a.b": '"', "$": "ü"}), expires_at=2e9)
    await store.save_completion(DEFAULT, stored)
    assert await store.completion(DEFAULT, "chatcmpl-a") == stored
    assert await store.completions(DEFAULT, PageQuery(), None, {}) == ((stored,), False)


async def test_the_same_completion_is_not_stored_twice(store: Storage) -> None:
    await store.save_completion(DEFAULT, completion("a"))
    with pytest.raises(StoreError):
        await store.save_completion(DEFAULT, completion("a", "other/model"))
    assert await store.completion(DEFAULT, "chatcmpl-a") == completion("a")


async def test_completions_are_listed_by_creation(store: Storage) -> None:
    for name in ("c", "a", "b"):
        await store.save_completion(DEFAULT, completion(name))
    assert await ids(store, PageQuery(order="asc")) == (["c", "a", "b"], False)
    assert await ids(store, PageQuery(limit=2)) == (["b", "a"], True)
    assert await ids(store, PageQuery(limit=2, after="chatcmpl-a")) == (["c"], False)
    assert await ids(store, PageQuery(order="asc", limit=1, after="chatcmpl-c")) == (["a"], True)
    with pytest.raises(InvalidRequestError) as refused:
        await ids(store, PageQuery(after="chatcmpl-x"))
    assert (refused.value.code, refused.value.param) == ("invalid_value", "after")


async def test_a_list_holds_only_this_model_and_these_metadata(store: Storage) -> None:
    await store.save_completion(DEFAULT, completion("a", "m1", topic="x", lang="en"))
    await store.save_completion(DEFAULT, completion("b", "m2", topic="x"))
    await store.save_completion(DEFAULT, completion("c", "m1", topic="y", **{"a.b": "z"}))
    await store.save_completion(DEFAULT, completion("d", "m1", topic="x"))
    page = PageQuery(order="asc")
    assert await ids(store, page, "m1") == (["a", "c", "d"], False)
    assert await ids(store, page, None, topic="x") == (["a", "b", "d"], False)
    assert await ids(store, page, "m1", topic="x") == (["a", "d"], False)
    assert await ids(store, page, None, topic="x", lang="en") == (["a"], False)
    assert await ids(store, page, None, **{"a.b": "z"}) == (["c"], False)
    assert await ids(store, page, None, a="z") == ([], False)
    assert await ids(store, page, "m3") == ([], False)
    assert await ids(store, PageQuery(order="asc", limit=1), "m1", topic="x") == (["a"], True)
    assert await ids(store, PageQuery(order="asc", after="chatcmpl-b"), "m1", topic="x") == (["d"], False)


async def test_metadata_is_replaced(store: Storage) -> None:
    await store.save_completion(DEFAULT, completion("a", topic="x"))
    changed = await store.update_completion(DEFAULT, "chatcmpl-a", {"new": "yes"})
    assert changed == completion("a", new="yes")
    assert await store.completion(DEFAULT, "chatcmpl-a") == changed
    assert await ids(store, PageQuery(), None, topic="x") == ([], False)


async def test_a_deleted_completion_is_gone(store: Storage) -> None:
    await store.save_completion(DEFAULT, completion("a"))
    assert await store.delete_completion(DEFAULT, "chatcmpl-a") is True
    assert await store.delete_completion(DEFAULT, "chatcmpl-a") is False
    assert await store.completion(DEFAULT, "chatcmpl-a") is None
    assert await store.update_completion(DEFAULT, "chatcmpl-a", {}) is None
    assert await ids(store, PageQuery()) == ([], False)


async def test_completions_expire(store: Storage) -> None:
    for name, until in (("a", 10.0), ("b", 20.0), ("c", None)):
        await store.save_completion(DEFAULT, structs.replace(completion(name), expires_at=until))
    await store.save_completion(OTHER, structs.replace(completion("a"), expires_at=10.0))
    assert await store.expire(9.0) == 0
    assert await store.expire(10.0) == 2
    assert await store.expire(10.0) == 0
    assert await ids(store, PageQuery(order="asc")) == (["b", "c"], False)
    assert await store.completion(OTHER, "chatcmpl-a") is None


async def test_a_completion_of_another_project_is_like_one_that_does_not_exist(store: Storage) -> None:
    await store.save_completion(DEFAULT, completion("a"))
    for _ in range(2):
        assert await store.completion(OTHER, "chatcmpl-a") is None
        assert await store.completions(OTHER, PageQuery(), None, {}) == ((), False)
        with pytest.raises(InvalidRequestError):
            await store.completions(OTHER, PageQuery(after="chatcmpl-a"), None, {})
        assert await store.update_completion(OTHER, "chatcmpl-a", {"x": "y"}) is None
        assert await store.delete_completion(OTHER, "chatcmpl-a") is False
    await store.save_completion(OTHER, completion("a", "their/model"))
    assert await store.completion(DEFAULT, "chatcmpl-a") == completion("a")
