"""What tests of retrieval do with the official client: files, stores and searches of a whole server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFile

from tests.schemas import validate
from tests.shared import SHARED
from tests.whole.house import Json, Whole, whole

MEANING: Json = {"kind": "tests.meaning"}
"""Settings of an embedder whose vectors a test can foresee (tests/meaning.py)."""
SMALL: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}


class Library:
    """A server and its official client."""

    def __init__(self, served: Whole, data: Path) -> None:
        self.served = served
        self.client = served.client
        self.data = data

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """One raw request."""
        return await self.served.ask(method, path, body)

    async def file(self, text: str | bytes, name: str = "notes.txt") -> str:
        """A file; its id."""
        content = text.encode() if isinstance(text, str) else text
        return (await self.client.files.create(file=(name, content), purpose="assistants")).id

    async def store(self, *texts: str, **params: Any) -> VectorStore:
        """A store in which each of these texts is a file, ingested."""
        made = await self.client.vector_stores.create(**params)
        if texts:
            ids = [await self.file(text, f"{place}.txt") for place, text in enumerate(texts)]
            await self.batch(made.id, ids)
        return await self.client.vector_stores.retrieve(made.id)

    async def batch(self, store_id: str, file_ids: Sequence[str], **params: Any) -> None:
        """Attach files and wait until all of them are ingested."""
        batches = self.client.vector_stores.file_batches
        ended = await batches.create_and_poll(store_id, file_ids=[*file_ids], **params)
        assert ended.status == "completed"
        assert ended.file_counts.completed == len({*file_ids}), ended

    async def attach(self, store_id: str, file_id: str, **params: Any) -> VectorStoreFile:
        """Attach a file and wait for its end."""
        files = self.client.vector_stores.files
        return await files.create_and_poll(file_id, vector_store_id=store_id, **params)

    async def find(self, store_id: str, query: Any, **params: Any) -> list[Json]:
        """What a search finds, its page checked."""
        status, page = await self.ask("POST", f"/vector_stores/{store_id}/search", {"query": query, **params})
        assert status == 200, page
        checked("VectorStoreSearchResultsPage", page)
        scores = [hit["score"] for hit in page["data"]]
        assert all(0 <= score <= 1 for score in scores)
        assert scores == sorted(scores, reverse=True)
        return page["data"]

    async def texts(self, store_id: str, query: Any, **params: Any) -> list[str]:
        """The texts of what a search finds."""
        return [hit["content"][0]["text"] for hit in await self.find(store_id, query, **params)]

    def embedder(self, *, down: bool) -> None:
        """Break the embedder, or mend it."""
        (self.data / "down").touch() if down else (self.data / "down").unlink()


def checked(schema: str, value: Any) -> Any:
    """The value, which fits OpenAI's own document where that is at hand."""
    if SHARED.is_dir():
        validate(schema, value)
    return value


@asynccontextmanager
async def library(data: Path, **tree: Any) -> AsyncGenerator[Library]:
    """A whole server with an embedder of ours."""
    async with whole(data, **{"embedder": MEANING, **tree}) as served:
        yield Library(served, data)
