"""The contract of the port `VectorStores`, kept by every kind of store: stores, their files, batches."""

from __future__ import annotations

import pytest
from msgspec import structs

from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Member
from antiphon.wire.errors import InvalidRequestError, StoreError
from antiphon.wire.vector_stores import (
    Chunking,
    ContextualOptions,
    ContextualStrategy,
    ExpiresAfter,
    OtherStrategy,
    StaticStrategy,
    Strategy,
)
from tests.contracts.shelves import (
    DAY,
    NOW,
    OLDEST,
    attach,
    batch,
    begin,
    counts,
    file,
    ingest,
    joining,
    members,
    pack,
    save,
    shelf,
    stands,
)
from tests.contracts.turns import DEFAULT, OTHER

# stores


async def test_a_store_is_read_back_equal(store: Storage) -> None:
    rows = store.vector_stores
    assert await rows.create_store(DEFAULT, shelf("a", days=2), []) == shelf("a", days=2)
    assert await rows.store(DEFAULT, "vs_a", NOW) == shelf("a", days=2)
    assert await rows.store(DEFAULT, "vs_x", NOW) is None
    with pytest.raises(StoreError):
        await rows.create_store(DEFAULT, structs.replace(shelf("a"), name="never"), [])
    assert await rows.store(DEFAULT, "vs_a", NOW) == shelf("a", days=2)


async def test_a_store_begins_with_its_first_files(store: Storage) -> None:
    await save(store, "a", "b")
    given = [joining("a"), joining("x"), joining("b"), joining("a", take=2)]
    made = await store.vector_stores.create_store(DEFAULT, shelf("s"), given)
    assert (made.status, made.file_counts, made.usage_bytes) == ("in_progress", counts(in_progress=2), 0)
    assert made == await stands(store)
    assert await members(store) == ["a", "b"]


async def test_the_files_say_how_a_store_stands(store: Storage) -> None:
    await begin(store, "a", "b", "c")
    await ingest(store, size=100)
    found = await stands(store)
    assert (found.status, found.file_counts) == ("in_progress", counts(in_progress=2, completed=1))
    await ingest(store, status="failed", size=7)
    await ingest(store, size=20)
    found = await stands(store)
    assert (found.status, found.file_counts) == ("completed", counts(completed=2, failed=1))
    assert found.usage_bytes == 127
    await store.vector_stores.detach(DEFAULT, "vs_s", "file-a")
    found = await stands(store)
    assert (found.file_counts, found.usage_bytes) == (counts(completed=1, failed=1), 27)
    await attach(store, joining("b", take=2))
    found = await stands(store)
    assert (found.status, found.file_counts, found.usage_bytes) == (
        "in_progress",
        counts(in_progress=1, completed=1),
        20,
    )


async def test_stores_are_listed_by_creation_as_they_stand(store: Storage) -> None:
    rows = store.vector_stores
    await save(store, "f")
    for name in ("c", "a", "b"):
        await rows.create_store(DEFAULT, shelf(name), [joining("f", name)] if name == "a" else [])
    found, more = await rows.list_stores(DEFAULT, OLDEST, NOW)
    assert ([one.id for one in found], more) == (["vs_c", "vs_a", "vs_b"], False)
    assert [one.status for one in found] == ["completed", "in_progress", "completed"]
    for page, expected in (
        (PageQuery(limit=2), (["vs_b", "vs_a"], True)),
        (PageQuery(limit=2, after="vs_b"), (["vs_a", "vs_c"], False)),
        (PageQuery(limit=1, before="vs_c"), (["vs_a"], True)),
        (PageQuery(order="asc", before="vs_b", after="vs_c"), (["vs_a"], False)),
    ):
        found, more = await rows.list_stores(DEFAULT, page, NOW)
        assert ([one.id for one in found], more) == expected
    with pytest.raises(InvalidRequestError) as refused:
        await rows.list_stores(DEFAULT, PageQuery(before="vs_x"), NOW)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "before")


async def test_a_store_is_updated(store: Storage) -> None:
    await begin(store, "a", days=1)
    given = structs.replace(
        shelf("s"),
        name="new",
        description="about",
        metadata={},
        expires_after=ExpiresAfter(anchor="last_active_at", days=3),
        expires_at=NOW + 3 * DAY,
        embedding_model="never",
        last_active_at=5,
    )
    found = await store.vector_stores.update_store(DEFAULT, given, NOW)
    assert found is not None
    assert found == structs.replace(
        given,
        embedding_model="test/embedder",
        last_active_at=NOW,
        status="in_progress",
        file_counts=counts(in_progress=1),
    )
    assert await stands(store) == found
    assert await store.vector_stores.update_store(DEFAULT, shelf("x"), NOW) is None
    assert await store.vector_stores.update_store(OTHER, given, NOW) is None


async def test_a_deleted_store_is_gone_and_its_files_stay(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b")
    await attach(store, joining("b"), batch="b")
    assert await rows.delete_store(DEFAULT, "vs_s") is True
    assert await rows.delete_store(DEFAULT, "vs_s") is False
    assert await rows.store(DEFAULT, "vs_s", NOW) is None
    assert await rows.list_stores(DEFAULT, OLDEST, NOW) in (((), False), ([], False))
    assert await rows.member(DEFAULT, "vs_s", "file-a") is None
    assert await members(store) == await members(store, batch="b") == []
    assert await rows.batch(DEFAULT, "vs_s", "vsfb_b") is None
    assert await rows.attach(DEFAULT, "vs_s", [joining("a", take=2)], None, NOW) is None
    assert await rows.documents(DEFAULT, ["doc_a_1", "doc_b_1"]) == {}
    assert list(await rows.stores_of(DEFAULT, "file-a")) == []
    assert await store.files.file(DEFAULT, "file-a", NOW) == file("a")
    assert await rows.create_store(DEFAULT, shelf("s"), []) == shelf("s")
    assert await members(store) == []


async def test_a_large_store_is_deleted_whole(store: Storage) -> None:
    names = [str(at) for at in range(1300)]
    await begin(store, *names)
    for at in range(520):
        await attach(store, joining(names[at]), batch=str(at))
    await store.vector_stores.create_store(DEFAULT, shelf("t"), [joining("7", "t")])
    assert await store.vector_stores.delete_store(DEFAULT, "vs_s") is True
    documents = [f"doc_{name}_1" for name in names]
    assert list(await store.vector_stores.orphans([*documents, "doc_7_1_t"])) == documents
    assert (await stands(store, "t")).file_counts == counts(in_progress=1)


# use and expiry


async def test_a_store_is_used(store: Storage) -> None:
    rows = store.vector_stores
    await rows.create_store(DEFAULT, shelf("a", days=1), [])
    await rows.create_store(DEFAULT, shelf("b"), [])
    await rows.touch_stores(DEFAULT, ["vs_a", "vs_x", "vs_b", "vs_a"], NOW + 100.5)
    found = await stands(store, "a")
    assert (found.last_active_at, found.expires_at) == (NOW + 100, NOW + 100 + DAY)
    found = await stands(store, "b")
    assert (found.last_active_at, found.expires_at) == (NOW + 100, None)
    await rows.touch_stores(DEFAULT, ["vs_a"], NOW + 159)
    assert (await stands(store, "a")).last_active_at == NOW + 100
    await rows.touch_stores(OTHER, ["vs_a"], NOW + 1000)
    assert (await stands(store, "a")).last_active_at == NOW + 100
    await rows.touch_stores(DEFAULT, ["vs_a"], NOW + 160)
    assert (await stands(store, "a")).expires_at == NOW + 160 + DAY


async def test_attaching_is_a_use(store: Storage) -> None:
    await begin(store, days=1)
    await save(store, "a")
    await attach(store, joining("a"), now=NOW + 7)
    found = await stands(store)
    assert (found.last_active_at, found.expires_at) == (NOW + 7, NOW + 7 + DAY)


async def test_changing_is_a_use(store: Storage) -> None:
    await begin(store, days=1)
    given = structs.replace(shelf("s", days=1), name="new")
    found = await store.vector_stores.update_store(DEFAULT, given, NOW + 7)
    assert found is not None
    assert (found.last_active_at, found.expires_at) == (NOW + 7, NOW + 7 + DAY)


async def test_what_is_expired_stays_so(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", days=1)
    late = NOW + DAY
    assert (await stands(store, now=late - 1)).status == "in_progress"
    assert (await stands(store, now=late)).status == "expired"
    assert [one.status for one in (await rows.list_stores(DEFAULT, OLDEST, late))[0]] == ["expired"]
    await rows.touch_stores(DEFAULT, ["vs_s"], late)
    found = await rows.update_store(DEFAULT, structs.replace(shelf("s", days=9), name="new"), late)
    assert found is not None
    assert (found.name, found.status, found.expires_at) == ("new", "expired", late)
    await save(store, "b")
    await attach(store, joining("b"), now=late)
    assert (await stands(store, now=late)).expires_at == late


async def test_expired_stores_are_named_until_they_are_emptied(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b", days=1)
    await rows.create_store(DEFAULT, shelf("t", days=2), [])
    await rows.create_store(OTHER, shelf("u", days=1), [])
    late = NOW + DAY
    assert list(await rows.expired_stores(late - 1)) == []
    assert sorted(await rows.expired_stores(late)) == [(OTHER, "vs_u"), (DEFAULT, "vs_s")]
    assert list(await rows.empty_store(OTHER, "vs_u")) == []
    assert list(await rows.empty_store(OTHER, "vs_s")) == []
    assert list(await rows.orphans(["doc_a_1"])) == []
    assert list(await rows.empty_store(DEFAULT, "vs_s")) == ["doc_a_1", "doc_b_1"]
    assert list(await rows.expired_stores(late)) == []
    assert await members(store) == ["a", "b"]
    assert list(await rows.orphans(["doc_a_1", "doc_x"])) == ["doc_a_1", "doc_x"]
    found = await stands(store, now=late)
    assert (found.status, found.file_counts) == ("expired", counts(in_progress=2))


# files in stores


STRATEGIES: list[Strategy] = [
    StaticStrategy(static=Chunking(max_chunk_size_tokens=100, chunk_overlap_tokens=0)),
    ContextualStrategy(contextual=ContextualOptions(model="m", context_prompt="Say {{ it }}.")),
    OtherStrategy(),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_member_is_read_back_equal(store: Storage, strategy: Strategy) -> None:
    await begin(store)
    await save(store, "a")
    given = joining("a", text="ä\"'", number=1, share=0.5, whole=1.0, yes=True)
    given = structs.replace(given, file=structs.replace(given.file, chunking_strategy=strategy))
    attached = await store.vector_stores.attach(DEFAULT, "vs_s", [given], None, NOW)
    assert attached is not None
    assert (list(attached[0]), list(attached[1])) == ([given.file], [])
    found = await store.vector_stores.member(DEFAULT, "vs_s", "file-a")
    assert found is not None
    assert found == Member("doc_a_1", given.file)
    assert [type(one) for one in found.file.attributes.values()] == [str, int, float, float, bool]
    assert await store.vector_stores.documents(DEFAULT, ["doc_a_1", "doc_x"]) == {"doc_a_1": given.file}


async def test_a_file_that_is_attached_again_stays_as_it_is(store: Storage) -> None:
    await begin(store, "a", "b")
    await ingest(store)
    again = [joining("a", take=2, new=True), joining("b", take=2), joining("b", take=3)]
    assert await attach(store, *again) == (["completed", "in_progress", "in_progress"], [])
    found = await store.vector_stores.member(DEFAULT, "vs_s", "file-a")
    assert found is not None
    assert (found.document, found.file.attributes) == ("doc_a_1", {})
    assert (await stands(store)).file_counts == counts(in_progress=1, completed=1)


async def test_a_failed_file_is_tried_again(store: Storage) -> None:
    await begin(store, "a", "b")
    await ingest(store, status="failed", size=5)
    failed = await store.vector_stores.member(DEFAULT, "vs_s", "file-a")
    assert failed is not None
    assert failed.file.last_error is not None
    again = joining("a", take=2, new=True)
    assert await attach(store, again) == (["in_progress"], ["doc_a_1"])
    assert await store.vector_stores.member(DEFAULT, "vs_s", "file-a") == Member("doc_a_2", again.file)
    assert await store.vector_stores.documents(DEFAULT, ["doc_a_1"]) == {}
    assert list(await store.vector_stores.orphans(["doc_a_1", "doc_a_2"])) == ["doc_a_1"]
    assert (await stands(store)).file_counts == counts(in_progress=2)
    assert await members(store) == ["b", "a"]


async def test_a_cancelled_file_is_tried_again_outside_of_its_batch(store: Storage) -> None:
    await begin(store)
    await save(store, "a", "b")
    await attach(store, joining("a"), joining("b"), batch="1")
    await store.vector_stores.cancel_batch(DEFAULT, "vs_s", "vsfb_1")
    assert await attach(store, joining("a", take=2)) == (["in_progress"], ["doc_a_1"])
    found = await batch(store, "1")
    assert (found.status, found.file_counts) == ("cancelled", counts(cancelled=1))
    assert await members(store, batch="1") == ["b"]


async def test_files_that_do_not_exist_are_passed_over(store: Storage) -> None:
    await begin(store)
    await save(store, "a")
    await save(store, "o", project=OTHER)
    await store.files.save_file(DEFAULT, file("e", expires=NOW))
    assert await attach(store, joining("x"), joining("a"), joining("e"), joining("o"), batch="1") == (
        ["in_progress"],
        [],
    )
    assert await members(store) == await members(store, batch="1") == ["a"]


async def test_a_file_may_be_in_several_stores(store: Storage) -> None:
    await begin(store, "a")
    rows = store.vector_stores
    await rows.create_store(DEFAULT, shelf("t"), [joining("a", "t", colour="red")])
    assert list(await rows.stores_of(DEFAULT, "file-a")) == ["vs_s", "vs_t"]
    assert await rows.detach(DEFAULT, "vs_s", "file-a") == Member("doc_a_1", joining("a").file)
    assert await rows.detach(DEFAULT, "vs_s", "file-a") is None
    assert list(await rows.stores_of(DEFAULT, "file-a")) == ["vs_t"]
    found = await rows.member(DEFAULT, "vs_t", "file-a")
    assert found == Member("doc_a_1_t", joining("a", "t", colour="red").file)


async def test_attributes_are_replaced(store: Storage) -> None:
    await begin(store, "a")
    rows = store.vector_stores
    labelled = await rows.set_attributes(DEFAULT, "vs_s", "file-a", {"k": 1.5})
    assert labelled == Member("doc_a_1", joining("a", k=1.5).file)
    assert await rows.member(DEFAULT, "vs_s", "file-a") == labelled
    assert await rows.set_attributes(DEFAULT, "vs_s", "file-a", {}) == Member("doc_a_1", joining("a").file)
    assert await rows.set_attributes(DEFAULT, "vs_s", "file-x", {}) is None
    assert await rows.set_attributes(DEFAULT, "vs_x", "file-a", {}) is None


async def test_members_are_listed_as_they_were_attached(store: Storage) -> None:
    await begin(store, "c", "a", "e", "b", "d")
    await ingest(store, count=2)
    await ingest(store, status="failed")
    assert await members(store) == ["c", "a", "e", "b", "d"]
    assert await members(store, PageQuery(limit=2)) == ["d", "b"]
    assert await members(store, PageQuery(limit=2, after="file-b")) == ["e", "a"]
    assert await members(store, PageQuery(limit=2, before="file-b", order="asc")) == ["a", "e"]
    assert await members(store, status="completed") == ["c", "a"]
    assert await members(store, status="failed") == ["e"]
    assert await members(store, status="cancelled") == []
    assert await members(store, PageQuery(order="asc", after="file-a"), status="in_progress") == ["b", "d"]
    assert await members(store, PageQuery(before="file-e"), status="in_progress") == ["d", "b"]
    for page, more in ((PageQuery(limit=2), True), (PageQuery(limit=3), False)):
        found = await store.vector_stores.members(DEFAULT, "vs_s", page, "in_progress", None)
        assert found[1] is (more and page.limit < 2)


async def test_a_list_of_members_knows_its_cursors(store: Storage) -> None:
    await begin(store, "a")
    await save(store, "b")
    for page in (PageQuery(after="file-b"), PageQuery(before="file-b"), PageQuery(after="file-x")):
        with pytest.raises(InvalidRequestError) as refused:
            await members(store, page)
        assert (refused.value.code, refused.value.param) == ("invalid_value", "after" if page.after else "before")
    with pytest.raises(InvalidRequestError):
        await members(store, PageQuery(after="file-a"), of="x")
    await attach(store, joining("b"), batch="1")
    with pytest.raises(InvalidRequestError):
        await members(store, PageQuery(after="file-a"), batch="1")


# batches


async def test_a_batch_stands_as_its_files_do(store: Storage) -> None:
    await begin(store)
    await save(store, "a", "b", "c")
    await attach(store, joining("c"), joining("a"), batch="1")
    await attach(store, joining("b"))
    found = await batch(store, "1")
    assert found == structs.replace(pack("1"), file_counts=counts(in_progress=2))
    assert await members(store, batch="1") == ["c", "a"]
    await ingest(store)
    assert (await batch(store, "1")).file_counts == counts(in_progress=1, completed=1)
    assert await members(store, batch="1", status="completed") == ["c"]
    assert await members(store, PageQuery(limit=1), batch="1") == ["a"]
    assert await members(store, PageQuery(after="file-a"), batch="1") == ["c"]
    await ingest(store, status="failed")
    found = await batch(store, "1")
    assert (found.status, found.file_counts) == ("completed", counts(completed=1, failed=1))
    await store.vector_stores.detach(DEFAULT, "vs_s", "file-c")
    assert (await batch(store, "1")).file_counts == counts(failed=1)


async def test_a_batch_whose_files_all_failed_has_failed(store: Storage) -> None:
    await begin(store)
    await save(store, "a", "b")
    await attach(store, joining("a"), joining("b"), batch="1")
    await ingest(store, count=2, status="failed")
    found = await batch(store, "1")
    assert (found.status, found.file_counts) == ("failed", counts(failed=2))


async def test_a_batch_without_files_is_completed(store: Storage) -> None:
    await begin(store)
    assert await attach(store, batch="1") == ([], [])
    assert await batch(store, "1") == structs.replace(pack("1"), status="completed")


async def test_files_that_are_there_join_the_batch(store: Storage) -> None:
    await begin(store, "a", "b")
    await save(store, "c")
    await ingest(store)
    for name in ("1", "2"):
        await attach(store, joining("c", take=2), joining("b", take=2), joining("a", take=2), batch=name)
        found = await batch(store, name)
        assert (found.status, found.file_counts) == ("in_progress", counts(in_progress=2, completed=1))
        assert await members(store, batch=name) == ["a", "b", "c"]
    await ingest(store, count=2)
    assert [(await batch(store, name)).status for name in ("1", "2")] == ["completed", "completed"]


async def test_a_failed_file_is_tried_again_in_a_new_batch(store: Storage) -> None:
    await begin(store)
    await save(store, "a", "b")
    await attach(store, joining("a"), joining("b"), batch="1")
    await ingest(store, count=2, status="failed")
    assert await attach(store, joining("a", take=2), batch="2") == (["in_progress"], ["doc_a_1"])
    assert (await batch(store, "1")).file_counts == counts(failed=1)
    assert (await batch(store, "2")).file_counts == counts(in_progress=1)


async def test_a_cancelled_batch_is_final(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "other")
    await save(store, "a", "b")
    await attach(store, joining("a"), joining("b"), batch="1")
    await ingest(store, count=2)
    found = await rows.cancel_batch(DEFAULT, "vs_s", "vsfb_1")
    assert found is not None
    assert (found.status, found.file_counts) == ("cancelled", counts(completed=1, cancelled=1))
    assert await rows.cancel_batch(DEFAULT, "vs_s", "vsfb_1") == found == await batch(store, "1")
    assert (await stands(store)).file_counts == counts(completed=2, cancelled=1)
    assert await members(store, status="cancelled") == ["b"]


async def test_a_batch_that_has_ended_is_not_cancelled(store: Storage) -> None:
    await begin(store)
    await save(store, "a")
    await attach(store, joining("a"), batch="1")
    await ingest(store)
    found = await store.vector_stores.cancel_batch(DEFAULT, "vs_s", "vsfb_1")
    assert found is not None
    assert (found.status, found.file_counts) == ("completed", counts(completed=1))


async def test_a_batch_is_known_in_its_store_only(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a")
    await rows.create_store(DEFAULT, shelf("t"), [])
    await attach(store, joining("a"), batch="1")
    for project, of, name in ((DEFAULT, "t", "1"), (DEFAULT, "s", "x"), (DEFAULT, "x", "1"), (OTHER, "s", "1")):
        assert await rows.batch(project, f"vs_{of}", f"vsfb_{name}") is None
        assert await rows.cancel_batch(project, f"vs_{of}", f"vsfb_{name}") is None
        found, more = await rows.members(project, f"vs_{of}", OLDEST, None, f"vsfb_{name}")
        assert (list(found), more) == ([], False)
    assert (await batch(store, "1")).status == "in_progress"
    with pytest.raises(StoreError):
        await attach(store, to="t", batch="1")


async def test_what_is_of_another_project_is_like_what_does_not_exist(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a")
    await save(store, "a", project=OTHER)
    for _ in range(2):
        assert await rows.store(OTHER, "vs_s", NOW) is None
        found, more = await rows.list_stores(OTHER, OLDEST, NOW)
        assert (list(found), more) == ([], False)
        with pytest.raises(InvalidRequestError):
            await rows.list_stores(OTHER, PageQuery(after="vs_s"), NOW)
        assert await rows.delete_store(OTHER, "vs_s") is False
        assert await rows.attach(OTHER, "vs_s", [joining("a", take=2)], None, NOW) is None
        assert await rows.member(OTHER, "vs_s", "file-a") is None
        assert list((await rows.members(OTHER, "vs_s", OLDEST, None, None))[0]) == []
        with pytest.raises(InvalidRequestError):
            await rows.members(OTHER, "vs_s", PageQuery(after="file-a"), None, None)
        assert await rows.documents(OTHER, ["doc_a_1"]) == {}
        assert await rows.set_attributes(OTHER, "vs_s", "file-a", {"k": 1}) is None
        assert await rows.detach(OTHER, "vs_s", "file-a") is None
        assert list(await rows.stores_of(OTHER, "file-a")) == []
    assert (await stands(store)).file_counts == counts(in_progress=1)
    await begin(store, "b", project=OTHER)
    assert (await stands(store, project=OTHER)).file_counts == counts(in_progress=1)
    assert await members(store) == ["a"]
