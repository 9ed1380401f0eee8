"""The contract of rerankers, over a real HTTP server that answers as each of the endpoints people have."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.ports.reranker import Reranker, RerankError
from tests.rerankers import DIALECTS, MODEL, OPTIONS, Endpoint, reranker

KEY = "rk-very-secret-key"
TEXTS = ("The cat sat on the mat.", "A tower of steel.", "How high is the tower of steel?", "")
QUERY = "the height of the tower of steel"


@asynccontextmanager
async def over(endpoint: Endpoint, folder: Path, **options: Any) -> AsyncGenerator[Reranker]:
    """The adapter for this endpoint, made as the settings make it."""
    chosen = adapter("rerankers", "http")
    given = {"base_url": endpoint.url, "model": MODEL, "api_key": KEY, **OPTIONS.get(endpoint.dialect, {}), **options}
    config = msgspec.convert(given, chosen.config)
    made: Reranker = chosen.make(config, Parts(name="reranker", clock=SeededClock(), folder=folder))
    try:
        yield made
    finally:
        await made.close()


def best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda place: scores[place])


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_there_is_a_score_from_0_to_1_for_each_text_in_the_order_given(dialect: str, tmp_path: Path) -> None:
    async with reranker(dialect) as endpoint, over(endpoint, tmp_path) as made:
        scores = await made.rerank(QUERY, TEXTS)
        assert len(scores) == len(TEXTS)
        assert all(0 <= score <= 1 for score in scores)
        assert best(scores) == 2
        assert scores[3] == min(scores)
        assert made.model == MODEL
        assert endpoint.keys == [f"Bearer {KEY}"]


async def test_scores_that_are_no_probabilities_are_mapped_and_keep_their_order(tmp_path: Path) -> None:
    async with reranker("llama.cpp") as endpoint, over(endpoint, tmp_path) as made:
        scores = await made.rerank(QUERY, TEXTS)
        assert scores[0] < 0.5 < scores[2]
        again = await made.rerank("cat", ["a cat"])  # also where a logit looks like a probability
        assert again == [pytest.approx(1.0, abs=1e-6)]


async def test_what_was_once_a_logit_stays_one(tmp_path: Path) -> None:
    async with reranker() as endpoint, over(endpoint, tmp_path) as made:
        for logit in (0.5, 7.0, 0.5):
            endpoint.fault = lambda logit=logit: web.json_response(
                {"results": [{"index": 0, "relevance_score": logit}]}
            )
            await made.rerank("a", ["a"])
        assert await made.rerank("a", ["a"]) == [pytest.approx(0.6224593)]


async def test_the_settings_may_say_what_the_scores_are(tmp_path: Path) -> None:
    async with reranker() as endpoint:
        endpoint.fault = lambda: web.json_response({"results": [{"index": 0, "relevance_score": 1.5}]})
        async with over(endpoint, tmp_path, scores="probability") as made:
            assert await made.rerank("a", ["a"]) == [1.0]
        endpoint.fault = lambda: web.json_response({"results": [{"index": 0, "relevance_score": -1000}]})
        async with over(endpoint, tmp_path, scores="logit") as made:
            assert await made.rerank("a", ["a"]) == [0.0]


@pytest.mark.parametrize("dialect", ["jina", "tei"])
async def test_more_texts_than_the_endpoint_takes_are_asked_for_in_parts(dialect: str, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(7)]
    async with reranker(dialect) as endpoint, over(endpoint, tmp_path, most_texts=3) as made:
        endpoint.most = 3
        scores = await made.rerank("text 5", texts)
        assert best(scores) == 5
        assert len(endpoint.asked) == 3


async def test_no_text_is_no_request(tmp_path: Path) -> None:
    async with reranker() as endpoint, over(endpoint, tmp_path) as made:
        assert await made.rerank("a", []) == []
        assert endpoint.asked == []


ODD: dict[str, Any] = {
    "a score too few": {"results": [{"index": 0, "relevance_score": 0.5}]},
    "a place twice": {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.4}]},
    "a place that is none": {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 2, "relevance_score": 0.4}]},
    "no score": {"results": [{"index": 0}, {"index": 1}]},
    "no results": {"object": "list"},
    "an error": {"error": {"message": "out of memory"}},
    "a word": "fine",
}


@pytest.mark.parametrize("what", list(ODD))
async def test_an_answer_that_is_no_order_is_an_error(what: str, tmp_path: Path) -> None:
    async with reranker() as endpoint, over(endpoint, tmp_path) as made:
        endpoint.fault = lambda: web.json_response(ODD[what])
        with pytest.raises(RerankError, match="no list of scores"):
            await made.rerank("a", ["a", "b"])


GARBAGE = (b"", b"{", b"\xff\xfe", b"<html>", b"[" * 5000, b'{"results": [{"index": 0, "score": 1e999}]}')


@pytest.mark.parametrize("body", GARBAGE)
async def test_an_answer_that_cannot_be_read_is_an_error(body: bytes, tmp_path: Path) -> None:
    async with reranker() as endpoint, over(endpoint, tmp_path) as made:
        endpoint.fault = lambda: web.Response(body=body, content_type="application/json")
        with pytest.raises(RerankError, match="no list of scores"):
            await made.rerank("a", ["a"])


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 422, 429, 500, 502, 503])
async def test_a_refusal_is_an_error_that_tells_no_key(status: int, tmp_path: Path) -> None:
    patience = {"count": 1, "backoff": 0.01}
    async with reranker() as endpoint, over(endpoint, tmp_path, retries=patience) as made:
        endpoint.fault = lambda: web.json_response({"error": {"message": f"bad key {KEY}"}}, status=status)
        with pytest.raises(RerankError) as raised:
            await made.rerank("a", ["a"])
        assert KEY not in raised.value.message


async def test_an_endpoint_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with reranker() as endpoint:
        gone = Endpoint("jina")
        gone.url = endpoint.url
    async with over(gone, tmp_path, retries={"count": 0}) as made:
        with pytest.raises(RerankError, match="cannot be reached"):
            await made.rerank("a", ["a"])


async def test_an_endpoint_that_is_silent_is_an_error(tmp_path: Path) -> None:
    async with reranker() as endpoint, over(endpoint, tmp_path, timeouts={"first_byte": 0.05}) as made:
        endpoint.silent = True
        with pytest.raises(RerankError, match="silent"):
            await made.rerank("a", ["a"])
