"""What the embedded index does besides its contract: several processes, faults, deletion, bounds, and a naive judge."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.indexes.embedded import FILE, EmbeddedIndex, IndexFile
from antiphon.adapters.indexes.memory import MemoryIndex
from antiphon.adapters.indexing.columns import Columns
from antiphon.core.chunking import Chunk
from antiphon.core.filters import Comparison, parse_filter
from antiphon.ports.index import Document, Index, Lookup, Match, Mode, Value
from antiphon.wire.errors import StoreError
from tests.adapters.indexer import words
from tests.contracts.searching import STORE, chunks, document, fill, hits, lookup, place, vectors
from tests.contracts.turns import DEFAULT, OTHER
from tests.core.test_filters import FILTERS, VALUES
from tests.long import amount

DEADLINE = 30
WORDS = "red fox whale frog café Käse 東京都 tree trees boxes box one two three".split()
TABLES = ("document", "segment", "passage", "vector", "posting", "store")


@asynccontextmanager
async def opened(folder: Path, **config: Any) -> AsyncGenerator[EmbeddedIndex]:
    index = EmbeddedIndex(SeededClock(), folder, IndexFile(**config))
    await index.open()
    try:
        yield index
    finally:
        await index.close()


def rows(folder: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


# by a naive judge


class Pair:
    """The embedded index and the naive one, on a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.stores = count()
        self.embedded = EmbeddedIndex(SeededClock(), folder)
        self.naive = MemoryIndex()
        for index in (self.embedded, self.naive):
            self.runner.run(index.open())

    def close(self) -> None:
        self.runner.run(self.embedded.close())
        self.runner.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.close()


NUMBERS = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])
VECTOR = st.tuples(NUMBERS, NUMBERS, NUMBERS).filter(any)
TEXT = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
DOCUMENT = st.fixed_dictionaries(
    {
        "chunks": st.lists(st.tuples(TEXT, VECTOR), min_size=1, max_size=20),
        "attributes": st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
        "plain": st.booleans(),
    }
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["label", "remove", "search"]),
        st.integers(0, 4),
        st.dictionaries(st.sampled_from("abc"), VALUES, max_size=2),
    ),
    max_size=4,
)
LOOKUPS = st.lists(
    st.tuples(
        st.sampled_from(["vector", "keyword", "hybrid"]),
        TEXT,
        VECTOR,
        st.integers(1, 12),
        st.one_of(st.none(), FILTERS),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=amount(40, 10_000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DOCUMENT, min_size=1, max_size=5), CHANGES, LOOKUPS)
def test_what_is_found_is_what_a_naive_index_finds(
    pair: Pair, documents: list[dict[str, Any]], changes: list[Any], lookups: list[Any]
) -> None:
    pair.runner.run(_compared(pair, f"vs_{next(pair.stores)}", documents, changes, lookups))


async def _compared(
    pair: Pair, store: str, documents: list[dict[str, Any]], changes: list[Any], lookups: list[Any]
) -> None:
    for index in (pair.naive, pair.embedded):
        for at, each in enumerate(documents):
            texts, points = zip(*each["chunks"], strict=True)
            given_vectors = None if each["plain"] else vectors(*points)
            await index.add(document(str(at), store), chunks(*texts), given_vectors)
            await index.publish(document(str(at), store), each["attributes"])
        for change, at, attributes in changes:
            if change == "label":
                await index.label(document(str(at), store), attributes)
            elif change == "remove":
                await index.remove([document(str(at), store)])
            else:
                await index.search(DEFAULT, store, lookup("fox", (1, 0, 0)))
    for mode, text, vector, limit, raw in lookups:
        judged = parse_filter(raw, "filters") if raw is not None else None
        wanted = lookup(text, None if mode == "keyword" else vector, mode=mode, limit=limit, filter=judged)
        whole = lookup(text, None if mode == "keyword" else vector, mode=mode, limit=1000, filter=judged)
        found = await pair.embedded.search(DEFAULT, store, wanted)
        assert_best(found, await pair.naive.search(DEFAULT, store, whole), wanted)


def assert_best(found: Sequence[Match], whole: Sequence[Match], wanted: Lookup) -> None:
    """`found` are the best of `whole`, with equal scores; which of equal ones is left open."""
    known = {(match.document, match.chunk.position): match for match in whole}
    assert len({(match.document, match.chunk.position) for match in found}) == len(found)
    for match in found:
        other = known[match.document, match.chunk.position]
        assert (match.chunk, match.attributes, match.file_id) == (other.chunk, other.attributes, other.file_id)
        assert match.similarity == (None if other.similarity is None else pytest.approx(other.similarity, abs=2e-3))
        assert match.relevance == (None if other.relevance is None else pytest.approx(other.relevance, rel=1e-4))
    for name in ("similarity", "relevance"):
        best = sorted((s for s in (getattr(match, name) for match in whole) if s is not None), reverse=True)
        mine = sorted((s for s in (getattr(match, name) for match in found) if s is not None), reverse=True)
        assert mine[: wanted.limit] == pytest.approx(best[: wanted.limit], abs=2e-3)


# several processes


async def test_another_process_finds_what_this_one_did_at_its_next_search(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        for at in range(3):
            await place(one, document(f"n{at}"), [(1, at), (at, 1)], {"at": at})
            assert len(await hits(two, lookup("point", (1, 0)))) == 2 * at + 2
        wanted = parse_filter({"type": "eq", "key": "at", "value": 7}, "filters")
        assert await hits(two, lookup("point", filter=wanted)) == []
        await one.label(document("n1"), {"at": 7})
        assert len(await hits(two, lookup("point", filter=wanted))) == 2
        await one.remove([document("n1")])
        assert len(await hits(two, lookup("point", (1, 0)))) == 4
        await one.drop(DEFAULT, STORE)
        assert await hits(two, lookup("point", (1, 0))) == []
        await place(one, document("new"), [(1, 0, 0)])
        assert await hits(two, lookup("point", (1, 0, 0))) == ["new/0"]


async def test_two_processes_add_to_one_store_and_one_document(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:

        async def added(index: Index, name: str) -> None:
            for begin in range(0, 60, 6):
                given = chunks(*[f"red {n}" for n in range(begin, begin + 6)], first=begin)
                await index.add(document(name), given, vectors(*[(1, n) for n in range(begin, begin + 6)]))

        await asyncio.gather(added(one, "a"), added(two, "b"), added(one, "same"), added(two, "same"))
        for name in ("a", "b", "same"):
            assert [chunk.position for chunk in await two.content(document(name))] == list(range(60))
            await one.publish(document(name), {})
        assert len(await hits(two, lookup("red", limit=1000))) == 180


# faults


async def child(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.adapters.indexer", str(folder), *arguments),
        stdout=PIPE,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("pause", [0.02 * at for at in range(amount(3, 40))])
async def test_a_killed_process_leaves_what_it_acknowledged(tmp_path: Path, pause: float) -> None:
    process = await child(tmp_path)
    assert process.stdout is not None
    told: dict[str, int] = {}
    async with asyncio.timeout(DEADLINE):
        while len(told) < 6:
            name, number = (await process.stdout.readline()).decode().split()
            told[name] = int(number)
        await asyncio.sleep(pause)
        process.kill()
        for line in (await process.communicate())[0].decode().splitlines():
            if len(line.split()) == 2:  # the last one may be cut
                told[line.split()[0]] = int(line.split()[1])
    async with opened(tmp_path) as index:
        await assert_whole(index, told)


async def assert_whole(index: EmbeddedIndex, told: dict[str, int]) -> None:
    """What was acknowledged is there, each chunk once, and what was published is found by vectors and words."""
    async for some in index.stored():
        for each in some:
            there = await index.content(each)
            assert len(there) == await index.count(each) >= told.get(each.id, 0)
            assert [chunk.position for chunk in there] == list(range(len(there)))
            assert all(chunk.text == words(each.id, chunk.position) for chunk in there)
            await index.publish(each, {})
            told.pop(each.id, None)
    assert not {name for name, number in told.items() if number}
    found = await index.search(DEFAULT, STORE, lookup("red", (1, 0, 0), limit=100_000))
    assert len(found) == len({(match.document, match.chunk.position) for match in found})
    assert all(match.similarity is not None and match.relevance is not None for match in found)


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        process = await child(tmp_path, "400000")
        lines = (await process.communicate())[0].decode().splitlines()
    assert process.returncode == 0
    assert lines[-1] == "! The store's disk failed."
    told = {line.split()[0]: int(line.split()[1]) for line in lines[:-1]}
    assert sum(told.values()) > 100
    async with opened(tmp_path) as index:
        await assert_whole(index, told)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        await EmbeddedIndex(SeededClock(), tmp_path).open()


async def test_what_a_dead_process_had_begun_to_remove_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        await fill(index, document("a"), ["red fox"] * 40)
        await fill(index, document("b"), ["red whale"])
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("UPDATE document SET state = 2 WHERE id = 'doc_a'")
        db.commit()
    async with opened(tmp_path) as index:
        assert await hits(index, lookup("red")) == ["b/0"]
        assert [each.id async for some in index.stored() for each in some] == ["doc_b"]
    left = rows(tmp_path)
    assert (left["document"], left["segment"], left["posting"]) == (1, 1, 2)


# deletion


async def test_deletion_deletes_and_the_space_is_used_again(tmp_path: Path) -> None:
    texts = [f"{word} number {at} of many words here" for at in range(200) for word in WORDS]

    async def filled(index: EmbeddedIndex, name: str) -> None:
        await index.add(
            document(name), chunks(*texts), vectors(*[(at % 7 + 1.0, 1.0, 0.0) for at in range(len(texts))])
        )
        await index.publish(document(name), {"name": name})

    async with opened(tmp_path) as index:
        await fill(index, document("kept"), ["red fox"])
        await filled(index, "first")
        await index.remove([document("first")])
    left = rows(tmp_path)
    assert (left["document"], left["segment"], left["passage"], left["vector"], left["posting"]) == (1, 1, 1, 0, 2)
    size = (tmp_path / FILE).stat().st_size
    async with opened(tmp_path) as index:
        for at in range(4):
            await filled(index, str(at))
            await index.remove([document(str(at))])
        await index.drop(DEFAULT, STORE)
    assert set(rows(tmp_path).values()) == {0}
    assert (tmp_path / FILE).stat().st_size < 1.2 * size


async def test_many_documents_are_removed_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        names = [document(str(at)) for at in range(150)]
        for each in names:
            await fill(index, each, ["red fox"])
        assert len(await hits(index, lookup("fox", limit=500))) == 150
        await index.remove(names[:140])
        assert len(await hits(index, lookup("fox", limit=500))) == 10


# bounds


async def test_stores_that_were_not_used_for_longest_leave_the_memory(tmp_path: Path) -> None:
    size = 128
    points = [[float(n == at % size) for n in range(size)] for at in range(1200)]  # 300 KB as float16
    async with opened(tmp_path, memory_mb=1) as index:
        for store in range(8):
            await place(index, document("a", f"vs_{store}"), points)
        for turn in range(2):
            for store in range(8):
                assert len(await hits(index, lookup(vector=points[turn], limit=9), f"vs_{store}")) == 9
        for store in range(8):  # stores that are not there take no memory
            assert await hits(index, lookup("fox"), f"vs_none_{store}") == []
        assert index.memory <= 1024 * 1024


async def test_a_store_that_changes_all_the_time_stays_small_in_memory(tmp_path: Path) -> None:
    points = [[1.0, float(at), 0.0, 0.0] for at in range(500)]
    async with opened(tmp_path) as index:
        await place(index, document("kept"), points[:5])
        most = 0
        for at in range(15):
            await place(index, document(str(at)), points)
            assert len(await hits(index, lookup(vector=points[0], limit=600))) == 505
            most = max(most, index.memory)
            await index.remove([document(str(at))])
        assert len(await hits(index, lookup(vector=points[0], limit=600))) == 5
        assert most < 1_000_000


def test_values_that_no_document_has_any_more_are_forgotten() -> None:
    columns = Columns()
    for turn in range(3000):
        for at in range(3):
            columns.set(at, {"turn": turn, "at": at, "even": turn % 2 == 0}, new=turn == 0)
    assert columns.bytes < 1_000_000
    for key, value, fitting in (("turn", 2999, [1, 1, 1]), ("turn", 2998, [0, 0, 0]), ("at", 1, [0, 1, 0])):
        assert columns.mask(Comparison(type="eq", key=key, value=value)).tolist() == [bool(each) for each in fitting]


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
async def test_a_question_of_a_megabyte_takes_no_longer_than_others(tmp_path: Path, mode: Mode) -> None:
    async with opened(tmp_path) as index:
        await fill(index, document("a"), [f"word{at} red" for at in range(100)])
        question = " ".join(f"word{at}" for at in range(120_000))
        async with asyncio.timeout(2):
            for _ in range(20):
                vector = None if mode == "keyword" else (1.0, 0.0)
                assert len(await index.search(DEFAULT, STORE, lookup(question, vector, mode=mode))) == 10


# sizes


async def test_overlapping_text_and_its_words_take_little_space(tmp_path: Path) -> None:
    """Half a megabyte of text in chunks that overlap by half, with vectors of 512 numbers."""
    dice = random.Random(7)
    known = ["".join(dice.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(dice.randint(2, 9))) for _ in range(4000)]
    text = ""
    while len(text) < 500_000:
        text += " ".join(dice.choices(known, [1 / (at + 1) for at in range(len(known))], k=200)) + ". "
    given = [
        Chunk(position=at, text=text[begin : begin + 3000], start=begin, end=min(begin + 3000, len(text)))
        for at, begin in enumerate(range(0, len(text), 1500))
    ]
    async with opened(tmp_path) as index:
        for begin in range(0, len(given), 64):
            some = given[begin : begin + 64]
            await index.add(document("a"), some, vectors(*[[dice.random() for _ in range(512)] for _ in some]))
        await index.publish(document("a"), {})
        assert list(await index.content(document("a"))) == given
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size < len(given) * 512 * 2 + 1.8 * len(text)


async def test_nothing_heavy_is_imported_before_an_index_is_used(tmp_path: Path) -> None:
    lines = (
        "import sys, asyncio, pathlib",
        "from antiphon.adapters.clock import SystemClock",
        "from antiphon.adapters.indexes.embedded import EmbeddedIndex",
        f"index = EmbeddedIndex(SystemClock(), pathlib.Path({str(tmp_path)!r}))",
        "asyncio.run(index.open())",
        "print([name for name in ('numpy', 'usearch', 'numkong', 'onnxruntime') if name in sys.modules])",
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "\n".join(lines), stdout=PIPE)
    async with asyncio.timeout(DEADLINE):
        assert (await process.communicate())[0].decode().strip() == "[]"


async def test_projects_of_one_file_do_not_meet(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        for project in (DEFAULT, OTHER):
            await index.add(Document(project=project, store_id=STORE, id="doc_a", file_id=project), chunks("red"), None)
        attributes: dict[str, Value] = {"project": "default"}
        await index.publish(document("a"), attributes)
        assert await index.count(document("a", project=OTHER)) == 1
        assert await hits(index, lookup("red"), project=OTHER) == []
