"""The sweep of the index: chunks that nobody can find any more, and those of stores that have expired.

Law: the rows decide. A document's row is committed before its first chunk is written and goes before its chunks go, and
its id never comes back: chunks that no row stands for, or one that failed or was cancelled, are nobody's for ever. (So
the index is listed first and the rows are read then, never the other way round.)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from antiphon.engine.rounds import Rounds
from antiphon.ports.clock import Clock
from antiphon.ports.index import Document, Index
from antiphon.ports.vector_stores import VectorStores
from antiphon.wire.errors import StoreError

LOGGER: Final = logging.getLogger(__name__)


class Sweep(Rounds):
    """Sweeps one index every `seconds`, beginning with `open`. Every process may sweep. What is being removed when it
    is closed is removed or stays, never half."""

    def __init__(self, *, rows: VectorStores, index: Index, clock: Clock, seconds: float) -> None:
        super().__init__(seconds, self._round)
        self._rows = rows
        self._index = index
        self._clock = clock

    async def collect(self, documents: Sequence[Document]) -> int:
        """Remove those of these documents that are nobody's; how many. Raises StoreError."""
        orphans = set(await self._rows.orphans([document.id for document in documents]))
        unwanted = [document for document in documents if document.id in orphans]
        if unwanted:
            await self._index.remove(unwanted)
        return len(unwanted)

    async def sweep(self) -> int:
        """Remove everything that is nobody's by now; how many documents. Raises StoreError."""
        now = self._clock.now()
        while expired := await self._rows.expired_stores(now):
            for project, store_id in expired:
                await self._index.drop(project, store_id)  # first: a process that dies in between drops it again
                await self._rows.empty_store(project, store_id)
        swept = 0
        async with aclosing(self._index.stored()) as stored:
            async for documents in stored:
                swept += await self.collect(documents)
        return swept

    async def _round(self) -> None:
        try:
            if swept := await self.sweep():
                LOGGER.info("documents of the index that were nobody's and were removed: %d", swept)
        except StoreError as error:
            LOGGER.warning("the index could not be swept: %s", error.message)
