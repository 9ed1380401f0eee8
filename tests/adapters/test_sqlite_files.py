"""Files and vector stores in files that several processes share and that outlive them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
from msgspec import structs

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.sql import batches, files, ingestion, members, uploads, vector_stores
from antiphon.adapters.sql.members import Joining, Shelf
from antiphon.adapters.sql.runs import Claim
from antiphon.adapters.sql.schema import STEPS, migrate
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.adapters.stores.sqlite import FILE
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Ingested
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.vector_stores import FileStatus
from tests.adapters.test_sqlite import opened, rows
from tests.contracts import shelves
from tests.contracts.shelves import DAY, LATER, NOW, OLDEST, begin, claim, ended, joining, pack, part, shelf, upload
from tests.contracts.turns import DEFAULT, OTHER
from tests.long import amount

TABLES = ("file", "upload", "upload_part", "vector_store", "vector_store_file", "file_batch", "file_batch_member")
LARGE = ("vector_store_file", "file", "member", "upload", "upload_part", "file_batch_member", "vector_store")
"""Tables by the names that queries give them, of which none may be read whole."""


def miscounted(folder: Path) -> list[tuple[str, str]]:
    """Stores whose counts are not those of their files, and members of batches that are no more."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        stores = db.execute(
            """SELECT id, 'counts' FROM vector_store WHERE
            (in_progress, completed, failed, cancelled, usage_bytes) <> (
                SELECT coalesce(sum(status = 'in_progress'), 0), coalesce(sum(status = 'completed'), 0),
                coalesce(sum(status = 'failed'), 0), coalesce(sum(status = 'cancelled'), 0),
                coalesce(sum(usage_bytes), 0) FROM vector_store_file WHERE store_id = vector_store.key
            )"""
        ).fetchall()
        lost = db.execute(
            """SELECT batch_id, member_id FROM file_batch_member WHERE
            NOT EXISTS (SELECT 1 FROM vector_store_file WHERE key = member_id)
            OR NOT EXISTS (SELECT 1 FROM file_batch WHERE key = batch_id)"""
        ).fetchall()
        return stores + lost


# restarts and processes


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await begin(store, "a", "b", days=1)
        await store.vector_stores.attach(DEFAULT, "vs_s", [joining("b", take=2)], pack("1"), NOW)
        await store.files.save_upload(DEFAULT, upload("u"))
        await store.files.add_part(DEFAULT, part("1", "u"))
        (found,) = await claim(store)
        before = await shelves.stands(store)
    async with opened(tmp_path) as store:
        assert await shelves.stands(store) == before
        assert await store.files.file(DEFAULT, "file-a", NOW) == shelves.file("a")
        assert await store.files.upload(DEFAULT, "upload_u") == upload("u")
        assert await store.files.parts(DEFAULT, "upload_u") == [part("1", "u")]
        assert await shelves.members(store, batch="1") == ["b"]
        assert [one.document for one in await claim(store, "you", most=9)] == ["doc_b_1"]
        (again,) = await claim(store, "you", now=LATER + 1, until=NOW, most=1)
        assert (again.document, again.recoveries, again.fence) == ("doc_a_1", 1, 2)
        assert await store.vector_stores.finish_file(ended(found)) is False
        assert await store.vector_stores.finish_file(ended(again)) is True


async def test_two_processes_never_claim_the_same_document(tmp_path: Path) -> None:
    names = [str(at) for at in range(60)]
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await begin(one, *names)
        found = await asyncio.gather(*(claim(store, str(at), most=3) for at in range(15) for store in (one, two)))
        claimed = [document.document for some in found for document in some]
        assert sorted(claimed) == sorted(f"doc_{name}_1" for name in names)
        ends = [two.vector_stores.finish_file(ended(document)) for some in found for document in some]
        assert set(await asyncio.gather(*ends)) == {True}
        assert (await shelves.stands(one)).file_counts == shelves.counts(completed=60)
    assert miscounted(tmp_path) == []


async def test_two_processes_keep_the_bound_of_a_project(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await begin(one, *(str(at) for at in range(10)))
        found = await asyncio.gather(
            *(store.vector_stores.claim_files(str(at), NOW, LATER, 2, 3) for at in range(5) for store in (one, two))
        )
        assert sum(map(len, found)) == 3


async def test_a_file_of_the_second_schema_is_migrated(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        migrate(db, STEPS[:2])
    async with opened(tmp_path) as store:
        await begin(store, "a")
        assert await shelves.members(store) == ["a"]


# deletion


async def test_nothing_of_files_and_vector_stores_stays_behind(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await begin(store, "a", "b", "c")
        await begin(store, "a", "o", project=OTHER)
        await store.vector_stores.create_store(DEFAULT, shelf("t"), [joining("a", "t")])
        for name in ("1", "2"):
            await store.vector_stores.attach(DEFAULT, "vs_s", [joining("a"), joining("b")], pack(name), NOW)
        await store.files.save_upload(DEFAULT, upload("u"))
        await store.files.add_part(DEFAULT, part("1", "u"))
        await claim(store, most=2)
        for project, name in ((DEFAULT, "s"), (DEFAULT, "t"), (OTHER, "s")):
            assert await store.vector_stores.delete_store(project, f"vs_{name}") is True
        for project, name in ((DEFAULT, "a"), (DEFAULT, "b"), (DEFAULT, "c"), (OTHER, "a"), (OTHER, "o")):
            assert await store.files.delete_file(project, f"file-{name}") is True
        while await store.files.expire_files(NOW + 3 * DAY):
            pass
    assert {table: rows(tmp_path, table) for table in TABLES} == dict.fromkeys(TABLES, 0)


async def test_the_deletion_of_a_large_store_goes_on_after_a_crash(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await begin(store, *(str(at) for at in range(1200)))
    with closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        vector_stores.delete(db, 1, "vs_s")  # one transaction of it
    assert 0 < rows(tmp_path, "vector_store_file") < 1200
    async with opened(tmp_path) as store:
        assert await store.vector_stores.store(DEFAULT, "vs_s", NOW) is None
        assert await claim(store, most=9) == []
        assert await store.vector_stores.orphans(["doc_1199_1"]) == ["doc_1199_1"]
        await store.vector_stores.expired_stores(NOW)
    assert (rows(tmp_path, "vector_store_file"), rows(tmp_path, "vector_store")) == (0, 0)


# indexes


def test_the_project_is_first_in_every_index(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        migrate(db)
        found: list[tuple[str, str]] = db.execute(
            """SELECT list.name, info.name FROM sqlite_master AS master, pragma_index_list(master.name) AS list,
            pragma_index_info(list.name) AS info
            WHERE master.type = 'table' AND master.name <> 'project' AND info.seqno = 0"""
        ).fetchall()
    assert len(found) > 30
    assert [index for index, column in found if column != "project_id"] == []


def queries(db: sqlite3.Connection) -> Iterator[Callable[[], object]]:
    """What is read and written often, on a store of many files."""
    joining_ = Joining([joining("1"), joining("new", take=9)], pack("2"), NOW)
    yield lambda: vector_stores.store(db, 1, "vs_s", NOW)
    yield lambda: vector_stores.page(db, 1, PageQuery(after="vs_s"), NOW)
    yield lambda: vector_stores.attach(db, 1, "vs_s", joining_)
    yield lambda: members.member(db, 1, "vs_s", "file-1")
    yield lambda: members.page(db, 1, PageQuery(after="file-1"), Shelf(1, None, None))
    yield lambda: members.page(db, 1, OLDEST, Shelf(1, None, "failed"))
    yield lambda: members.page(db, 1, OLDEST, Shelf(1, 1, "failed"))
    yield lambda: members.documents(db, 1, ["doc_1_1"])
    yield lambda: members.label(db, 1, "vs_s", "file-1", {})
    yield lambda: members.stores_of(db, 1, "file-1")
    yield lambda: batches.cancel(db, 1, "vs_s", "vsfb_1")
    yield lambda: ingestion.claim(db, Claim("me", NOW, LATER), 2, 4)
    yield lambda: ingestion.claim(db, Claim("you", LATER + 1, LATER + 2), 2, 4)
    yield lambda: ingestion.renew(db, "you", [("doc_3_1", 2)], LATER)
    yield lambda: ingestion.finish(db, Ingested(document="doc_3_1", fence=2, status="completed", dimension=3))
    yield lambda: ingestion.orphans(db, ["doc_1_1", "doc_x"])
    yield lambda: vector_stores.overdue(db, NOW)
    yield lambda: members.detach(db, 1, "vs_s", "file-2")
    yield lambda: files.files(db, 1, ["file-1"], NOW)
    yield lambda: files.page(db, 1, PageQuery(after="file-1"), None, NOW)
    yield lambda: files.page(db, 1, OLDEST, "batch", NOW)
    yield lambda: uploads.parts(db, 1, "upload_u")
    yield lambda: uploads.expire(db, NOW)
    yield lambda: files.delete(db, 1, "file-1")
    yield lambda: vector_stores.delete(db, 1, "vs_s")


async def test_no_query_reads_a_whole_table(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await begin(store, *(str(at) for at in range(50)))
        await shelves.save(store, "new")
        await store.vector_stores.attach(DEFAULT, "vs_s", [joining("1")], pack("1"), NOW)
        await store.files.save_upload(DEFAULT, upload("u"))
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        said: list[str] = []
        db.set_trace_callback(said.append)
        for query in queries(db):
            query()
        db.set_trace_callback(None)
        asked = [text for text in said if text.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"))]
        plans = {text: [line for *_, line in db.execute(f"EXPLAIN QUERY PLAN {text}")] for text in asked}
    assert len(plans) > 40
    # the leased ones are read whole: they are few, and nothing that has ended is among them
    scans = {
        text: line
        for text, lines in plans.items()
        for line in lines
        if line.startswith(tuple(f"SCAN {table}" for table in LARGE)) and "_leased" not in line
    }
    assert scans == {}
    pages = {text: lines for text, lines in plans.items() if "ORDER BY" in text and "LIMIT" in text}
    assert len(pages) > 5
    assert [text for text, lines in pages.items() if any("TEMP B-TREE" in line for line in lines)] == []


# against the store in memory


Step: TypeAlias = Callable[[Storage], Awaitable[object]]


class Play:
    """The same random calls to two stores, whose answers are compared."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.take = 0
        self.claimed: list[tuple[str, int]] = []
        self.batches = ["x"]
        self.now = float(NOW)

    def name(self) -> str:
        return self.random.choice("abcdef")

    def of(self) -> str:
        return self.random.choice("stx")

    def step(self) -> Step:
        """A call, which may be made to either store."""
        self.now += self.random.choice([0, 1, 9]) if self.random.random() < 0.99 else DAY
        self.take += 1
        kinds = [self.attach] * 6 + [self.claim] * 6 + [self.finish] * 8 + [self.look] * 8
        kinds += [self.file, self.create_store] * 3
        kinds += [self.renew, self.cancel, self.detach, self.label, self.delete_file, self.expire, self.delete_store]
        return self.random.choice(kinds)()

    def attach(self) -> Step:
        of, now = self.of(), self.now
        given = [joining(self.name(), of, take=self.take * 10 + at, at=at) for at in range(self.random.randrange(4))]
        batch = pack(str(self.take), of) if self.random.random() < 0.6 else None
        self.batches += [str(self.take)] if batch is not None else []
        return lambda store: store.vector_stores.attach(DEFAULT, f"vs_{of}", given, batch, now)

    def claim(self) -> Step:
        now, most, bound = self.now, self.random.randrange(4), self.random.randrange(1, 4)
        owner = self.random.choice(["me", "you"])

        async def run(store: Storage) -> object:
            found = await store.vector_stores.claim_files(owner, now, now + 30, most, bound)
            self.claimed += [(one.document, one.fence) for one in found]
            return found

        return run

    def finish(self) -> Step:
        document, fence = self.random.choice(self.claimed[-4:] or [("doc_x", 1)])
        status: FileStatus = self.random.choice(["completed", "completed", "failed"])
        end = Ingested(
            document=document, fence=fence, status=status, usage_bytes=self.random.randrange(99), dimension=3
        )
        return lambda store: store.vector_stores.finish_file(end)

    def renew(self) -> Step:
        asked, until = self.claimed[-4:], self.random.choice([0.0, self.now + 30])
        return lambda store: store.vector_stores.renew_files("me", list(dict.fromkeys(asked)), until)

    def cancel(self) -> Step:
        of, batch = self.of(), f"vsfb_{self.random.choice(self.batches[-3:])}"
        return lambda store: store.vector_stores.cancel_batch(DEFAULT, f"vs_{of}", batch)

    def detach(self) -> Step:
        of, name = self.of(), self.name()
        return lambda store: store.vector_stores.detach(DEFAULT, f"vs_{of}", f"file-{name}")

    def label(self) -> Step:
        of, name = self.of(), self.name()
        return lambda store: store.vector_stores.set_attributes(DEFAULT, f"vs_{of}", f"file-{name}", {"k": of})

    def delete_file(self) -> Step:
        name = self.name()
        return lambda store: store.files.delete_file(DEFAULT, f"file-{name}")

    def file(self) -> Step:
        until = self.random.choice([None, int(self.now) + 300])
        given = shelves.file(self.name(), expires=until)

        async def run(store: Storage) -> object:
            if (await store.files.files(DEFAULT, [given.file.id], 0)).get(given.file.id) is None:
                await store.files.save_file(DEFAULT, given)
            return None

        return run

    def expire(self) -> Step:
        now = self.now

        async def run(store: Storage) -> object:
            gone = [one.name for one in await store.files.expire_files(now)]
            stores = sorted(await store.vector_stores.expired_stores(now))
            return sorted(gone), stores, [await store.vector_stores.empty_store(*one) for one in stores]

        return run

    def create_store(self) -> Step:
        of, now = self.of(), int(self.now)
        given = structs.replace(shelf(of), created_at=now)
        files = [joining(self.name(), of, take=self.take * 10)]

        async def run(store: Storage) -> object:
            if await store.vector_stores.store(DEFAULT, f"vs_{of}", now) is None:
                return await store.vector_stores.create_store(DEFAULT, given, files)
            return None

        return run

    def delete_store(self) -> Step:
        of = self.of()
        return lambda store: store.vector_stores.delete_store(DEFAULT, f"vs_{of}")

    def look(self) -> Step:
        of, now, asked = self.of(), self.now, [document for document, _ in self.claimed[-9:]]
        batch = self.random.choice([None, f"vsfb_{self.random.choice(self.batches[-3:])}"])
        status: FileStatus | None = self.random.choice([None, "completed", "failed", "in_progress"])
        page = PageQuery(
            limit=self.random.randrange(1, 4),
            order=self.random.choice(["asc", "desc"]),
            after=self.random.choice([None, f"file-{self.name()}"]),
        )

        async def run(store: Storage) -> object:
            found: list[object] = [
                await store.vector_stores.store(DEFAULT, f"vs_{of}", now),
                await store.vector_stores.documents(DEFAULT, asked),
                await store.vector_stores.orphans(asked),
                await store.vector_stores.stores_of(DEFAULT, "file-a"),
                await store.vector_stores.batch(DEFAULT, f"vs_{of}", batch or "vsfb_1"),
            ]
            try:
                found.append(await store.vector_stores.members(DEFAULT, f"vs_{of}", page, status, batch))
            except InvalidRequestError as error:
                found.append(error.message)
            return found

        return run


@pytest.mark.parametrize("seed", range(amount(4, 200)))
async def test_whatever_happens_both_stores_say_the_same(seed: int, tmp_path: Path) -> None:
    play = Play(seed)
    answered: set[bytes] = set()
    async with opened(tmp_path) as disk:
        memory = MemoryStore(SeededClock())
        await memory.open()
        for store in (disk, memory):
            await shelves.save(store, *"abcdef")
            for name in "stx":
                await store.vector_stores.create_store(DEFAULT, shelf(name, days=1 if name == "x" else None), [])
        for _ in range(250):
            step = play.step()
            answers: list[bytes] = []
            before = list(play.claimed)
            for store in (disk, memory):
                play.claimed = list(before)
                answers.append(msgspec.json.encode(await step(store)))
            assert answers[0] == answers[1]
            answered.add(answers[0])
    assert miscounted(tmp_path) == []
    assert len(answered) > 50
