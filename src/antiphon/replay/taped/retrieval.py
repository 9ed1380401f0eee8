"""The port of retrieval where an exported run is replayed: what its searches found is recorded, its stores are not."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.ports.retrieval import Found, Retrieval, RetrievalQuery
from antiphon.replay.tape import Deck
from antiphon.replay.taped.tool import TOOL


class TapedRetrieval:
    """Search of vector stores. What is recorded of it is what it asks of others: vectors, and the order of hits."""

    def __init__(self, retrieval: Retrieval, deck: Deck) -> None:
        self._retrieval = retrieval
        self._deck = deck

    async def search(self, project: str, wanted: RetrievalQuery, /) -> Found:
        """See the port."""
        return await self._retrieval.search(project, wanted)

    async def exist(self, project: str, store_ids: Sequence[str], /) -> None:
        """See the port; the stores of an exported run need not be here."""
        tape = self._deck.tape
        if tape is None or not tape.tells(TOOL.port):
            await self._retrieval.exist(project, store_ids)
