"""A reranker on a real port that answers as one of the endpoints people have, by the words that texts share with the
query. What it was asked is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from math import log
from typing import Any

from aiohttp import web

from tests.listening import listening

MODEL = "bge-reranker"
Json = dict[str, Any]


def share(query: str, text: str) -> float:
    """The share of the query's words that the text has, from 0.1 to 0.9."""
    asked, there = set(re.findall(r"\w+", query.lower())), set(re.findall(r"\w+", text.lower()))
    return 0.1 + 0.8 * len(asked & there) / (len(asked) or 1)


def logit(score: float) -> float:
    return 10 * log(score / (1 - score))


def ordered(scores: list[float], key: str) -> list[Json]:
    """Best first, as endpoints do."""
    best = sorted(range(len(scores)), key=lambda place: scores[place], reverse=True)
    return [{"index": place, key: scores[place]} for place in best]


def _jina(body: Json, scores: list[float]) -> Any:
    results = [{**r, "document": {"text": body["documents"][r["index"]]}} for r in ordered(scores, "relevance_score")]
    return {"model": body["model"], "object": "list", "usage": {"total_tokens": 5}, "results": results}


def _cohere(body: Json, scores: list[float]) -> Any:
    return {"id": "a-b", "results": ordered(scores, "relevance_score"), "meta": {"billed_units": {"search_units": 1}}}


def _vllm(body: Json, scores: list[float]) -> Any:
    results = [{**r, "document": {"text": body["documents"][r["index"]]}} for r in ordered(scores, "relevance_score")]
    return {"id": "rerank-1", "model": body["model"], "usage": {"total_tokens": 5}, "results": results}


def _llama(body: Json, scores: list[float]) -> Any:
    results = [{"index": place, "relevance_score": logit(score)} for place, score in enumerate(scores)]
    return {"model": body["model"], "object": "list", "usage": {"prompt_tokens": 5}, "results": results}


def _voyage(body: Json, scores: list[float]) -> Any:
    return {"object": "list", "data": ordered(scores, "relevance_score"), "model": body["model"]}


def _tei(body: Json, scores: list[float]) -> Any:
    return ordered(scores, "score")


DIALECTS: Mapping[str, Callable[[Json, list[float]], Any]] = {
    "jina": _jina,
    "cohere": _cohere,
    "vllm": _vllm,
    "llama.cpp": _llama,
    "voyage": _voyage,
    "tei": _tei,
}
OPTIONS: Mapping[str, Json] = {"tei": {"documents": "texts"}}
"""Settings that an endpoint needs."""


class Endpoint:
    """The endpoint; `most` texts at once, `fault` is answered instead, or nothing when `silent`."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.url = ""
        self.asked: list[Json] = []
        self.keys: list[str | None] = []
        self.most = 1000
        self.fault: Callable[[], web.Response] | None = None
        self.silent = False

    async def serve(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.silent:
            await asyncio.Event().wait()
        if self.fault is not None:
            return self.fault()
        texts = body["texts" if self.dialect == "tei" else "documents"]
        if len(texts) > self.most:
            return web.json_response({"error": "batch size too large"}, status=422)
        scores = [share(body["query"], text) for text in texts]
        return web.json_response(DIALECTS[self.dialect](body, scores))


@asynccontextmanager
async def reranker(dialect: str = "jina") -> AsyncGenerator[Endpoint]:
    """Serve on a free port."""
    endpoint = Endpoint(dialect)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/rerank", endpoint.serve)
    async with listening(app) as origin:
        endpoint.url = f"{origin}/v1"
        yield endpoint
