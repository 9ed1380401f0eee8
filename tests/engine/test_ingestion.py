"""Ingestion: what is attached ends completed or failed, whatever happens meanwhile, and nothing is done twice."""

from __future__ import annotations

import logging

import pytest

from antiphon.engine.ingestion import Bounds
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.index import Document, Lookup
from antiphon.wire.errors import StoreError
from antiphon.wire.vector_stores import ContextualOptions, ContextualStrategy, FileBatch, LastError
from tests.engine.library import BATCH, PROJECT, Library, Skewed, lines
from tests.patience import eventually

DEADLINE = 10.0


def batch_of(shelf: Library, store_id: str) -> FileBatch:
    return FileBatch(id=shelf.clock.id("vsfb_"), created_at=int(shelf.clock.now()), vector_store_id=store_id)


async def test_an_attached_file_is_indexed_and_found(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.attach(store_id, file_id)
    ended = await shelf.ended(store_id, file_id)
    assert (ended.status, ended.last_error) == ("completed", None)
    chunks = await shelf.chunks(store_id, file_id)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) > 2 * BATCH
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 80)
    assert await shelf.found(store_id) == {file_id}
    store = await shelf.rows.store(PROJECT, store_id, shelf.clock.now())
    assert store is not None
    assert (store.status, store.file_counts.completed, store.embedding_dimension) == ("completed", 1, 4)
    assert store.usage_bytes == ended.usage_bytes > len(lines("mill", 80)) - len(chunks)
    assert set(shelf.embedder.asked.values()) == {1}


async def test_nobody_has_to_wake_it(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 3))
    await shelf.attach(store_id, file_id, said=False)
    shelf.process().ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    later = await shelf.file(lines("river", 3))
    await shelf.attach(store_id, later, said=False)
    assert (await shelf.ended(store_id, later)).status == "completed"


async def test_a_store_without_an_embedding_model_is_indexed_for_keywords(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(model=None), await shelf.file(lines("mill", 3000))
    await shelf.attach(store_id, file_id)
    shelf.process().ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    assert await shelf.found(store_id) == {file_id}
    assert not shelf.embedder.asked
    store = await shelf.rows.store(PROJECT, store_id, shelf.clock.now())
    assert store is not None
    assert store.embedding_dimension is None


async def test_attributes_that_are_set_during_the_ingestion_are_those_that_filters_see(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 3))
    await shelf.attach(store_id, file_id)

    async def relabel(call: str, document: Document | None) -> None:
        if call == "publish":
            await shelf.rows.set_attributes(PROJECT, store_id, file_id, {"year": 1901})

    shelf.index.before = relabel  # after the row was read
    shelf.process().ingestion.open()
    assert (await shelf.ended(store_id, file_id)).attributes == {"year": 1901}
    assert await attributes(shelf, store_id) == [{"year": 1901}]


async def attributes(shelf: Library, store_id: str) -> list[dict[str, str | bool | int | float]]:
    wanted = Lookup(text="river", vector=None, mode="keyword", limit=10)
    return [match.attributes for match in await shelf.index.search(PROJECT, store_id, wanted)]


async def test_contextual_chunks_are_searched_with_the_line_that_a_model_wrote(shelf: Library) -> None:
    options = ContextualOptions(model="scripted", max_chunk_size_tokens=100, chunk_overlap_tokens=0)
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 20))
    await shelf.attach(store_id, file_id, strategy=ContextualStrategy(contextual=options))
    shelf.process().ingestion.open()
    assert (await shelf.ended(store_id, file_id)).last_error is None
    chunks = await shelf.chunks(store_id, file_id)
    assert {chunk.context for chunk in chunks} == {"About a mill."}
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 20)
    assert set(shelf.embedder.asked) == {f"About a mill.\n\n{chunk.text}" for chunk in chunks}


# failures


async def test_an_embedder_that_is_down_fails_the_file_which_can_be_attached_again(
    shelf: Library, caplog: pytest.LogCaptureFixture
) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    calls = 0

    async def break_down(call: str, document: Document | None) -> None:
        nonlocal calls
        calls += call == "add"
        if calls == 2:
            shelf.embedder.down = EmbedderError("The embedding endpoint answered 500.")

    shelf.index.after = break_down
    shelf.embedder.hold("line 79 ")
    with caplog.at_level(logging.WARNING, "antiphon.engine"):
        await shelf.attach(store_id, file_id)
        await eventually_down(shelf)
        shelf.embedder.free()
        failed = await shelf.ended(store_id, file_id)
    assert failed.status == "failed"
    assert failed.last_error == LastError(code="server_error", message="The embedding endpoint answered 500.")
    assert [record.getMessage() for record in caplog.records] == [
        f"file {file_id} of {store_id} failed: server_error: The embedding endpoint answered 500."
    ]
    await shelf.idle()
    shelf.embedder.down = None
    await shelf.attach(store_id, file_id)
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    assert await shelf.found(store_id) == {file_id}


async def eventually_down(shelf: Library) -> None:
    async def down() -> bool:
        return shelf.embedder.down is not None

    await eventually(down)


async def test_an_index_that_fails_fails_the_file(shelf: Library) -> None:
    async def full(call: str, document: Document | None) -> None:
        if call == "add":
            raise StoreError("The store has no room left on its disk.")

    shelf.index.before = full
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 3))
    await shelf.attach(store_id, file_id)
    shelf.process().ingestion.open()
    ended = await shelf.ended(store_id, file_id)
    assert ended.last_error == LastError(code="server_error", message="The store has no room left on its disk.")


async def test_a_fault_of_ours_fails_the_file_and_nothing_else(
    shelf: Library, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_once(call: str, document: Document | None) -> None:
        if call == "add":
            shelf.index.before = nothing
            raise ZeroDivisionError(lines("secret", 1))

    async def nothing(call: str, document: Document | None) -> None: ...

    shelf.index.before = break_once
    store_id = await shelf.vector_store()
    process = shelf.process(Bounds(documents=1))
    first, second = await shelf.file(lines("mill", 3)), await shelf.file(lines("river", 3))
    await shelf.attach(store_id, first, second)
    process.ingestion.open()
    ended = await shelf.ended(store_id, first)
    assert ended.last_error == LastError(code="server_error", message="The file could not be ingested.")
    assert (await shelf.ended(store_id, second)).status == "completed"
    assert any(record.exc_info for record in caplog.records)


async def test_vectors_of_another_dimension_fail_the_file(shelf: Library) -> None:
    store_id = await shelf.vector_store()
    first, second = await shelf.file(lines("mill", 3)), await shelf.file(lines("river", 3))
    shelf.process().ingestion.open()
    await shelf.attach(store_id, first)
    await shelf.ended(store_id, first)
    shelf.embedder.dimension = 6
    await shelf.attach(store_id, second)
    ended = await shelf.ended(store_id, second)
    assert ended.last_error is not None
    assert ended.last_error.code == "server_error"
    assert "6" in ended.last_error.message
    assert "4" in ended.last_error.message


async def test_a_file_whose_bytes_or_row_are_gone_fails(shelf: Library) -> None:
    store_id = await shelf.vector_store()
    now = int(shelf.clock.now())
    lost, expired = await shelf.file("lost"), await shelf.file("expired", expires_at=now + 3600)
    await shelf.blobs.delete(PROJECT, lost)
    await shelf.attach(store_id, lost, expired)
    shelf.process(clock=Skewed(shelf.clock, 7200)).ingestion.open()
    ended = await shelf.ended(store_id, lost)
    assert ended.last_error == LastError(code="server_error", message="The content of the file is missing.")
    ended = await shelf.ended(store_id, expired)
    assert ended.last_error == LastError(code="invalid_file", message="The file does not exist any more.")


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image.png", "unsupported_file"),
        (bytes(range(256)) * 10, "things.bin", "unsupported_file"),
        (b"", "empty.txt", "invalid_file"),
        (b" \n\t\n", "blank.txt", "invalid_file"),
        (b"%PDF-1.7 and nothing else", "broken.pdf", "invalid_file"),
    ],
)
async def test_what_cannot_be_read_fails_with_its_reason(shelf: Library, content: bytes, name: str, code: str) -> None:
    store_id, file_id = await shelf.vector_store(), await shelf.file(content, name, "application/octet-stream")
    await shelf.attach(store_id, file_id)
    shelf.process().ingestion.open()
    ended = await shelf.ended(store_id, file_id)
    assert ended.status == "failed"
    assert ended.last_error is not None
    assert ended.last_error.code == code
    assert str(shelf.folder) not in ended.last_error.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
async def test_text_in_another_encoding_is_read(shelf: Library, encoding: str) -> None:
    text = "Die Mühle am Fluss. " * 20
    store_id, file_id = await shelf.vector_store(), await shelf.file(text.encode(encoding))
    await shelf.attach(store_id, file_id)
    shelf.process().ingestion.open()
    assert (await shelf.ended(store_id, file_id)).last_error is None
    assert "Mühle" in (await shelf.chunks(store_id, file_id))[0].text


async def test_files_of_an_expired_store_fail(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(expires_at=int(shelf.clock.now()) + 3600), await shelf.file("text")
    await shelf.attach(store_id, file_id)
    shelf.process(clock=Skewed(shelf.clock, 7200)).ingestion.open()
    ended = await shelf.ended(store_id, file_id)
    assert ended.last_error == LastError(code="server_error", message="The vector store has expired.")


# what is not wanted any more


async def test_a_store_that_is_deleted_during_an_ingestion_leaves_nothing(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.half_done(store_id, file_id)
    await shelf.rows.delete_store(PROJECT, store_id)
    await shelf.index.drop(PROJECT, store_id)
    process.ingestion.doubt()
    await shelf.idle()
    shelf.embedder.free()
    await another(shelf)


async def test_a_store_that_is_deleted_at_the_last_moment_leaves_nothing(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 3))

    async def delete(call: str, document: Document | None) -> None:
        if call == "publish":
            await shelf.rows.delete_store(PROJECT, store_id)
            await shelf.index.drop(PROJECT, store_id)

    shelf.index.before = delete
    await shelf.attach(store_id, file_id)
    shelf.process().ingestion.open()

    async def gone() -> bool:
        return await shelf.rows.store(PROJECT, store_id, shelf.clock.now()) is None

    await eventually(gone)
    await shelf.idle()


async def test_a_file_that_is_deleted_during_its_ingestion_leaves_nothing(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.half_done(store_id, file_id)
    await shelf.store.files.delete_file(PROJECT, file_id)
    await shelf.idle()  # by the next renewal, although nobody said so
    shelf.embedder.free()
    await another(shelf)


async def test_a_batch_that_is_cancelled_during_its_ingestion_stops(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id = await shelf.vector_store()
    done = await shelf.file(lines("done", 3))
    files = [await shelf.file(lines(f"mill{number}", 80)) for number in range(4)]
    batch = batch_of(shelf, store_id)
    shelf.embedder.hold("line 60 of mill")
    await shelf.attach(store_id, done, *files, batch=batch)
    assert (await shelf.ended(store_id, done)).status == "completed"
    await shelf.embedder.held(2)
    cancelled = await shelf.rows.cancel_batch(PROJECT, store_id, batch.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 4)
    process.ingestion.doubt()
    await shelf.idle((await shelf.member(store_id, done)).document)
    shelf.embedder.free()
    assert {await shelf.status(store_id, file_id) for file_id in files} == {"cancelled"}
    await another(shelf)


async def another(shelf: Library) -> None:
    """Other files are ingested as ever."""
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("other", 3))
    await shelf.attach(store_id, file_id)
    assert (await shelf.ended(store_id, file_id)).status == "completed"
