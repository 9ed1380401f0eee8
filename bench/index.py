"""`python -m bench.index`: fill an embedded index, search it from a fresh process, print a table.

The vectors lie near a surface of 32 dimensions, in clusters, as those of texts do: a random centre (one for 200 chunks)
plus noise, turned into the full dimension, plus a little noise there. Words are drawn by Zipf's law. Questions are
vectors of the same kind that are in no document. Recall is the share of the true ten nearest that were found, by a
comparison with all vectors as they were given (float32).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.indexes.embedded import EmbeddedIndex, IndexFile
from antiphon.core.chunking import Chunk
from antiphon.core.filters import Comparison, Filter
from antiphon.ports.index import Document, Lookup, Mode, Vectors

PROJECT, STORE = "default", "vs_bench"
BATCH = 128
WORDS = 60_000
INNER = 32
QUESTION = "what is w00010 the w00100 and w00200 of w01000"
Floats: TypeAlias = NDArray[np.float32]


class Options(argparse.Namespace):
    """What the command line says."""

    chunks: list[int]
    dimension: int
    words: int
    per: int
    questions: int
    above: int
    folder: Path
    child: Path | None


class Searched(msgspec.Struct):
    """What the searching process tells: milliseconds, bytes, and what it found for each question."""

    load: float
    vector: list[float]
    filtered: list[float]
    selective: list[float]
    keyword: list[float]
    hybrid: list[float]
    graph: bool
    bytes: int
    rss: int
    found: list[list[int]]


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.index", description=__doc__)
    parser.add_argument(
        "--chunks", type=lambda text: [int(each) for each in text.split(",")], default=[10_000, 100_000]
    )
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--words", type=int, default=200, help="words of a chunk")
    parser.add_argument("--per", type=int, default=50, help="chunks of a document")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--above", type=int, default=200_000, help="vectors above which a graph is made")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the index is made")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(namespace=Options())


class World:
    """Vectors and texts by seed: the same in both processes."""

    def __init__(self, chunks: int, wanted: Options) -> None:
        dice = np.random.default_rng(1)
        self._centres = dice.standard_normal((max(8, chunks // 200), INNER)).astype(np.float32)
        self._turn = dice.standard_normal((INNER, wanted.dimension)).astype(np.float32) / INNER**0.5
        self._words = wanted.words
        self._names = [f"w{at:05x}" for at in range(WORDS)]
        weights = 1 / np.arange(1, WORDS + 1)
        self._drawn = dice.choice(WORDS, 2_000_000, p=weights / weights.sum())

    def vectors(self, number: int, seed: int) -> Floats:
        """So many vectors."""
        dice = np.random.default_rng(seed)
        centres = self._centres[dice.integers(0, len(self._centres), number)]
        found = (centres + 0.6 * dice.standard_normal((number, INNER), np.float32)) @ self._turn
        return np.asarray(found + 0.1 * dice.standard_normal(found.shape, np.float32), np.float32)

    def texts(self, number: int, seed: int) -> Iterator[str]:
        """So many texts."""
        for begin in np.random.default_rng(seed).integers(0, len(self._drawn) - self._words, number).tolist():
            drawn: list[int] = self._drawn[begin : begin + self._words].tolist()
            yield " ".join([self._names[at] for at in drawn])


# filling


async def fill(index: EmbeddedIndex, world: World, chunks: int, wanted: Options) -> tuple[float, Floats]:
    """Fill the store; CPU seconds of the index alone, and the vectors."""
    given = np.empty((chunks, wanted.dimension), np.float32)
    spent = 0.0
    for number, begin in enumerate(range(0, chunks, wanted.per)):
        document = Document(project=PROJECT, store_id=STORE, id=f"doc_{number:048x}", file_id=f"file-{number:048x}")
        for at in range(begin, min(begin + wanted.per, chunks), BATCH):
            size = min(BATCH, begin + wanted.per - at, chunks - at)
            given[at : at + size] = world.vectors(size, at + 10)
            made = [
                Chunk(position=at - begin + n, text=text, start=(at + n) * 9999, end=(at + n) * 9999 + len(text))
                for n, text in enumerate(world.texts(size, at + 10))
            ]
            before = time.process_time()
            await index.add(document, made, Vectors(wanted.dimension, given[at : at + size].tobytes()))
            spent += time.process_time() - before
        await index.publish(document, {"number": number, "kind": "abcd"[number % 4], "year": 1990 + number % 50})
    return spent, given


async def filled(folder: Path, world: World, chunks: int, wanted: Options) -> Floats:
    """Fill a store and print what that took; where it is large, wait for its graph."""
    index = EmbeddedIndex(SystemClock(), folder, IndexFile(graph_above=wanted.above))
    await index.open()
    cpu, given = await fill(index, world, chunks, wanted)
    begun = time.perf_counter()
    if chunks > wanted.above:
        while not index.graphs:
            await search(index, world.vectors(1, 3)[0], "vector")
            await asyncio.sleep(1)
    waited = time.perf_counter() - begun
    await index.close()
    size, text = _size(folder), chunks * wanted.words * 7
    print(
        f"\n## {chunks:,} chunks of {wanted.words} words, {wanted.dimension} dimensions, {wanted.per} a document\n\n"
        f"filling: {cpu / chunks * 1e6:.0f} us CPU a chunk, graph after {waited:.0f} s\n"
        f"disk: {size / 1e6:.1f} MB for {text / 1e6:.1f} MB of text and {given.nbytes / 2e6:.1f} MB of float16\n",
        flush=True,
    )
    return given


# searching


async def search(
    index: EmbeddedIndex, vector: Floats, mode: Mode, passing: Filter | None = None
) -> list[tuple[int, int]]:
    """Document and position of the ten best."""
    given = None if mode == "keyword" else Vectors(len(vector), vector.tobytes())
    found = await index.search(PROJECT, STORE, Lookup(text=QUESTION, vector=given, mode=mode, limit=10, filter=passing))
    return [(int(match.document[4:], 16), match.chunk.position) for match in found]


async def searched(folder: Path, wanted: Options) -> Searched:
    """Search the store that is there."""
    index = EmbeddedIndex(SystemClock(), folder, IndexFile(graph_above=wanted.above))
    await index.open()
    world = World(wanted.chunks[0], wanted)
    questions = world.vectors(wanted.questions, 5)
    for name in ("onnxruntime", "usearch.index", "antiphon.adapters.indexing.engine"):  # in this order
        importlib.import_module(name)
    before = _rss()
    begun = time.perf_counter()
    await search(index, questions[0], "vector")
    load = time.perf_counter() - begun
    half = Comparison(type="in", key="kind", value=("a", "c"))
    rare = Comparison(type="eq", key="year", value=2010)
    found = [await search(index, question, "vector") for question in questions]
    rss = _rss() - before

    async def timed(mode: Mode, passing: Filter | None = None) -> list[float]:
        return await _quantiles([lambda q=q: search(index, q, mode, passing) for q in questions])

    told = Searched(
        load=load * 1e3,
        vector=await timed("vector"),
        filtered=await timed("vector", half),
        selective=await timed("vector", rare),
        keyword=await timed("keyword"),
        hybrid=await timed("hybrid"),
        graph=index.graphs > 0,
        bytes=index.memory,
        rss=rss,
        found=[[number * wanted.per + position for number, position in each] for each in found],
    )
    await index.close()
    return told


async def _quantiles(calls: list[Callable[[], Awaitable[object]]]) -> list[float]:
    """Milliseconds that half of the calls take, and that a tenth of them takes (what it is on an idle machine)."""
    taken: list[float] = []
    for call in calls:
        begun = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - begun)
    return [median(taken) * 1e3, quantiles(taken, n=10)[0] * 1e3]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _rss() -> int:
    """Bytes of this process in memory, with mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def recall(given: Floats, questions: Floats, found: list[list[int]]) -> float:
    """The share of the true ten nearest."""
    units = given / np.linalg.norm(given, axis=1, keepdims=True)
    hits = 0
    for question, rows in zip(questions, found, strict=True):
        similar = units @ (question / np.linalg.norm(question))
        hits += len(set(np.argpartition(similar, len(similar) - 10)[-10:].tolist()) & set(rows))
    return hits / (10 * len(questions))


async def measure(chunks: int, wanted: Options) -> None:
    """Fill, search in another process, print."""
    folder = Path(tempfile.mkdtemp(dir=wanted.folder))
    try:
        world = World(chunks, wanted)
        given = await filled(folder, world, chunks, wanted)
        arguments = [
            f"--{name}={getattr(wanted, name)}" for name in ("dimension", "words", "per", "questions", "above")
        ]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.index", f"--child={folder}", f"--chunks={chunks}", *arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        told = msgspec.json.decode((await process.communicate())[0], type=Searched)
        share = recall(given, world.vectors(wanted.questions, 5), told.found)
        print("| search, p50 (p10) ms | vector | half pass | 2 % pass | keyword | hybrid | recall@10 | first search |")
        print("|---|---|---|---|---|---|---|---|")
        times = [told.vector, told.filtered, told.selective, told.keyword, told.hybrid]
        cells = [f"{half:.2f} ({tenth:.2f})" for half, tenth in times]
        how = "graph" if told.graph else "exact"
        print(f"| {how} | {' | '.join(cells)} | {share:.4f} | {told.load:.0f} ms |\n")
        halves = given.nbytes / 2
        print(f"memory: {told.bytes / halves:.2f} x float16 by its own count, {told.rss / halves:.2f} x by the system")
        print(f"peak of the process that filled: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    finally:
        shutil.rmtree(folder)


async def main() -> None:
    """Measure every size."""
    wanted = options()
    if wanted.child is not None:
        sys.stdout.write(msgspec.json.encode(await searched(wanted.child, wanted)).decode())
        return
    for chunks in wanted.chunks:
        await measure(chunks, wanted)


if __name__ == "__main__":
    asyncio.run(main())
