"""Texts ordered by how well they answer: the hits of a search, and what clients send to `/v1/rerank`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UNSET

from antiphon.ports.clock import Clock
from antiphon.ports.reranker import Reranker
from antiphon.ports.tokens import Tokens
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import quoted
from antiphon.wire.rerank import RerankDocument, RerankRequest, RerankResult, RerankResults, RerankUsage


class Reranking:
    """One reranker, or none. `candidates`: hits of a search that it is given."""

    def __init__(self, reranker: Reranker | None, tokens: Tokens, clock: Clock, *, candidates: int = 50) -> None:
        self._reranker = reranker
        self._tokens = tokens
        self._clock = clock
        self._candidates = candidates

    @property
    def candidates(self) -> int | None:
        """How many hits a search shall have ready; None: there is no reranker."""
        return None if self._reranker is None else self._candidates

    async def scores(self, queries: Sequence[str], texts: Sequence[str]) -> list[float]:
        """How well each text answers the query that it answers best. RerankError."""
        reranker = self._reranker
        assert reranker is not None, "there is a reranker where `candidates` is not None"
        found = await asyncio.gather(*(reranker.rerank(query, texts) for query in queries))
        return [max(each) for each in zip(*found, strict=True)]

    async def answer(self, wanted: RerankRequest, /) -> RerankResults:
        """The documents, best first; of equal ones the first. InvalidRequestError where no model can do it, RerankError
        where it failed."""
        reranker = self._reranker
        if reranker is None:
            words = "This server has no reranker: one is named in the section 'reranker' of its settings."
            raise InvalidRequestError(words, param="model", code="model_not_found")
        if wanted.model not in {None, reranker.model}:
            words = f"The requested model {quoted(wanted.model)} does not exist."
            raise InvalidRequestError(words, param="model", code="model_not_found")
        texts = wanted.texts
        scores = await reranker.rerank(wanted.query, texts)
        best = sorted(range(len(texts)), key=lambda place: scores[place], reverse=True)
        return RerankResults(
            id=self._clock.id("rerank_"),
            model=reranker.model,
            results=tuple(_result(place, scores[place], wanted) for place in best[: wanted.top_n]),
            usage=RerankUsage(total_tokens=await asyncio.to_thread(self._count, wanted)),
        )

    def _count(self, wanted: RerankRequest) -> int:
        model = wanted.model or ""
        return sum(self._tokens.count(text, model) for text in (wanted.query, *wanted.texts))


def _result(place: int, score: float, wanted: RerankRequest) -> RerankResult:
    document = RerankDocument(text=wanted.texts[place]) if wanted.return_documents else UNSET
    return RerankResult(index=place, relevance_score=score, document=document)
