"""Vector stores that hold what a test puts into them: a Retrieval without files or vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.core.filters import fits
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.retrieval import Found, Hit, RetrievalQuery
from antiphon.wire.errors import NotFoundError


def hit(file_id: str, text: str, score: float = 0.5, store_id: str = "vs_1", **attributes: str | float | bool) -> Hit:
    """A passage that can be found; its file is named after its id."""
    name = f"{file_id}.txt"
    return Hit(file_id=file_id, filename=name, store_id=store_id, score=score, text=text, attributes=attributes)


class Stacks:
    """All hits of the stores that are asked, filtered, best first. "fail" fails, "wait" never ends."""

    def __init__(self, *hits: Hit, project: str = "default", stores: Sequence[str] = ("vs_1",)) -> None:
        self.hits = hits
        self.asked: list[RetrievalQuery] = []
        self.waiting = asyncio.Event()
        self.stopped = asyncio.Event()
        self._project = project
        self._stores = stores

    async def search(self, project: str, wanted: RetrievalQuery, /) -> Found:
        await self.exist(project, wanted.store_ids)
        self.asked.append(wanted)
        if wanted.queries == ("fail",):
            raise EmbedderError("The embedder does not answer.")
        if wanted.queries == ("wait",):
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        kept = [one for one in self.hits if one.store_id in wanted.store_ids and fits(wanted.filter, one.attributes)]
        kept.sort(key=lambda one: -one.score)
        return Found(wanted.queries, kept[: wanted.limit])

    async def exist(self, project: str, store_ids: Sequence[str], /) -> None:
        for store_id in store_ids:
            if project != self._project or store_id not in self._stores:
                raise NotFoundError(f"Vector store with id '{store_id}' not found.")
