"""One episode of the ingestion matrix: a server that ingests, SIGKILL at a point, and what is there after a restart.

Beside the file that is brought to the point there are others anywhere in their course, and one that is ready. The index
is read through its port between the death and the restart, when nobody writes it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias, cast

import aiohttp
import msgspec

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.core.chunking import Chunk, searched
from antiphon.ports.index import Document, Index, Lookup
from tests.kill.client import BROKEN
from tests.kill.house import LEASE, House, Server
from tests.kill.vectors import LINE, MODEL, Vectors, text_of
from tests.patience import eventually

Json: TypeAlias = dict[str, Any]

LINES: Final = 160
"""Lines of the document that is struck; five to a chunk or so, eight chunks to a request."""
BATCH: Final = 8
SMALL: Final = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}
DEADLINE: Final = 30.0
ATTACHED: Final = 5
"""Files of the batch."""


class Point(Enum):
    """Where the primary file is when the process dies."""

    CLAIMED = "after claim"
    EXTRACTED = "after extraction"
    ADDED = "after some batches"
    WHOLE = "before publish"
    PUBLISHED = "before finish"
    ATTACHING = "during attach"


class Attached(msgspec.Struct):
    """A file that a client asked to have in a store. `acknowledged`: it was told so."""

    key: str
    store: str
    file: str
    acknowledged: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """The index as the dead process left it, and as it is in the end: chunks by document."""

    chunks: dict[str, list[Chunk]]
    files: dict[str, str]

    def of(self, file: str) -> list[Chunk]:
        """The chunks of a file that is in one store."""
        return [chunk for name, chunks in self.chunks.items() if self.files[name] == file for chunk in chunks]

    @property
    def texts(self) -> set[str]:
        """What need not be embedded again."""
        return {searched(chunk) for chunks in self.chunks.values() for chunk in chunks}


def settings(vectors: Vectors) -> str:
    """What the servers need beyond the other matrix."""
    return f"""
[embedder]
kind = "openai"
base_url = "{vectors.url}/v1"
model = "{MODEL}"
most_texts = {BATCH}

[ingestion]
lease = {LEASE}
documents_project = 4
"""


class Ingesting:
    """`attached` is all that clients asked for; `kept` the chunks that lay in the index at the fault."""

    def __init__(self, house: House, vectors: Vectors, session: aiohttp.ClientSession, rng: Random) -> None:
        self.house = house
        self.vectors = vectors
        self.rng = rng
        self.attached: list[Attached] = []
        self.server: Server
        self.kept = Snapshot({}, {})
        self.again: Counter[str] = Counter()
        """What was embedded after the fault."""
        self._session = session
        self._stores: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self, point: Point) -> None:
        """Work, death, restart, until nothing is in progress. Afterwards `server` serves."""
        await self.begin()
        await self.attach(await self.upload("before", 12))
        await eventually(self.over, deadline=DEADLINE)
        if point is Point.ATTACHING:
            await self._strike_attach()
        else:
            await self._strike(point)
        self.kept = await self.snapshot()
        self.vectors.free()
        self.vectors.forget()
        await self._restart()
        self.again = Counter(self.vectors.asked)

    # work

    async def begin(self) -> None:
        """A server and its stores."""
        self.server = await self.house.start()
        self._stores = [(await self.post("/vector_stores", {"name": name}))["id"] for name in ("one", "two")]

    async def upload(self, key: str, lines: int) -> Attached:
        """A file that is meant for one of the stores."""
        form = aiohttp.FormData({"purpose": "assistants"})
        content = text_of(key, lines, Random(key)).encode()
        form.add_field("file", content, filename=f"{key}.txt", content_type="text/plain")
        async with self._session.post(f"{self.server.url}/v1/files", data=form) as answer:
            found = await answer.json()
            assert answer.status == 200, found
        return Attached(key, self.rng.choice(self._stores), found["id"])

    async def attach(self, file: Attached) -> None:
        """Ask for it."""
        self.attached.append(file)
        await self.post(f"/vector_stores/{file.store}/files", {"file_id": file.file, "chunking_strategy": SMALL})
        file.acknowledged = True

    async def _companions(self) -> None:
        """Files anywhere in their course."""
        for number in range(2):
            file = await self.upload(f"companion{number}", self.rng.randint(10, LINES))
            if number and self.rng.random() < 0.6:  # one of them: two would take all the calls that a process makes
                self.vectors.hold(file.key, self.rng.randrange(LINES))
            await self.attach(file)

    # the fault

    async def _strike(self, point: Point) -> None:
        primary = await self.upload("primary", LINES)
        last = LINES - 1
        lines = {Point.EXTRACTED: 0, Point.ADDED: self.rng.randrange(LINES // 3, last)}
        if point is not Point.CLAIMED:
            self.vectors.hold(primary.key, lines.get(point, last))
        await self._companions()
        await self.attach(primary)
        if point is Point.CLAIMED:
            await self._claimed(primary)
        else:
            await self.vectors.reached(primary.key)
        if point in {Point.WHOLE, Point.PUBLISHED}:
            await self._strike_locked(point, primary)
        else:
            await asyncio.sleep(self.rng.uniform(0, 0.03))
            await self.server.kill()

    async def _claimed(self, file: Attached) -> None:
        """Return as soon as the file is somebody's, or over: a small part of a millisecond counts here."""
        join = "vector_store_file AS member JOIN file ON file.key = file_id"
        asked = f"SELECT 1 FROM {join} WHERE file.id = ? AND (owner IS NOT NULL OR status != 'in_progress')"
        async with asyncio.timeout(DEADLINE):
            while not self.house.rows(asked, file.file):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)

    async def _strike_locked(self, point: Point, primary: Attached) -> None:
        """Keep the last chunks waiting, or (when all of them are there and found) the end of the file."""
        with self.house.locked(self.index if point is Point.WHOLE else None) as lock:
            self.vectors.free()
            if point is Point.PUBLISHED:
                await eventually(lambda: self._published(primary))
            else:
                await asyncio.sleep(self.rng.uniform(0.03, 0.15))
                if self.rng.random() < 0.5:
                    lock.execute("ROLLBACK")
                    await asyncio.sleep(self.rng.uniform(0, 0.05))
            await self.server.kill()

    async def _published(self, file: Attached) -> bool:
        """Whether a search of the index finds the file."""
        wanted = Lookup(text=file.key, vector=None, mode="keyword", limit=1)
        async with self._opened() as index:
            return bool(await index.search("default", file.store, wanted))

    async def _strike_attach(self) -> None:
        files = [await self.upload(f"file{number}", self.rng.randint(5, LINES)) for number in range(ATTACHED)]
        store = self.rng.choice(self._stores)
        for file in files:
            file.store = store
        self.attached += files
        wanted = [{"file_id": file.file, "chunking_strategy": SMALL} for file in files]
        asking = asyncio.ensure_future(self.post(f"/vector_stores/{store}/file_batches", {"files": wanted}))
        self._tasks.append(asking)
        if self.rng.random() < 0.5:
            with self.house.locked() as lock:
                await asyncio.sleep(self.rng.uniform(0, 0.03))
                if self.rng.random() < 0.5:
                    lock.execute("ROLLBACK")
                    await asyncio.sleep(self.rng.uniform(0, 0.08))
                await self.server.kill()
        else:
            await asyncio.sleep(self.rng.uniform(0, 0.12))
            await self.server.kill()
        with suppress(*BROKEN):
            await asking
            for file in files:
                file.acknowledged = True

    async def _restart(self) -> None:
        self.server = await self.house.start()
        if self.rng.random() < 0.2:  # and once more, while it goes on
            await asyncio.sleep(self.rng.uniform(0, LEASE + 1))
            await self.server.kill()
            self.server = await self.house.start()
        with suppress(TimeoutError):  # what is in progress then is found and said
            await eventually(self.over, deadline=DEADLINE)

    # what is there

    @property
    def index(self) -> Path:
        """The file of the index."""
        return self.house.database.with_name("index.db")

    async def snapshot(self) -> Snapshot:
        """What the index holds."""
        async with self._opened() as index:
            documents: list[Document] = [one async for some in index.stored() for one in some]
            chunks = {one.id: list(await index.content(one)) for one in documents}
            return Snapshot(chunks, {one.id: one.file_id for one in documents})

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Index]:
        found = adapter("indexes", "embedded")
        parts = Parts(name="embedded", clock=SystemClock(), folder=self.house.database.parent)
        index = cast("Index", found.make(found.config(), parts))
        await index.open()
        try:
            yield index
        finally:
            await index.close()

    async def over(self) -> bool:
        """Whether no file is in progress."""
        for store in self._stores:
            found = await self.get(f"/vector_stores/{store}")
            if found["file_counts"]["in_progress"]:
                return False
        return True

    async def members(self) -> dict[str, tuple[str, Json]]:
        """The files in the stores: the store and the object by id."""
        found: dict[str, tuple[str, Json]] = {}
        for store in self._stores:
            page = await self.get(f"/vector_stores/{store}/files?limit=100")
            found |= {one["id"]: (store, one) for one in page["data"]}
        return found

    async def content(self, store: str, file: str) -> list[str]:
        """The chunks of a file, as a client reads them."""
        page = await self.get(f"/vector_stores/{store}/files/{file}/content")
        return [part["text"] for part in page["data"]]

    async def undisturbed(self, files: list[str]) -> dict[str, list[str]]:
        """The chunks of these files in a store where nothing happened to them."""
        store = (await self.post("/vector_stores", {"name": "reference"}))["id"]
        wanted = [{"file_id": file, "chunking_strategy": SMALL} for file in files]
        await self.post(f"/vector_stores/{store}/file_batches", {"files": wanted})
        self._stores.append(store)
        await eventually(self.over, deadline=DEADLINE)
        self._stores.remove(store)
        return {file: await self.content(store, file) for file in files}

    @property
    def whole(self) -> int:
        """Whether the index had all of the struck file (which is not over) at the fault."""
        kept = [chunk.end for file in self.attached if file.key == "primary" for chunk in self.kept.of(file.file)]
        return int(max(kept, default=0) >= len(text_of("primary", LINES, Random("primary")).rstrip()))

    async def found(self, file: Attached) -> set[str]:
        """The files that a search for a line of this file finds."""
        asked = {"query": f"line 3 of {file.key}", "max_num_results": 50}
        page = await self.post(f"/vector_stores/{file.store}/search", asked)
        return {hit["file_id"] for hit in page["data"] if LINE.search(hit["content"][0]["text"])}

    # asking

    async def get(self, path: str) -> Json:
        """The document; anything else than 200 is wrong."""
        async with self._session.get(f"{self.server.url}/v1{path}") as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found

    async def post(self, path: str, body: Json) -> Json:
        """As `get`."""
        async with self._session.post(f"{self.server.url}/v1{path}", json=body) as answer:
            found = await answer.json()
            assert answer.status == 200, found
            return found
