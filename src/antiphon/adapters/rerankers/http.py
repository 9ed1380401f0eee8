"""Any endpoint that answers `/rerank`: Jina, Cohere, vLLM, llama.cpp, text-embeddings-inference (TEI).

They agree on `query` and on an index and a score in the answer. TEI calls the documents `texts`, the score `score`, and
answers with the list alone. Some give probabilities, some what the model said before it became one (a logit, any
number): those are mapped by the logistic function. An endpoint that was once seen to give a number outside of 0 to 1
gives logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, isfinite
from typing import Annotated, Any, Final, Literal

import msgspec

from antiphon.adapters.endpoint import EndpointSettings, Remote, Speech
from antiphon.adapters.parts import Parts
from antiphon.adapters.upstream import Retries, Timeouts
from antiphon.core.chunks import GARBAGE
from antiphon.ports.reranker import RerankError
from antiphon.wire.codec import encode
from antiphon.wire.errors import AntiphonError

MOST_TEXTS: Final = 100


class RerankEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the endpoint."""

    base_url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    """Up to `/v1`, or to whatever stands in front of `/rerank`."""
    model: str = "reranker"
    """As the endpoint calls it; TEI serves one model and reads no name."""
    api_key: str | None = None
    """Sent as `Authorization: Bearer`."""
    headers: Mapping[str, str] = {}
    """Further headers of every request."""
    documents: Literal["documents", "texts"] = "documents"
    """What the endpoint calls the texts; `texts` is for TEI."""
    scores: Literal["auto", "probability", "logit"] = "auto"
    """What the endpoint's scores are; `auto`: logits once one of them is not from 0 to 1."""
    most_texts: Annotated[int, msgspec.Meta(ge=1)] = MOST_TEXTS
    """Texts of one request; TEI takes 32 unless it is told otherwise."""
    timeouts: Timeouts = Timeouts(first_byte=30.0)
    retries: Retries = Retries()


class _Result(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Answer(msgspec.Struct):
    results: tuple[_Result, ...] | None = None
    data: tuple[_Result, ...] | None = None


_ANSWER: Final = msgspec.json.Decoder[_Answer | tuple[_Result, ...]](_Answer | tuple[_Result, ...])


class HttpReranker:
    """The port `Reranker` over one endpoint."""

    def __init__(self, name: str, settings: RerankEndpoint) -> None:
        self._settings = settings
        self._logits = settings.scores == "logit"
        endpoint = EndpointSettings(
            base_url=settings.base_url,
            api_key=settings.api_key,
            headers=settings.headers,
            timeouts=settings.timeouts,
            retries=settings.retries,
            max_connections=16,
        )
        self._remote = Remote(name, endpoint, Speech("list of scores"))

    @property
    def model(self) -> str:
        """As the endpoint calls it."""
        return self._settings.model

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """One request for every `most_texts` texts, one after the other."""
        size = self._settings.most_texts
        found: list[float] = []
        for at in range(0, len(texts), size):
            found += await self._asked(query, texts[at : at + size])
        if self._settings.scores == "auto" and any(not 0 <= score <= 1 for score in found):
            self._logits = True
        return [_probability(score) for score in found] if self._logits else [min(1.0, max(0.0, s)) for s in found]

    async def close(self) -> None:
        """Close the connections."""
        await self._remote.close()

    async def _asked(self, query: str, texts: Sequence[str]) -> list[float]:
        """The scores as the endpoint gives them."""
        settings = self._settings
        body: dict[str, Any] = {"query": query, settings.documents: list(texts)}
        if settings.documents == "texts":
            body["truncate"] = True
        else:
            body["model"] = settings.model
        try:
            answer = await self._remote.upstream.post("rerank", encode(body), model=settings.model)
            try:
                document = await answer.document()
            finally:
                answer.close()
        except AntiphonError as failed:
            raise RerankError(failed.message, retry_after=failed.retry_after) from failed
        return self._read(document, len(texts))

    def _read(self, document: bytes, count: int) -> list[float]:
        """One score for each place. What the endpoint leaves out or says twice is no order."""
        try:
            answer = _ANSWER.decode(document)
        except GARBAGE as garbage:
            raise self._unreadable() from garbage
        results = answer.results or answer.data or () if isinstance(answer, _Answer) else answer
        scores: dict[int, float] = {}
        for result in results:
            score = result.relevance_score if result.relevance_score is not None else result.score
            if score is not None and isfinite(score):
                scores[result.index] = score
        if len(results) != count or sorted(scores) != list(range(count)):
            raise self._unreadable()
        return [scores[place] for place in range(count)]

    def _unreadable(self) -> RerankError:
        return RerankError(f"The reranker '{self._remote.name}' sent what is no list of scores, one for each text.")


def _probability(logit: float) -> float:
    if logit < -700:  # beyond what a float can hold
        return 0.0
    return 1 / (1 + exp(-logit))


def make(config: RerankEndpoint, parts: Parts) -> HttpReranker:
    """The adapter of kind `http`."""
    return HttpReranker(parts.name, config)
