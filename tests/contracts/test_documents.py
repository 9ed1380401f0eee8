"""The contract of the port `VectorStores`, kept by every kind of store: the work of ingesting documents."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from antiphon.core.status import IllegalMoveError
from antiphon.ports.storage import Storage
from antiphon.ports.vector_stores import ClaimedFile
from antiphon.wire.vector_stores import LastError
from tests.contracts.shelves import (
    DAY,
    LATER,
    NOW,
    attach,
    batch,
    begin,
    claim,
    counts,
    ended,
    joining,
    save,
    shelf,
    stands,
)
from tests.contracts.turns import DEFAULT, OTHER


def documents(claimed: list[ClaimedFile]) -> list[str]:
    """Their ids."""
    return [one.document for one in claimed]


async def renewed(store: Storage, *claimed: ClaimedFile, owner: str = "me", until: float = LATER + 30) -> list[str]:
    """Those that are still theirs."""
    return list(await store.vector_stores.renew_files(owner, [(one.document, one.fence) for one in claimed], until))


# claims


async def test_a_claimant_gets_all_that_the_ingestion_needs(store: Storage) -> None:
    await begin(store, "a")
    (found,) = await claim(store)
    assert found == ClaimedFile(
        project=DEFAULT,
        document="doc_a_1",
        file=joining("a").file,
        store=await stands(store),
        fence=1,
        recoveries=0,
    )
    assert found.store.status == "in_progress"


async def test_the_oldest_documents_are_claimed_first_and_once(store: Storage) -> None:
    await begin(store, "c", "a")
    await begin(store, "b", project=OTHER)
    await save(store, "d")
    await attach(store, joining("d"))
    assert documents(await claim(store, most=2)) == ["doc_c_1", "doc_a_1"]
    (third, last) = await claim(store, "you", most=9)
    assert (third.project, third.file.id) == (OTHER, "file-b")
    assert (last.project, last.document) == (DEFAULT, "doc_d_1")
    assert await claim(store, "you", most=9) == []


async def test_nothing_is_claimed_where_nothing_waits(store: Storage) -> None:
    assert await claim(store) == []
    await begin(store, "a")
    assert await claim(store, most=0) == []
    (found,) = await claim(store)
    assert await store.vector_stores.finish_file(ended(found)) is True
    assert await claim(store, now=LATER + 1) == []


async def test_of_many_claimants_one_gets_the_document(store: Storage) -> None:
    names = [str(at) for at in range(20)]
    await begin(store, *names)
    found = await asyncio.gather(*(claim(store, str(at), most=3) for at in range(20)))
    claimed = [one.document for some in found for one in some]
    assert sorted(claimed) == sorted(f"doc_{name}_1" for name in names)


async def test_a_project_holds_no_more_leases_than_it_may(store: Storage) -> None:
    await begin(store, "a", "b", "c")
    await begin(store, "d", project=OTHER)
    rows = store.vector_stores
    first = await rows.claim_files("me", NOW, LATER, 10, 2)
    assert [(one.project, one.file.id) for one in first] == [
        (DEFAULT, "file-a"),
        (DEFAULT, "file-b"),
        (OTHER, "file-d"),
    ]
    assert await rows.claim_files("you", NOW, LATER, 10, 2) == []
    assert await rows.finish_file(ended(first[0])) is True
    assert documents(await rows.claim_files("you", NOW, LATER, 10, 2)) == ["doc_c_1"]


async def test_a_lease_that_has_passed_does_not_count(store: Storage) -> None:
    await begin(store, "a", "b")
    await claim(store)
    assert await store.vector_stores.claim_files("you", LATER, LATER + 30, 10, 1) == []
    found = await store.vector_stores.claim_files("you", LATER + 1, LATER + 30, 10, 1)
    assert [(one.document, one.recoveries, one.fence) for one in found] == [("doc_a_1", 1, 2)]
    (again,) = await claim(store, now=LATER + 31, until=LATER + 60)
    assert (again.document, again.recoveries, again.fence) == ("doc_a_1", 2, 3)


async def test_what_changed_meanwhile_is_claimed_as_it_is_now(store: Storage) -> None:
    await begin(store, "a", days=1)
    await store.vector_stores.set_attributes(DEFAULT, "vs_s", "file-a", {"k": True})
    (found,) = await claim(store, now=NOW + DAY, until=NOW + DAY + 30)
    assert (found.file.attributes, found.store.status) == ({"k": True}, "expired")


# leases


async def test_a_lease_is_prolonged(store: Storage) -> None:
    await begin(store, "a", "b")
    (first, second) = await claim(store, most=2)
    assert await renewed(store, first) == ["doc_a_1"]
    assert documents(await claim(store, "you", now=LATER + 1, most=9)) == ["doc_b_1"]
    assert await renewed(store, first, second, until=LATER + 90) == ["doc_a_1"]


async def test_a_lease_that_has_passed_is_prolonged_when_nobody_took_the_document(store: Storage) -> None:
    await begin(store, "a")
    (found,) = await claim(store)
    assert await renewed(store, found, until=LATER + 100) == ["doc_a_1"]
    assert await claim(store, "you", now=LATER + 50) == []


async def test_a_lease_that_was_given_back_is_free_at_once_and_counts_as_no_recovery(store: Storage) -> None:
    await begin(store, "a")
    (found,) = await claim(store)
    assert await renewed(store, found, until=0) == ["doc_a_1"]
    assert await renewed(store, found) == []
    assert await store.vector_stores.finish_file(ended(found)) is False
    (again,) = await claim(store, "you")
    assert (again.fence, again.recoveries) == (2, 0)
    assert await store.vector_stores.finish_file(ended(found)) is False
    assert await store.vector_stores.finish_file(ended(again)) is True


async def test_only_its_owner_prolongs_a_lease(store: Storage) -> None:
    await begin(store, "a")
    (found,) = await claim(store)
    assert await renewed(store, found, owner="you") == []
    assert await renewed(store, structs.replace(found, fence=2)) == []
    assert await renewed(store, structs.replace(found, document="doc_x")) == []
    assert await renewed(store) == []


async def test_who_lost_the_document_commits_nothing(store: Storage) -> None:
    await begin(store, "a")
    (old,) = await claim(store)
    (new,) = await claim(store, "you", now=LATER + 1, until=LATER + 30)
    assert await renewed(store, old) == []
    assert await store.vector_stores.finish_file(ended(old, "failed", size=9)) is False
    assert (await stands(store)).file_counts == counts(in_progress=1)
    assert await renewed(store, new, owner="you") == ["doc_a_1"]
    assert await store.vector_stores.finish_file(ended(new, size=5)) is True
    assert (await stands(store)).usage_bytes == 5


async def test_a_process_that_claims_its_own_again_gets_another_fence(store: Storage) -> None:
    await begin(store, "a")
    (old,) = await claim(store)
    (new,) = await claim(store, now=LATER + 1, until=LATER + 30)
    assert await renewed(store, old) == []
    assert await renewed(store, old, new) == ["doc_a_1"]
    assert await store.vector_stores.finish_file(ended(old)) is False
    assert await store.vector_stores.finish_file(ended(new)) is True


# the end


async def test_the_end_of_an_ingestion_is_seen(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b")
    (first, second) = await claim(store, most=2)
    assert await rows.finish_file(ended(first, size=120, dimension=384)) is True
    assert await rows.finish_file(ended(second, "failed")) is True
    found = await rows.documents(DEFAULT, ["doc_a_1", "doc_b_1"])
    assert found["doc_a_1"] == structs.replace(joining("a").file, status="completed", usage_bytes=120)
    error = LastError(code="server_error", message="It broke.")
    assert found["doc_b_1"] == structs.replace(joining("b").file, status="failed", last_error=error)
    assert [await rows.finish_file(ended(one)) for one in (first, second)] == [False, False]
    assert await renewed(store, first, second) == []


async def test_the_first_vectors_say_what_dimension_the_store_has(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b", "c")
    claimed = await claim(store, most=3)
    seen: list[int | None] = []
    for one, dimension in zip(claimed, (None, 384, 768), strict=True):
        await rows.finish_file(ended(one, dimension=dimension))
        seen.append((await stands(store)).embedding_dimension)
    assert seen == [None, 384, 384]
    given = structs.replace(shelf("s"), name="new")
    updated = await rows.update_store(DEFAULT, given, NOW)
    assert updated is not None
    assert updated.embedding_dimension == 384


async def test_an_ingestion_does_not_end_in_progress(store: Storage) -> None:
    await begin(store, "a")
    (found,) = await claim(store)
    with pytest.raises(IllegalMoveError):
        await store.vector_stores.finish_file(ended(found, "in_progress"))
    assert await store.vector_stores.finish_file(ended(found)) is True


# what happens meanwhile


async def test_a_cancel_ends_the_ingestion(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store)
    await save(store, "a", "b")
    await attach(store, joining("a"), joining("b"), batch="1")
    (found,) = await claim(store)
    assert (await rows.cancel_batch(DEFAULT, "vs_s", "vsfb_1")) is not None
    assert await renewed(store, found) == []
    assert await rows.finish_file(ended(found)) is False
    assert await claim(store, "you", now=LATER + 1, most=9) == []
    assert (await batch(store, "1")).file_counts == counts(cancelled=2)
    assert sorted(await rows.orphans(["doc_a_1", "doc_b_1"])) == ["doc_a_1", "doc_b_1"]


async def test_a_file_that_left_the_store_is_not_ingested(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b")
    (found,) = await claim(store)
    for name in ("a", "b"):
        await rows.detach(DEFAULT, "vs_s", f"file-{name}")
    assert await renewed(store, found) == []
    assert await rows.finish_file(ended(found)) is False
    assert await claim(store, "you", now=LATER + 1, most=9) == []
    await attach(store, joining("a", take=2))
    assert await rows.finish_file(ended(found)) is False
    assert documents(await claim(store, "you", now=LATER + 1, most=9)) == ["doc_a_2"]


async def test_the_files_of_a_deleted_store_are_not_ingested(store: Storage) -> None:
    rows = store.vector_stores
    await begin(store, "a", "b")
    (found,) = await claim(store)
    assert await rows.delete_store(DEFAULT, "vs_s") is True
    assert await renewed(store, found) == []
    assert await rows.finish_file(ended(found)) is False
    assert await claim(store, "you", now=LATER + 1, most=9) == []
    assert sorted(await rows.orphans(["doc_a_1", "doc_b_1"])) == ["doc_a_1", "doc_b_1"]


async def test_documents_are_nobodys_unless_they_are_searched_or_will_be(store: Storage) -> None:
    await begin(store, "done", "failed", "claimed", "waiting")
    await begin(store, "other", project=OTHER)
    (done, failed, _) = await claim(store, most=3)
    await store.vector_stores.finish_file(ended(done))
    await store.vector_stores.finish_file(ended(failed, "failed"))
    asked = ["doc_done_1", "doc_failed_1", "doc_claimed_1", "doc_x", "doc_waiting_1", f"doc_other_1_{OTHER}"]
    assert list(await store.vector_stores.orphans(asked)) == ["doc_failed_1", "doc_x"]
    assert list(await store.vector_stores.orphans([])) == []
