"""The contract of the port `Files`, kept by every kind of store."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from msgspec import structs

from antiphon.core.status import IllegalMoveError
from antiphon.ports.files import Gone, StoredUpload
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import InvalidRequestError, StoreError
from tests.contracts.shelves import (
    DAY,
    NOW,
    OLDEST,
    begin,
    claim,
    counts,
    ended,
    file,
    joining,
    members,
    names,
    part,
    save,
    shelf,
    stands,
    upload,
)
from tests.contracts.turns import DEFAULT, OTHER


def over(name: str, status: Literal["completed", "cancelled"], *, until: int = NOW + 3600) -> StoredUpload:
    """`upload_<name>` at its end, with `file-<name>` when it is completed."""
    given = upload(name, until=until)
    shown = structs.replace(given.upload, status=status)
    if status == "completed":
        shown = structs.replace(shown, file=file(name).file)
    return structs.replace(given, upload=shown)


async def listed(store: Storage, page: PageQuery, purpose: str | None = None, now: float = NOW) -> tuple[str, bool]:
    """The names on the page, and whether there are more."""
    found, more = await store.files.list_files(DEFAULT, page, purpose, now)
    return "".join(names(found)), more


async def collected(store: Storage, now: float) -> list[Gone]:
    """All that is collected now."""
    gone: list[Gone] = []
    while some := await store.files.expire_files(now):
        assert len(some) <= 500
        gone += some
    return gone


# files


async def test_a_file_is_read_back_equal(store: Storage) -> None:
    await store.files.save_file(DEFAULT, file("a", expires=NOW + 1))
    assert await store.files.file(DEFAULT, "file-a", NOW) == file("a", expires=NOW + 1)
    assert await store.files.file(DEFAULT, "file-x", NOW) is None
    await save(store, "b")
    assert await store.files.files(DEFAULT, ["file-b", "file-x", "file-b"], NOW) == {"file-b": file("b")}
    assert await store.files.files(DEFAULT, [], NOW) == {}
    many = ["file-a", *(f"file-{at}" for at in range(100))]
    assert list(await store.files.files(DEFAULT, many, NOW)) == ["file-a"]


async def test_the_same_file_is_not_saved_twice(store: Storage) -> None:
    await save(store, "a")
    with pytest.raises(StoreError):
        await store.files.save_file(DEFAULT, structs.replace(file("a"), media="never"))
    assert await store.files.file(DEFAULT, "file-a", NOW) == file("a")


async def test_a_deleted_file_is_gone(store: Storage) -> None:
    await save(store, "a", "b")
    assert await store.files.delete_file(DEFAULT, "file-a") is True
    assert await store.files.delete_file(DEFAULT, "file-a") is False
    assert await store.files.file(DEFAULT, "file-a", NOW) is None
    assert await listed(store, OLDEST) == ("b", False)


async def test_files_are_listed_by_creation_and_purpose(store: Storage) -> None:
    for name, purpose in (("c", "batch"), ("a", "assistants"), ("d", "batch"), ("b", "assistants"), ("e", "batch")):
        await store.files.save_file(DEFAULT, file(name, purpose=purpose))
    assert await listed(store, OLDEST) == ("cadbe", False)
    assert await listed(store, PageQuery(limit=2)) == ("eb", True)
    assert await listed(store, PageQuery(limit=2, after="file-b")) == ("da", True)
    assert await listed(store, PageQuery(limit=9, after="file-b")) == ("dac", False)
    assert await listed(store, OLDEST, "batch") == ("cde", False)
    assert await listed(store, PageQuery(limit=1, order="asc"), "batch") == ("c", True)
    assert await listed(store, PageQuery(limit=1, order="asc", after="file-a"), "batch") == ("d", True)
    assert await listed(store, PageQuery(order="asc", before="file-b"), "assistants") == ("a", False)
    assert await listed(store, OLDEST, "vision") == ("", False)


@pytest.mark.parametrize("page", [PageQuery(after="file-x"), PageQuery(before="file-x")])
async def test_a_list_of_files_knows_its_cursors(store: Storage, page: PageQuery) -> None:
    await save(store, "a")
    with pytest.raises(InvalidRequestError) as refused:
        await store.files.list_files(DEFAULT, page, None, NOW)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "after" if page.after else "before")


async def test_an_expired_file_answers_as_one_that_does_not_exist(store: Storage) -> None:
    await store.files.save_file(DEFAULT, file("a", expires=NOW + 10))
    await save(store, "b")
    for now, there in ((NOW + 9, "ab"), (NOW + 10, "b")):
        assert (await store.files.file(DEFAULT, "file-a", now) is not None) == ("a" in there)
        assert (
            "".join(names([one.file for one in (await store.files.files(DEFAULT, ["file-a", "file-b"], now)).values()]))
            == there
        )
        assert await listed(store, OLDEST, now=now) == (there, False)
    with pytest.raises(InvalidRequestError):
        await listed(store, PageQuery(after="file-a"), now=NOW + 10)


async def test_a_file_of_another_project_is_like_one_that_does_not_exist(store: Storage) -> None:
    await save(store, "a")
    for _ in range(2):
        assert await store.files.file(OTHER, "file-a", NOW) is None
        assert await store.files.files(OTHER, ["file-a"], NOW) == {}
        assert await store.files.list_files(OTHER, OLDEST, None, NOW) == ((), False)
        with pytest.raises(InvalidRequestError):
            await store.files.list_files(OTHER, PageQuery(after="file-a"), None, NOW)
        assert await store.files.delete_file(OTHER, "file-a") is False
    await save(store, "a", project=OTHER)
    assert await store.files.delete_file(OTHER, "file-a") is True
    assert await store.files.file(DEFAULT, "file-a", NOW) == file("a")


async def test_a_deleted_file_leaves_every_vector_store(store: Storage) -> None:
    await begin(store, "a", "b")
    rows = store.vector_stores
    await rows.create_store(DEFAULT, shelf("t"), [joining("a", "t")])
    await begin(store, "a", project=OTHER)
    assert list(await rows.stores_of(DEFAULT, "file-a")) == ["vs_s", "vs_t"]
    claimed = await claim(store, most=9)
    assert await store.files.delete_file(DEFAULT, "file-a") is True
    assert list(await rows.stores_of(DEFAULT, "file-a")) == []
    assert (await stands(store)).file_counts == counts(in_progress=1)
    assert (await stands(store, "t")).file_counts == counts()
    assert (await stands(store, project=OTHER)).file_counts == counts(in_progress=1)
    assert await members(store) == ["b"]
    assert await rows.member(DEFAULT, "vs_t", "file-a") is None
    mine = [one for one in claimed if one.project == DEFAULT and one.file.id == "file-a"]
    assert len(mine) == 2
    assert list(await rows.renew_files("me", [(one.document, one.fence) for one in mine], NOW + 60)) == []
    assert [await rows.finish_file(ended(one)) for one in mine] == [False, False]
    assert sorted(await rows.orphans([one.document for one in mine])) == ["doc_a_1", "doc_a_1_t"]


# uploads


async def test_an_upload_is_read_back_equal(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    assert await store.files.upload(DEFAULT, "upload_a") == upload("a")
    assert await store.files.upload(DEFAULT, "upload_x") is None
    assert await store.files.upload(OTHER, "upload_a") is None
    with pytest.raises(StoreError):
        await store.files.save_upload(DEFAULT, upload("a"))


async def test_parts_are_kept_in_the_order_they_came(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    await store.files.save_upload(DEFAULT, upload("b"))
    for name, of in (("3", "a"), ("x", "b"), ("1", "a"), ("2", "a")):
        assert await store.files.add_part(DEFAULT, part(name, of)) is True
    assert list(await store.files.parts(DEFAULT, "upload_a")) == [part("3", "a"), part("1", "a"), part("2", "a")]
    for project, of in ((OTHER, "a"), (DEFAULT, "x")):
        assert await store.files.add_part(project, part("never", of)) is False
        assert list(await store.files.parts(project, f"upload_{of}")) == []


async def test_a_completed_upload_leaves_a_file(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    await store.files.add_part(DEFAULT, part("1", "a"))
    assert await store.files.end_upload(OTHER, over("a", "completed"), file("a")) is False
    assert await store.files.end_upload(DEFAULT, over("a", "completed"), file("a")) is True
    assert await store.files.upload(DEFAULT, "upload_a") == over("a", "completed")
    assert await store.files.file(DEFAULT, "file-a", NOW) == file("a")


async def test_an_upload_that_is_over_stays_as_it_is(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    await store.files.add_part(DEFAULT, part("1", "a"))
    assert await store.files.end_upload(DEFAULT, over("a", "cancelled"), None) is True
    assert await store.files.add_part(DEFAULT, part("2", "a")) is False
    assert await store.files.end_upload(DEFAULT, over("a", "completed"), file("a")) is False
    assert await store.files.end_upload(DEFAULT, over("a", "cancelled"), None) is False
    assert await store.files.upload(DEFAULT, "upload_a") == over("a", "cancelled")
    assert await store.files.file(DEFAULT, "file-a", NOW) is None
    assert list(await store.files.parts(DEFAULT, "upload_a")) == [part("1", "a")]
    assert await store.files.end_upload(DEFAULT, over("x", "cancelled"), None) is False


async def test_of_many_ends_of_an_upload_one_counts(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    found = await asyncio.gather(
        *(store.files.end_upload(DEFAULT, over("a", "completed"), file("a")) for _ in range(5)),
        *(store.files.end_upload(DEFAULT, over("a", "cancelled"), None) for _ in range(5)),
    )
    assert sorted(found) == [False] * 9 + [True]


async def test_an_upload_does_not_end_pending(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    with pytest.raises(IllegalMoveError):
        await store.files.end_upload(DEFAULT, upload("a"), None)


async def test_an_upload_whose_file_cannot_be_stored_stays_pending(store: Storage) -> None:
    await save(store, "a")
    await store.files.save_upload(DEFAULT, upload("a"))
    with pytest.raises(StoreError):
        await store.files.end_upload(DEFAULT, over("a", "completed"), file("a"))
    assert await store.files.upload(DEFAULT, "upload_a") == upload("a")


# collection


async def test_expired_files_are_collected_with_their_memberships(store: Storage) -> None:
    await begin(store, "a")
    rows = store.vector_stores
    for project, name, until in ((DEFAULT, "b", NOW + 10), (OTHER, "c", NOW + 10), (DEFAULT, "d", NOW + 11)):
        await store.files.save_file(project, file(name, expires=until))
    await rows.attach(DEFAULT, "vs_s", [joining("b")], None, NOW)
    assert await collected(store, NOW + 9) == []
    gone = await collected(store, NOW + 10)
    assert sorted((one.project, one.name) for one in gone) == [(OTHER, "file-c"), (DEFAULT, "file-b")]
    assert await members(store) == ["a"]
    assert (await stands(store)).file_counts == counts(in_progress=1)
    assert list(await rows.orphans(["doc_a_1", "doc_b_1"])) == ["doc_b_1"]
    assert await store.files.file(DEFAULT, "file-b", NOW) is None
    assert await store.files.file(DEFAULT, "file-d", NOW + 10) is not None
    assert await store.files.delete_file(DEFAULT, "file-b") is False


async def test_many_expired_files_are_collected_in_parts(store: Storage) -> None:
    for at in range(1200):
        await store.files.save_file(DEFAULT, file(f"{at}", expires=NOW))
    gone = await collected(store, NOW)
    assert sorted(one.name for one in gone) == sorted(f"file-{at}" for at in range(1200))
    assert await listed(store, OLDEST, now=NOW - 1) == ("", False)


async def test_parts_of_uploads_that_are_over_are_collected(store: Storage) -> None:
    for name in ("pending", "completed", "cancelled"):
        await store.files.save_upload(DEFAULT, upload(name))
        await store.files.add_part(DEFAULT, part(name, name))
    await store.files.end_upload(DEFAULT, over("completed", "completed"), file("completed"))
    await store.files.end_upload(DEFAULT, over("cancelled", "cancelled"), None)
    gone = await collected(store, NOW)
    assert sorted(one.name for one in gone) == ["part_cancelled", "part_completed"]
    assert list(await store.files.parts(DEFAULT, "upload_pending")) == [part("pending", "pending")]
    assert list(await store.files.parts(DEFAULT, "upload_completed")) == []
    assert await store.files.upload(DEFAULT, "upload_completed") == over("completed", "completed")


async def test_an_upload_whose_time_has_passed_expires(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    await store.files.save_upload(OTHER, upload("b", until=NOW + 9999))
    await store.files.add_part(DEFAULT, part("1", "a"))
    await store.files.add_part(OTHER, part("2", "b"))
    assert await collected(store, NOW + 3600) == [Gone(DEFAULT, "part_1")]
    found = await store.files.upload(DEFAULT, "upload_a")
    assert found is not None
    assert found == structs.replace(upload("a"), upload=structs.replace(upload("a").upload, status="expired"))
    assert await store.files.add_part(DEFAULT, part("3", "a")) is False
    assert await store.files.end_upload(DEFAULT, over("a", "completed"), file("a")) is False
    assert await store.files.upload(OTHER, "upload_b") == upload("b", until=NOW + 9999)


async def test_the_row_of_an_upload_goes_a_day_after_its_time(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    await store.files.save_upload(DEFAULT, upload("b"))
    await store.files.end_upload(DEFAULT, over("b", "completed"), file("b"))
    for now, there in ((NOW + 3600 + DAY - 1, True), (NOW + 3600 + DAY, False)):
        assert await collected(store, now) == []
        assert (await store.files.upload(DEFAULT, "upload_a") is not None) == there
        assert (await store.files.upload(DEFAULT, "upload_b") is not None) == there
    assert await store.files.file(DEFAULT, "file-b", NOW) == file("b")


async def test_an_upload_of_many_parts_is_collected_in_parts(store: Storage) -> None:
    await store.files.save_upload(DEFAULT, upload("a"))
    for at in range(1100):
        await store.files.add_part(DEFAULT, part(f"{at}", "a"))
    assert len(await store.files.parts(DEFAULT, "upload_a")) == 1100
    assert len(await collected(store, NOW + 3600 + 2 * DAY)) == 1100
    assert await store.files.expire_files(NOW + 3600 + 2 * DAY) in ([], ())
    assert await store.files.upload(DEFAULT, "upload_a") is None
