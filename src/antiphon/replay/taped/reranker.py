"""The port of rerankers with a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.ports.reranker import Reranker
from antiphon.replay.tape import Deck, Place, typed
from antiphon.wire.codec import encode

RERANK: Final = Place("rerank")


class TapedReranker:
    """A reranker."""

    def __init__(self, reranker: Reranker, deck: Deck) -> None:
        self._reranker = reranker
        self._deck = deck

    @property
    def model(self) -> str:
        """See the port."""
        return self._reranker.model

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._reranker.rerank(query, texts)

        async def live() -> bytes:
            return encode(await self._reranker.rerank(query, texts))

        asked = {"model": self.model, "query": query, "texts": list(texts)}
        return typed(await tape.value(RERANK, asked, live), tuple[float, ...])

    async def close(self) -> None:
        """See the port."""
        await self._reranker.close()
