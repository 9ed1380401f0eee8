"""`python -m bench.retrieval FOLDER`: nDCG@10 and recall of search, on a set in the format of BEIR.

FOLDER holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/test.tsv` (query,
document, grade; one line of headings). Every document becomes a file of one store, through HTTP as a client does it.
Without `--base-url` a server is started for it, with the settings of this shell's `ANTIPHON_*` variables (so
`ANTIPHON_EMBEDDER_KIND` chooses the embedder) and an empty data folder that goes with it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import aiohttp
import msgspec

from bench.server import stop

CUT = 10
"""Places that nDCG looks at."""
DEPTH = 50
"""Places that recall looks at besides, and chunks that are asked for."""
AT_ONCE = 8
PATIENCE = 3600.0


class Options(argparse.Namespace):
    """What the command line says."""

    folder: Path
    base_url: str | None
    key: str
    modes: list[str]
    ranker: str
    model: str | None
    limit: int


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=__doc__)
    parser.add_argument("folder", type=Path, help="the set")
    parser.add_argument("--base-url", help="a server that already runs, with /v1")
    parser.add_argument("--key", default="sk-bench")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["keyword", "vector", "hybrid"])
    parser.add_argument("--ranker", default="auto", help="the `ranker` of `ranking_options`")
    parser.add_argument("--model", help="the embedding model; default: the server's own")
    parser.add_argument("--limit", type=int, default=0, help="only so many questions")
    return parser.parse_args(namespace=Options())


class Passage(msgspec.Struct):
    """A document."""

    id: str = msgspec.field(name="_id")
    text: str = ""
    title: str = ""


class Query(msgspec.Struct):
    """A question."""

    id: str = msgspec.field(name="_id")
    text: str = ""


class Set(msgspec.Struct, frozen=True):
    """Documents, questions, and for each question the documents that answer it, with their grades."""

    corpus: Sequence[Passage]
    queries: Sequence[Query]
    grades: Mapping[str, Mapping[str, int]]


class Quality(msgspec.Struct, frozen=True):
    """How well a mode of search answers: means over the questions, and milliseconds."""

    mode: str
    ndcg: float
    recall: float
    deep: float
    p50: float

    @property
    def line(self) -> str:
        """A row of the table."""
        return f"| {self.mode} | {self.ndcg:.4f} | {self.recall:.4f} | {self.deep:.4f} | {self.p50:.1f} |"


def load(folder: Path, limit: int = 0) -> Set:
    """Read a set; questions that nothing answers are left out."""
    corpus = msgspec.json.Decoder(Passage).decode_lines((folder / "corpus.jsonl").read_bytes())
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            grades.setdefault(query, {})[document] = int(grade)
    queries = msgspec.json.Decoder(Query).decode_lines((folder / "queries.jsonl").read_bytes())
    asked = [query for query in queries if query.id in grades]
    return Set(corpus, asked[:limit] if limit else asked, grades)


# measures


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], cut: int = CUT) -> float:
    """Normalised discounted cumulative gain, with the grade as the gain."""
    gained = _discounted(grades.get(document, 0) for document in ranking[:cut])
    return gained / _discounted(sorted(grades.values(), reverse=True)[:cut])


def recall(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    """The share of the documents that answer which is in the first places."""
    return len(grades.keys() & set(ranking[:cut])) / len(grades)


def _discounted(gains: Iterable[int]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


# the server


class Server:
    """Vector stores over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, body: Any = None, form: aiohttp.FormData | None = None) -> Any:
        """One request; ends the program unless it succeeds."""
        async with self._session.request(method, f"{self._url}{path}", json=body, data=form) as answer:
            if answer.status != 200:
                raise SystemExit(f"{method} {path}: {answer.status} {(await answer.text())[:500]}")
            return await answer.json()

    async def store(self, corpus: Sequence[Passage], model: str | None) -> str:
        """A store with all documents; each file is named for its document."""
        store: dict[str, Any] = {"name": "bench"} | ({"embedding_model": model} if model else {})
        store_id: str = (await self.ask("POST", "/vector_stores", store))["id"]
        gate = asyncio.Semaphore(AT_ONCE)

        async def uploaded(number: int, passage: Passage) -> str:
            form = aiohttp.FormData()
            form.add_field("purpose", "assistants")
            text = f"{passage.title}\n\n{passage.text}".strip() or passage.id
            form.add_field("file", text.encode(), filename=f"{number}.txt", content_type="text/plain")
            async with gate:
                return str((await self.ask("POST", "/files", form=form))["id"])

        files = await asyncio.gather(*(uploaded(number, passage) for number, passage in enumerate(corpus)))
        for at in range(0, len(files), 2000):
            batch = await self.ask(
                "POST", f"/vector_stores/{store_id}/file_batches", {"file_ids": files[at : at + 2000]}
            )
            await self._settled(store_id, batch["id"])
        return store_id

    async def _settled(self, store_id: str, batch_id: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                batch = await self.ask("GET", f"/vector_stores/{store_id}/file_batches/{batch_id}")
                if batch["status"] != "in_progress":
                    break
                await asyncio.sleep(0.2)
        if batch["file_counts"]["failed"]:
            failed = await self.ask("GET", f"/vector_stores/{store_id}/files?filter=failed&limit=1")
            raise SystemExit(f"{batch['file_counts']['failed']} documents failed: {failed['data'][0]['last_error']}")

    async def ranking(self, store_id: str, query: str, mode: str, ranker: str) -> list[int]:
        """Places in the corpus of the documents that are found, best first."""
        body = {
            "query": query,
            "max_num_results": DEPTH,
            "search_mode": mode,
            "ranking_options": {"ranker": ranker},
        }
        page = await self.ask("POST", f"/vector_stores/{store_id}/search", body)
        return list(dict.fromkeys(int(hit["filename"].partition(".")[0]) for hit in page["data"]))


async def measured(server: Server, wanted: Set, modes: Sequence[str], ranker: str, model: str | None) -> list[Quality]:
    """Fill a store, ask all questions in each mode, delete the store."""
    store_id = await server.store(wanted.corpus, model)
    found: list[Quality] = []
    for mode in modes:
        taken: list[float] = []
        scores: list[tuple[float, float, float]] = []
        for query in wanted.queries:
            begun = time.perf_counter()
            places = await server.ranking(store_id, query.text, mode, ranker)
            taken.append((time.perf_counter() - begun) * 1e3)
            ranking, grades = [wanted.corpus[place].id for place in places], wanted.grades[query.id]
            scores.append((ndcg(ranking, grades), recall(ranking, grades, CUT), recall(ranking, grades, DEPTH)))
        means = [fmean(each) for each in zip(*scores, strict=True)]
        found.append(Quality(mode, means[0], means[1], means[2], median(taken)))
    await server.ask("DELETE", f"/vector_stores/{store_id}")
    return found


@asynccontextmanager
async def started() -> AsyncGenerator[str]:
    """The URL of a server of our own."""
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        command = [str(Path(sys.executable).with_name("antiphon")), "serve", "--port", "0", "--data", name]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(60):
                line = (await process.stdout.readline()).decode()
            if not line.startswith("antiphon listening on "):
                raise SystemExit(f"the server did not start: {line}")
            yield f"{line.split()[-1]}/v1"
        finally:
            await stop(process)


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncGenerator[Server]:
    """The server at this URL."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=600)) as session:
        yield Server(session, url.rstrip("/"))


async def run(wanted: Options, url: str) -> None:
    """Measure and print."""
    given = load(wanted.folder, wanted.limit)
    print(f"{wanted.folder.name}: {len(given.corpus)} documents, {len(given.queries)} questions\n")
    async with connected(url, wanted.key) as server:
        found = await measured(server, given, wanted.modes, wanted.ranker, wanted.model)
    print(f"| mode | nDCG@{CUT} | recall@{CUT} | recall@{DEPTH} | p50 ms |\n|---|---|---|---|---|")
    print("\n".join(each.line for each in found))


async def main() -> None:
    """Measure the server that runs, or one of our own."""
    wanted = options()
    if wanted.base_url is not None:
        await run(wanted, wanted.base_url)
        return
    async with started() as url:
        await run(wanted, url)


if __name__ == "__main__":
    asyncio.run(main())
