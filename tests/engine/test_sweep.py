"""The sweep of the index: what is nobody's goes, and nothing else."""

from __future__ import annotations

import logging

import pytest

from antiphon.core.chunking import Chunk
from antiphon.ports.index import Document
from antiphon.wire.errors import StoreError
from tests.engine.library import PROJECT, Library, Skewed, lines
from tests.patience import eventually


async def test_the_sweep_removes_what_is_nobodys_and_nothing_else(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id = await shelf.vector_store()
    done, working = await shelf.file(lines("done", 3)), await shelf.file(lines("mill", 80))
    await shelf.attach(store_id, done)
    await shelf.ended(store_id, done)
    await shelf.half_done(store_id, working)
    left = Document(project="other", store_id=store_id, id="doc_left", file_id=done)
    await shelf.index.add(left, await shelf.chunks(store_id, done), None)
    expected = {(await shelf.member(store_id, file_id)).document for file_id in (done, working)}
    assert await shelf.stored() == {*expected, "doc_left"}
    assert await process.sweep.sweep() == 1
    assert await shelf.stored() == expected
    assert await process.sweep.sweep() == 0
    shelf.embedder.free()
    assert (await shelf.ended(store_id, working)).status == "completed"


async def test_the_sweep_empties_stores_that_have_expired(shelf: Library) -> None:
    process = shelf.process()
    process.ingestion.open()
    store_id = await shelf.vector_store(expires_at=int(shelf.clock.now()) + 3600)
    file_id = await shelf.file(lines("mill", 3))
    await shelf.attach(store_id, file_id)
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    await process.sweep.sweep()
    assert await shelf.stored()
    await shelf.process(clock=Skewed(shelf.clock, 7200)).sweep.sweep()
    assert not await shelf.stored()
    assert await shelf.status(store_id, file_id) == "completed"


async def test_the_sweep_goes_on_after_a_refusal(shelf: Library, caplog: pytest.LogCaptureFixture) -> None:
    left = Document(project=PROJECT, store_id="vs_1", id="doc_left", file_id="file-1")
    await shelf.index.add(left, [Chunk(position=0, text="left", start=0, end=4)], None)

    async def refuse(call: str, document: Document | None) -> None:
        if call == "remove":
            shelf.index.before = shelf.index.after
            raise StoreError("The store is busy.")

    shelf.index.before = refuse
    process = shelf.process(sweep_seconds=0.05)

    async def twice() -> bool:
        return len(caplog.records) == 2

    with caplog.at_level(logging.INFO, "antiphon.engine.sweep"):
        process.sweep.open()
        await eventually(twice)
    assert not await shelf.stored()
    assert [record.getMessage() for record in caplog.records] == [
        "the index could not be swept: The store is busy.",
        "documents of the index that were nobody's and were removed: 1",
    ]


async def test_closing_what_was_never_open_does_nothing(shelf: Library) -> None:
    await shelf.process().sweep.close()
