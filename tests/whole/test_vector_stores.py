"""Vector stores over a real port with the official client: the stores, their files and batches (checklist A.4)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from tests.patience import eventually
from tests.whole.house import Json
from tests.whole.library import MEANING, SMALL, Library, checked, library

UNKNOWN_STORE = "vs_" + "0" * 48
UNKNOWN_FILE = "file-" + "0" * 48


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncGenerator[Library]:
    async with library(tmp_path) as served:
        yield served


def story(sentences: int, word: str = "mill") -> str:
    """A text of many chunks."""
    return " ".join(f"Sentence number {n} of the story tells of the {word} by the river." for n in range(sentences))


# stores


async def test_a_store_is_as_openai_shows_it(shelf: Library) -> None:
    status, made = await shelf.ask("POST", "/vector_stores", {})
    assert status == 200
    checked("VectorStoreObject", made)
    assert made["object"] == "vector_store"
    assert made["id"].startswith("vs_")
    assert (made["name"], made["description"], made["metadata"]) == ("", None, {})
    assert (made["status"], made["usage_bytes"]) == ("completed", 0)
    assert (made["expires_after"], made["expires_at"]) == (None, None)
    assert made["last_active_at"] == made["created_at"]
    assert made["file_counts"] == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    assert (made["embedding_model"], made["embedding_dimension"]) == ("meaning", 256)


async def test_a_store_is_made_with_all_that_can_be_said_of_it(shelf: Library) -> None:
    stores = shelf.client.vector_stores
    made = await stores.create(
        name="Handbook",
        description="How we work",
        metadata={"team": "docs"},
        expires_after={"anchor": "last_active_at", "days": 7},
        file_ids=[await shelf.file("One."), await shelf.file("Two.")],
        chunking_strategy=SMALL,
        extra_body={"provider_id": "faiss", "embedding_model": "meaning", "embedding_dimension": 256},
    )
    assert (made.name, made.metadata) == ("Handbook", {"team": "docs"})
    assert (await shelf.ask("GET", f"/vector_stores/{made.id}"))[1]["description"] == "How we work"
    assert made.expires_after is not None
    assert made.expires_after.days == 7
    assert made.expires_at == made.created_at + 7 * 86_400
    assert made.file_counts.total == 2
    assert made.status in {"in_progress", "completed"}
    _, listed = await shelf.ask("GET", f"/vector_stores/{made.id}/files")
    assert [file["chunking_strategy"] for file in listed["data"]] == [SMALL, SMALL]

    async def ingested() -> bool:
        return (await stores.retrieve(made.id)).status == "completed"

    await eventually(ingested)
    assert (await stores.retrieve(made.id)).file_counts.completed == 2


async def test_the_embedding_model_of_a_store_must_be_there(shelf: Library) -> None:
    create = shelf.client.vector_stores.create
    with pytest.raises(openai.BadRequestError) as raised:
        await create(extra_body={"embedding_model": "nobody's"})
    assert raised.value.param == "embedding_model"
    with pytest.raises(openai.BadRequestError) as raised:
        await create(extra_body={"embedding_dimension": 5})
    assert raised.value.param == "embedding_dimension"


async def test_stores_are_listed_in_pages(shelf: Library) -> None:
    made = [(await shelf.client.vector_stores.create(name=str(n))).id for n in range(5)]
    status, page = await shelf.ask("GET", "/vector_stores?limit=2")
    assert status == 200
    checked("ListVectorStoresResponse", page)
    assert [store["id"] for store in page["data"]] == made[:2:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[4], made[3], True)
    assert [store.id async for store in shelf.client.vector_stores.list(limit=2)] == made[::-1]
    assert [store.id async for store in shelf.client.vector_stores.list(limit=2, order="asc")] == made
    before = await shelf.client.vector_stores.list(before=made[2], order="asc", limit=1)
    assert [store.id for store in before.data] == [made[1]]
    for query in ("limit=0", "limit=101", "order=up", "after=vs_nobody"):
        assert (await shelf.ask("GET", f"/vector_stores?{query}"))[0] == 400


async def test_a_store_is_changed_and_emptied(shelf: Library) -> None:
    stores = shelf.client.vector_stores
    made = await stores.create(name="a", metadata={"k": "v"})
    changed = await stores.update(made.id, name="b", expires_after={"anchor": "last_active_at", "days": 1})
    assert (changed.name, changed.metadata) == ("b", {"k": "v"})
    assert changed.expires_at == changed.last_active_at + 86_400  # type: ignore[operator]
    emptied = await stores.update(made.id, name=None, expires_after=None, metadata=None)
    assert (emptied.name, emptied.metadata, emptied.expires_after, emptied.expires_at) == ("", {}, None, None)
    assert await stores.retrieve(made.id) == emptied


async def test_a_deleted_store_is_gone_and_its_files_stay(shelf: Library) -> None:
    made = await shelf.store("A cat.")
    (file,) = [file.id async for file in shelf.client.vector_stores.files.list(made.id)]
    status, gone = await shelf.ask("DELETE", f"/vector_stores/{made.id}")
    assert (status, gone) == (200, {"id": made.id, "object": "vector_store.deleted", "deleted": True})
    for call in (
        shelf.client.vector_stores.retrieve(made.id),
        shelf.client.vector_stores.delete(made.id),
        shelf.client.vector_stores.search(made.id, query="cat"),
        shelf.client.vector_stores.files.create(made.id, file_id=file),
    ):
        with pytest.raises(openai.NotFoundError, match="not found"):
            await call
    assert (await shelf.client.files.retrieve(file)).id == file


async def test_an_expired_store_takes_and_finds_nothing(shelf: Library) -> None:
    made = await shelf.store("A cat.", expires_after={"anchor": "last_active_at", "days": 1})
    rows = shelf.served.composition.store.vector_stores
    row = await rows.store("default", made.id, time.time())
    assert row is not None
    await rows.update_store("default", replace(row, expires_at=int(time.time()) - 1), time.time())
    assert (await shelf.client.vector_stores.retrieve(made.id)).status == "expired"
    file = await shelf.file("A dog.")
    for call in (
        shelf.client.vector_stores.search(made.id, query="cat"),
        shelf.client.vector_stores.files.create(made.id, file_id=file),
        shelf.client.vector_stores.file_batches.create(made.id, file_ids=[file]),
    ):
        with pytest.raises(openai.BadRequestError, match="expired"):
            await call
    assert (await shelf.client.vector_stores.delete(made.id)).deleted


async def test_without_an_embedder_a_store_says_that_it_has_no_vectors(tmp_path: Path) -> None:
    async with library(tmp_path, embedder={"kind": "none"}) as shelf:
        made = await shelf.store("The tower is high.", "The sea is deep.")
        assert made.model_extra is not None
        assert (made.model_extra["embedding_model"], made.model_extra["embedding_dimension"]) == (None, None)
        assert await shelf.texts(made.id, "tower?") == ["The tower is high."]
        status, refused = await shelf.ask(
            "POST", f"/vector_stores/{made.id}/search", {"query": "a", "search_mode": "vector"}
        )
        assert (status, refused["error"]["param"]) == (400, "search_mode")


# files


async def test_a_file_that_is_attached_is_as_openai_shows_it(shelf: Library) -> None:
    made, file = await shelf.store(), await shelf.file("A cat.")
    status, shown = await shelf.ask("POST", f"/vector_stores/{made.id}/files", {"file_id": file})
    assert status == 200
    checked("VectorStoreFileObject", shown)
    assert {**shown, "created_at": 0} == {
        "id": file,
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": 0,
        "vector_store_id": made.id,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        },
        "attributes": {},
    }
    ended = await shelf.client.vector_stores.files.poll(file, vector_store_id=made.id)
    assert ended.status == "completed"
    assert ended.usage_bytes > len("A cat.")
    assert (await shelf.client.vector_stores.retrieve(made.id)).usage_bytes == ended.usage_bytes


async def test_the_client_can_wait_for_files(shelf: Library) -> None:
    made = await shelf.store()
    files, batches = shelf.client.vector_stores.files, shelf.client.vector_stores.file_batches
    ended = await files.upload_and_poll(vector_store_id=made.id, file=("a.txt", b"A cat."))
    assert ended.status == "completed"
    uploaded = await files.upload(vector_store_id=made.id, file=("b.txt", b"A dog."))
    assert (await files.poll(uploaded.id, vector_store_id=made.id)).status == "completed"
    batch = await batches.upload_and_poll(made.id, files=[("c.txt", b"A cow."), ("d.txt", b"A hen.")])
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    assert {*await shelf.texts(made.id, "animals")} == {"A cat.", "A dog.", "A cow.", "A hen."}


async def test_the_chunks_of_a_file_are_given_in_order(shelf: Library) -> None:
    made, file = await shelf.store(), await shelf.file(story(200))
    assert (await shelf.attach(made.id, file, chunking_strategy=SMALL)).status == "completed"
    status, page = await shelf.ask("GET", f"/vector_stores/{made.id}/files/{file}/content")
    assert status == 200
    assert (page["object"], page["has_more"], page["next_page"]) == ("vector_store.file_content.page", False, None)
    texts = [part["text"] for part in page["data"]]
    assert len(texts) > 12
    assert "".join(text.replace(" ", "") for text in texts) == story(200).replace(" ", "")
    content = await shelf.client.vector_stores.files.content(file, vector_store_id=made.id)
    assert [part.text for part in content.data] == texts


async def test_files_are_listed_in_pages_and_by_status(shelf: Library) -> None:
    made = await shelf.store("One.", "Two.", "Three.")
    bad = await shelf.attach(made.id, await shelf.file(b"\x00\x01\x02\x03", "a.bin"))
    assert bad.status == "failed"
    files = shelf.client.vector_stores.files
    everything = [file.id async for file in files.list(made.id, limit=1)]
    assert len(everything) == 4
    assert everything[::-1] == [file.id async for file in files.list(made.id, limit=3, order="asc")]
    assert [file.id async for file in files.list(made.id, filter="failed")] == [bad.id]
    assert len([file async for file in files.list(made.id, filter="completed")]) == 3
    assert [file async for file in files.list(made.id, filter="in_progress")] == []
    status, refused = await shelf.ask("GET", f"/vector_stores/{made.id}/files?filter=done")
    assert (status, refused["error"]["param"]) == (400, "filter")
    status, page = await shelf.ask("GET", f"/vector_stores/{made.id}/files")
    checked("ListVectorStoreFilesResponse", page)


async def test_a_file_that_cannot_be_read_fails_with_a_reason(shelf: Library) -> None:
    made = await shelf.store()
    ended = await shelf.attach(made.id, file := await shelf.file(b"\x7fELF\x00\x01", "program.exe"))
    assert ended.status == "failed"
    assert ended.last_error is not None
    assert ended.last_error.code == "unsupported_file"
    counts = (await shelf.client.vector_stores.retrieve(made.id)).file_counts
    assert (counts.failed, counts.total) == (1, 1)
    status, refused = await shelf.ask("GET", f"/vector_stores/{made.id}/files/{file}/content")
    assert (status, refused["error"]["param"]) == (400, "file_id")


async def test_a_file_that_failed_can_be_attached_again(shelf: Library) -> None:
    made = await shelf.store()
    file = await shelf.file("A cat.")
    shelf.embedder(down=True)
    failed = await shelf.attach(made.id, file)
    assert failed.last_error is not None
    assert (failed.status, failed.last_error.code) == ("failed", "server_error")
    shelf.embedder(down=False)
    assert (await shelf.attach(made.id, file, attributes={"again": True})).status == "completed"
    (hit,) = await shelf.find(made.id, "cat")
    assert (hit["file_id"], hit["attributes"]) == (file, {"again": True})
    counts = (await shelf.client.vector_stores.retrieve(made.id)).file_counts
    assert (counts.completed, counts.failed, counts.total) == (1, 0, 1)


async def test_attaching_a_file_twice_changes_nothing(shelf: Library) -> None:
    made = await shelf.store()
    file = await shelf.file("A cat.")
    first = await shelf.attach(made.id, file)
    assert await shelf.attach(made.id, file) == first
    assert await shelf.texts(made.id, "cat") == ["A cat."]


async def test_a_file_that_leaves_is_not_found_any_more_and_stays_a_file(shelf: Library) -> None:
    made = await shelf.store("A cat.", "A dog.")
    file = (await shelf.find(made.id, "cat"))[0]["file_id"]
    status, gone = await shelf.ask("DELETE", f"/vector_stores/{made.id}/files/{file}")
    assert (status, gone) == (200, {"id": file, "object": "vector_store.file.deleted", "deleted": True})
    assert await shelf.texts(made.id, "cat") == ["A dog."]
    with pytest.raises(openai.NotFoundError, match=f"No file found with id '{file}' in vector store '{made.id}'"):
        await shelf.client.vector_stores.files.retrieve(file, vector_store_id=made.id)
    assert (await shelf.client.files.retrieve(file)).id == file
    assert (await shelf.attach(made.id, file)).status == "completed"


async def test_a_file_that_is_deleted_leaves_every_store(shelf: Library) -> None:
    one, other = await shelf.store("A cat."), await shelf.store()
    file = (await shelf.find(one.id, "cat"))[0]["file_id"]
    await shelf.attach(other.id, file)
    await shelf.client.files.delete(file)
    for store in (one, other):
        assert await shelf.texts(store.id, "cat") == []
        assert (await shelf.client.vector_stores.retrieve(store.id)).file_counts.total == 0


async def test_attributes_act_on_the_next_search(shelf: Library) -> None:
    made = await shelf.store()
    file = await shelf.file("A cat.")
    await shelf.attach(made.id, file, attributes={"year": 1990, "kept": True})
    old, new = ({"type": "eq", "key": "year", "value": year} for year in (1990, 2000))
    assert await shelf.texts(made.id, "cat", filters=old) == ["A cat."]
    changed = await shelf.client.vector_stores.files.update(
        file, vector_store_id=made.id, attributes={"year": 2000, "note": "new"}
    )
    assert changed.attributes == {"year": 2000, "note": "new"}
    assert await shelf.texts(made.id, "cat", filters=old) == []
    (hit,) = await shelf.find(made.id, "cat", filters=new)
    assert hit["attributes"] == {"year": 2000, "note": "new"}
    emptied = await shelf.client.vector_stores.files.update(file, vector_store_id=made.id, attributes=None)
    assert emptied.attributes == {}
    assert await shelf.texts(made.id, "cat", filters=new) == []


# batches


async def test_a_batch_of_ids_has_one_word_for_all(shelf: Library) -> None:
    made = await shelf.store()
    ids = [await shelf.file(f"Text {n}.") for n in range(3)]
    body = {"file_ids": [*ids, ids[0]], "attributes": {"a": 1}, "chunking_strategy": SMALL}
    status, batch = await shelf.ask("POST", f"/vector_stores/{made.id}/file_batches", body)
    assert status == 200
    checked("VectorStoreFileBatchObject", batch)
    assert batch["object"] == "vector_store.files_batch"
    assert batch["id"].startswith("vsfb_")
    assert batch["file_counts"]["total"] == 3
    batches = shelf.client.vector_stores.file_batches
    ended = await batches.poll(batch["id"], vector_store_id=made.id)
    assert (ended.status, ended.file_counts.completed) == ("completed", 3)
    listed = [file async for file in batches.list_files(batch["id"], vector_store_id=made.id, limit=2)]
    assert {file.id for file in listed} == {*ids}
    assert all(file.attributes == {"a": 1.0} for file in listed)
    assert [f async for f in batches.list_files(batch["id"], vector_store_id=made.id, filter="failed")] == []


async def test_a_batch_of_files_has_a_word_for_each(shelf: Library) -> None:
    made = await shelf.store()
    one, other = await shelf.file("One."), await shelf.file("Two.")
    files: Any = [{"file_id": one, "attributes": {"n": 1}}, {"file_id": other, "chunking_strategy": SMALL}]
    batches = shelf.client.vector_stores.file_batches
    created = await batches.create(made.id, files=files, attributes={"n": 9})
    assert (await batches.poll(created.id, vector_store_id=made.id)).status == "completed"
    listed = {f.id: f async for f in batches.list_files(created.id, vector_store_id=made.id)}
    assert (listed[one].attributes, listed[other].attributes) == ({"n": 1.0}, {})
    assert listed[other].chunking_strategy == (await shelf.attach(made.id, other)).chunking_strategy


async def test_a_batch_is_of_ids_or_of_files(shelf: Library) -> None:
    made, file = await shelf.store(), await shelf.file("One.")
    wrong: list[Json] = [{}, {"file_ids": [file], "files": [{"file_id": file}]}, {"file_ids": None}]
    for body in wrong:
        status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/file_batches", body)
        assert status == 400, refused
    bodies: list[Json] = [{"file_ids": []}, {"files": []}, {"file_ids": [file] * 2001}]
    for body in bodies:
        status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/file_batches", body)
        assert (status, refused["error"]["param"]) == (400, next(iter(body)))


async def test_a_batch_is_cancelled(tmp_path: Path) -> None:
    async with library(tmp_path, ingestion={"documents": 1, "documents_project": 1}) as shelf:
        made = await shelf.store()
        ids = [await shelf.file(story(4000), f"{n}.txt") for n in range(6)]
        batches = shelf.client.vector_stores.file_batches
        batch = await batches.create(made.id, file_ids=ids)
        asked = await batches.with_raw_response.retrieve(batch.id, vector_store_id=made.id)
        assert int(asked.headers["openai-poll-after-ms"]) > 0
        cancelled = await batches.cancel(batch.id, vector_store_id=made.id)
        assert cancelled.status == "cancelled"
        assert cancelled.file_counts.cancelled > 0
        assert cancelled.file_counts.in_progress == 0
        assert (await batches.cancel(batch.id, vector_store_id=made.id)).status == "cancelled"
        again = await shelf.attach(made.id, ids[-1])
        assert again.status == "completed"


async def test_all_files_of_a_batch_may_fail(shelf: Library) -> None:
    made = await shelf.store()
    ids = [await shelf.file(b"\x00\x01", f"{n}.bin") for n in range(2)]
    ended = await shelf.client.vector_stores.file_batches.create_and_poll(made.id, file_ids=ids)
    assert (ended.status, ended.file_counts.failed) == ("failed", 2)


# what is wrong


WRONG: dict[str, tuple[str, str, Any, int, str | None]] = {
    "an unknown store": ("GET", f"/vector_stores/{UNKNOWN_STORE}", None, 404, "vector_store_id"),
    "an id of another kind": ("GET", "/vector_stores/file-1", None, 400, "vector_store_id"),
    "a file of an unknown store": ("GET", f"/vector_stores/{UNKNOWN_STORE}/files", None, 404, "vector_store_id"),
    "a batch of an unknown store": (
        "GET",
        f"/vector_stores/{UNKNOWN_STORE}/file_batches/vsfb_1",
        None,
        404,
        "vector_store_id",
    ),
    "an unknown file": ("GET", f"/vector_stores/STORE/files/{UNKNOWN_FILE}", None, 404, "file_id"),
    "the id of no file": ("GET", "/vector_stores/STORE/files/vs_1", None, 400, "file_id"),
    "content of an unknown file": ("GET", f"/vector_stores/STORE/files/{UNKNOWN_FILE}/content", None, 404, "file_id"),
    "attributes of an unknown file": (
        "POST",
        f"/vector_stores/STORE/files/{UNKNOWN_FILE}",
        {"attributes": {}},
        404,
        "file_id",
    ),
    "an unknown file leaves": ("DELETE", f"/vector_stores/STORE/files/{UNKNOWN_FILE}", None, 404, "file_id"),
    "no attributes": ("POST", f"/vector_stores/STORE/files/{UNKNOWN_FILE}", {}, 400, "attributes"),
    "an unknown batch": ("GET", "/vector_stores/STORE/file_batches/vsfb_1", None, 404, "batch_id"),
    "cancel of an unknown batch": ("POST", "/vector_stores/STORE/file_batches/vsfb_1/cancel", None, 404, "batch_id"),
    "files of an unknown batch": ("GET", "/vector_stores/STORE/file_batches/vsfb_1/files", None, 404, "batch_id"),
    "the id of no batch": ("GET", "/vector_stores/STORE/file_batches/b_1", None, 400, "batch_id"),
    "an unknown file for a new store": ("POST", "/vector_stores", {"file_ids": [UNKNOWN_FILE]}, 404, "file_ids[0]"),
    "an unknown file for a store": ("POST", "/vector_stores/STORE/files", {"file_id": UNKNOWN_FILE}, 404, "file_id"),
    "an unknown file for a batch": (
        "POST",
        "/vector_stores/STORE/file_batches",
        {"files": [{"file_id": UNKNOWN_FILE}]},
        404,
        "files[0].file_id",
    ),
    "no file": ("POST", "/vector_stores/STORE/files", {}, 400, "file_id"),
    "an overlap of more than half": (
        "POST",
        "/vector_stores/STORE/files",
        {
            "file_id": UNKNOWN_FILE,
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101},
            },
        },
        400,
        "chunking_strategy.static.chunk_overlap_tokens",
    ),
    "an unknown parameter": ("POST", "/vector_stores", {"nam": "a"}, 400, "nam"),
    "too many files": ("POST", "/vector_stores", {"file_ids": [UNKNOWN_FILE] * 501}, 400, "file_ids"),
    "days out of range": (
        "POST",
        "/vector_stores",
        {"expires_after": {"anchor": "last_active_at", "days": 366}},
        400,
        "expires_after.days",
    ),
    "contexts by nobody": (
        "POST",
        "/vector_stores",
        {"chunking_strategy": {"type": "contextual", "contextual": {"model": "nobody"}}},
        400,
        "chunking_strategy.contextual.model",
    ),
}


async def test_what_is_wrong_is_named(shelf: Library) -> None:
    made = await shelf.store()
    for what, (method, path, body, status, param) in WRONG.items():
        got, refused = await shelf.ask(method, path.replace("STORE", made.id), body)
        assert (got, refused["error"]["param"]) == (status, param), what
        assert {*refused["error"]} == {"message", "type", "param", "code"}


async def test_headers_and_paths_of_the_client_are_understood(shelf: Library) -> None:
    made = await shelf.store("A cat.")
    beta = {"OpenAI-Beta": "assistants=v2", "X-Stainless-Poll-Helper": "true"}
    async with shelf.served.raw.get(f"{shelf.served.url}/vector_stores/{made.id}", headers=beta) as answer:
        assert answer.status == 200


async def test_a_store_and_its_embedder_survive_a_restart(tmp_path: Path) -> None:
    async with library(tmp_path) as shelf:
        made = await shelf.store("The car is red.")
    async with library(tmp_path) as shelf:
        assert await shelf.texts(made.id, "automobile", search_mode="vector") == ["The car is red."]
    async with library(tmp_path, embedder={**MEANING, "dimension": 8}) as shelf:
        status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/search", {"query": "car"})
        assert status == 502
        assert "256" in refused["error"]["message"]
        assert await shelf.texts(made.id, "car", search_mode="keyword") == ["The car is red."]
    async with library(tmp_path, embedder={"kind": "none"}) as shelf:
        status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/search", {"query": "car"})
        assert status == 502
