"""Leases of ingestion: who may go on, where it goes on, and how many are at work at once."""

from __future__ import annotations

import asyncio

from antiphon.core.chunking import Marks
from antiphon.engine.ingestion import Bounds
from antiphon.ports.index import Document
from antiphon.wire.vector_stores import LastError
from tests.engine.library import BOUNDS, PROJECT, Counting, Library, Skewed, lines
from tests.patience import eventually

DEADLINE = 10.0


async def test_the_next_process_goes_on_behind_the_chunks_that_are_there(shelf: Library) -> None:
    first, second = shelf.process(Bounds(lease=3600)), shelf.process(Bounds(lease=3600))
    first.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.half_done(store_id, file_id)
    await first.ingestion.close()
    kept = {chunk.text for chunk in await shelf.chunks(store_id, file_id)}
    shelf.embedder.free()
    shelf.embedder.asked.clear()
    second.ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    chunks = await shelf.chunks(store_id, file_id)
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 80)
    assert kept
    assert set(shelf.embedder.asked) == {chunk.text for chunk in chunks} - kept


async def test_a_document_that_only_lacks_its_end_is_not_embedded_again(shelf: Library) -> None:
    first, second = shelf.process(), shelf.process()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 20))
    stopped = asyncio.Event()

    async def stop(call: str, document: Document | None) -> None:
        if call == "publish":
            stopped.set()
            await asyncio.Event().wait()

    shelf.index.before = stop
    first.ingestion.open()
    await shelf.attach(store_id, file_id)
    async with asyncio.timeout(DEADLINE):
        await stopped.wait()
    await first.ingestion.close()
    shelf.index.before = shelf.index.after
    shelf.embedder.asked.clear()
    second.ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    assert not [text for text in shelf.embedder.asked if "line" in text]
    store = await shelf.rows.store(PROJECT, store_id, shelf.clock.now())
    assert store is not None
    assert store.embedding_dimension == 4


async def test_a_process_that_was_overtaken_leaves_the_chunks_of_its_successor_alone(shelf: Library) -> None:
    slow = Counting()
    old = shelf.process(Bounds(lease=30), embedder=slow, clock=Skewed(shelf.clock, -1000))
    new = shelf.process()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    slow.hold("line 60 ")
    old.ingestion.open()
    await shelf.attach(store_id, file_id)
    await slow.held()
    new.ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    chunks = await shelf.chunks(store_id, file_id)
    slow.free()
    await old.ingestion.close()
    assert await shelf.chunks(store_id, file_id) == chunks
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 80)
    assert await shelf.status(store_id, file_id) == "completed"


async def test_a_process_that_slept_through_its_own_lease_takes_its_file_up_again(shelf: Library) -> None:
    clock = Skewed(shelf.clock, 0)
    process = shelf.process(Bounds(lease=30), clock=clock)
    process.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.half_done(store_id, file_id)
    kept = {chunk.text for chunk in await shelf.chunks(store_id, file_id)}
    clock.seconds = 1000
    process.ingestion.wake()
    await shelf.embedder.held(2)  # the calls of the first attempt may still be on their way
    shelf.embedder.free()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    chunks = await shelf.chunks(store_id, file_id)
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 80)
    assert {shelf.embedder.asked[text] for text in kept} == {1}


class Coarse:
    """The ruler of another version: every two characters are a token."""

    def count(self, text: str, /) -> int:
        return (len(text) + 1) // 2

    def marks(self, text: str, /) -> Marks:
        ends = [*range(2, len(text), 2), len(text)]
        return Marks(ends, list(range(1, len(ends) + 1)))


async def test_chunks_that_another_version_cut_are_thrown_away(shelf: Library) -> None:
    first, second = shelf.process(ruler=Coarse()), shelf.process()
    first.ingestion.open()
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 80))
    await shelf.half_done(store_id, file_id)
    await first.ingestion.close()
    other = await shelf.chunks(store_id, file_id)
    shelf.embedder.free()
    second.ingestion.open()
    assert (await shelf.ended(store_id, file_id)).status == "completed"
    chunks = await shelf.chunks(store_id, file_id)
    assert list(chunks[: len(other)]) != list(other)
    assert "".join(chunk.text + "\n" for chunk in chunks) == lines("mill", 80)


async def test_a_file_that_ends_every_process_is_given_up(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(), await shelf.file(lines("mill", 3))
    await shelf.attach(store_id, file_id)
    for times in range(BOUNDS.recoveries + 1):  # each of them dies
        claimed = await shelf.rows.claim_files(f"proc_{times}", shelf.clock.now(), 1.0, 4, 4)
        assert [one.recoveries for one in claimed] == [times]
    shelf.process().ingestion.open()
    ended = await shelf.ended(store_id, file_id)
    words = "The ingestion was interrupted 6 times and is not tried again."
    assert ended.last_error == LastError(code="server_error", message=words)


# several at once


async def test_two_processes_share_the_files_of_one_store(shelf: Library) -> None:
    store_id = await shelf.vector_store()
    files = [await shelf.file(lines(f"mill{number}", 30)) for number in range(12)]
    for _ in range(2):
        shelf.process(Bounds(documents_project=4)).ingestion.open()
    await shelf.attach(store_id, *files)
    for file_id in files:
        assert (await shelf.ended(store_id, file_id)).status == "completed"
    assert set(shelf.embedder.asked.values()) == {1}
    assert await shelf.found(store_id) == set(files)


async def test_a_project_never_has_more_at_once_than_its_share(shelf: Library) -> None:
    store_id = await shelf.vector_store()
    files = [await shelf.file(lines(f"mill{number}", 3)) for number in range(6)]
    shelf.embedder.hold("line")
    for _ in range(2):
        shelf.process(BOUNDS).ingestion.open()
    await shelf.attach(store_id, *files)
    await shelf.embedder.held(2)
    other = await shelf.vector_store(model=None, project="other")
    mine = await shelf.file("text", project="other")
    await shelf.attach(other, mine, project="other")

    async def ended() -> bool:
        found = await shelf.rows.member("other", other, mine)
        return found is not None and found.file.status == "completed"

    await eventually(ended)
    assert shelf.embedder.waiting == 2
    shelf.embedder.free()
    for file_id in files:
        assert (await shelf.ended(store_id, file_id)).status == "completed"


async def test_a_slow_document_does_not_hold_up_others(shelf: Library) -> None:
    store_id = await shelf.vector_store()
    slow = await shelf.file(lines("slow", 30))
    others = [await shelf.file(lines(f"mill{number}", 3)) for number in range(5)]
    shelf.embedder.hold("of slow")
    shelf.process().ingestion.open()
    await shelf.attach(store_id, slow, *others)
    for file_id in others:
        assert (await shelf.ended(store_id, file_id)).status == "completed"
    assert await shelf.status(store_id, slow) == "in_progress"
    shelf.embedder.free()
    assert (await shelf.ended(store_id, slow)).status == "completed"


async def test_the_event_loop_is_free_while_a_large_document_is_cut(shelf: Library) -> None:
    store_id, file_id = await shelf.vector_store(model=None), await shelf.file(lines("mill", 200_000))
    await shelf.attach(store_id, file_id)
    loop = asyncio.get_running_loop()
    longest, before, over = 0.0, loop.time(), False

    async def look() -> None:
        nonlocal longest, before
        while not over:
            await asyncio.sleep(0.001)
            longest, before = max(longest, loop.time() - before), loop.time()

    looking = asyncio.ensure_future(look())
    shelf.process().ingestion.open()
    await shelf.ended(store_id, file_id)
    over = True
    await looking
    assert longest < 1.0


async def test_closing_what_was_never_open_does_nothing(shelf: Library) -> None:
    process = shelf.process()
    await process.ingestion.close()
