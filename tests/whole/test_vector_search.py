"""Searches of vector stores over a real port (checklist A.4, and what servers of this kind get wrong)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.rerankers import MODEL, reranker
from tests.whole.house import Json
from tests.whole.library import SMALL, Library, library

ANIMALS = ("The cat is black.", "The dog is brown.", "The automobile is red.")


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncGenerator[Library]:
    async with library(tmp_path) as served:
        yield served


async def test_a_search_is_as_openai_shows_it(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    page = await shelf.client.vector_stores.search(made.id, query="the black cat", max_num_results=2)
    assert page.object == "vector_store.search_results.page"
    assert page.model_extra == {"search_query": ["the black cat"], "has_more": False, "next_page": None}
    assert len(page.data) == 2
    hit = page.data[0]
    assert hit.content[0].text == ANIMALS[0]
    assert hit.attributes == {}


async def test_a_hit_names_the_file_that_it_is_from(shelf: Library) -> None:
    made = await shelf.store()
    ids = {await shelf.file(text, f"{text.split()[1]} é.txt"): text for text in ANIMALS}
    await shelf.batch(made.id, [*ids])
    for file_id, text in ids.items():
        hit = (await shelf.find(made.id, text))[0]
        assert (hit["file_id"], hit["filename"]) == (file_id, f"{text.split()[1]} é.txt")
        assert (await shelf.client.files.retrieve(hit["file_id"])).filename == hit["filename"]


async def test_several_queries_are_one_ranking(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS, "Nothing at all.")
    found = await shelf.find(made.id, ["black cat", "red car"], max_num_results=2)
    assert {hit["content"][0]["text"] for hit in found} == {ANIMALS[0], ANIMALS[2]}
    page = await shelf.client.vector_stores.search(made.id, query=["black cat", "red car"])
    assert page.model_extra is not None
    assert page.model_extra["search_query"] == ["black cat", "red car"]


async def test_every_mode_finds(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    for mode in ("vector", "keyword", "hybrid", None):
        assert (await shelf.texts(made.id, "black cat", search_mode=mode))[0] == ANIMALS[0]


@pytest.mark.parametrize("ranker", ["auto", "none", "default-2024-11-15", "weighted"])
async def test_a_hybrid_search_is_never_empty(shelf: Library, ranker: str) -> None:
    made = await shelf.store(*ANIMALS)
    for vectors, words in ((1, 0), (0, 1), (0.3, 0.7), (1, 1)):
        options = {"ranker": ranker, "hybrid_search": {"embedding_weight": vectors, "text_weight": words}}
        assert (await shelf.texts(made.id, "black cat", ranking_options=options))[0] == ANIMALS[0]
        if vectors:
            assert (await shelf.texts(made.id, "car", ranking_options=options))[0] == ANIMALS[2]


QUESTIONS = (
    "what's the cat's color?",
    '"black cat',
    "cat AND (black",
    "NOT cat*",
    "cat NEAR/3 black",
    "cat; DROP TABLE chunk; --",
    "^cat:black -dog +brown",
    "{cat} [black] <'>",
    "cat\x00black\ud83d\ude00",
    "% _ cat \\",
    "a:b cat",
    "CAT OR",
    "Katze, cat, γάτα, 猫",
)


async def test_nothing_in_a_question_is_syntax(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    for question in QUESTIONS:
        for mode in ("keyword", "hybrid"):
            assert ANIMALS[0] in await shelf.texts(made.id, question, search_mode=mode), question


async def test_filters_come_before_the_limit(shelf: Library) -> None:
    made = await shelf.store(*["The red car."] * 60)
    last = await shelf.file("A car that is red, among many other things that it is as well.")
    await shelf.attach(made.id, last, attributes={"year": 1990})
    wanted = {"type": "eq", "key": "year", "value": 1990}
    for mode in ("vector", "keyword", "hybrid"):
        (hit,) = await shelf.find(made.id, "The red car.", filters=wanted, max_num_results=1, search_mode=mode)
        assert hit["file_id"] == last


def both(*filters: Json) -> Json:
    return {"type": "and", "filters": [*filters]}


def either(*filters: Json) -> Json:
    return {"type": "or", "filters": [*filters]}


def compared(kind: str, key: str, value: Any) -> Json:
    return {"type": kind, "key": key, "value": value}


FILTERS: list[tuple[Json, str]] = [
    (compared("eq", "n", 1), "b"),
    (compared("ne", "n", 1), "acd"),
    (compared("gt", "n", 1), "c"),
    (compared("gte", "n", 1), "bc"),
    (compared("lt", "n", 1), "a"),
    (compared("lte", "n", 1), "ab"),
    (compared("in", "n", [0, 2, 7]), "ac"),
    (compared("nin", "n", [0, 2, 7]), "bd"),
    (compared("eq", "s", "x'\"; --"), "a"),
    (compared("eq", "s'] = 1; --", True), ""),
    (compared("eq", "flag", True), "a"),
    (compared("eq", "flag", 1), ""),
    (compared("eq", "nobody", "a"), ""),
    (both(compared("gte", "n", 1), either(compared("eq", "n", 2), compared("eq", "s", "y"))), "bc"),
    (either(both(), compared("eq", "n", 1)), "abcd"),
    (either(), ""),
]


async def test_every_filter_acts(shelf: Library) -> None:
    made = await shelf.store()
    attributes: dict[str, Any] = {
        "a": {"n": 0, "s": "x'\"; --", "flag": True},
        "b": {"n": 1, "s": "y"},
        "c": {"n": 2.0, "s": "z"},
        "d": {},
    }
    files: Any = [{"file_id": await shelf.file(f"The letter {k}."), "attributes": v} for k, v in attributes.items()]
    await shelf.client.vector_stores.file_batches.create_and_poll(made.id, files=files)
    for wanted, letters in FILTERS:
        found = await shelf.texts(made.id, "letter", filters=wanted)
        assert sorted(text[-2] for text in found) == [*letters], wanted


async def test_the_threshold_holds(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    everything = await shelf.find(made.id, "The cat is black.", search_mode="vector")
    assert everything[0]["score"] == pytest.approx(1.0)
    options = {"score_threshold": 0.9}
    kept = await shelf.texts(made.id, "The cat is black.", search_mode="vector", ranking_options=options)
    assert kept == [ANIMALS[0]]


async def test_a_query_is_rewritten_when_that_is_wanted(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    page = await shelf.client.vector_stores.search(
        made.id, query="Could you please tell me what the color of the cat is?", rewrite_query=True
    )
    assert page.model_extra is not None
    assert page.model_extra["search_query"] == ["color of the cat is"]


WRONG: list[tuple[Any, str]] = [
    ({}, "query"),
    ({"query": None}, "query"),
    ({"query": ""}, "query"),
    ({"query": []}, "query"),
    ({"query": ["a", " "]}, "query[1]"),
    ({"query": ["a"] * 65}, "query"),
    ({"query": "a", "max_num_results": 0}, "max_num_results"),
    ({"query": "a", "max_num_results": 51}, "max_num_results"),
    ({"query": "a", "limit": 5}, "limit"),
    ({"query": "a", "search_mode": "magic"}, "search_mode"),
    ({"query": "a", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
    ({"query": "a", "ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
    (
        {"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": -1, "text_weight": 1}}},
        "ranking_options.hybrid_search.embedding_weight",
    ),
    (
        {"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": 1}}},
        "ranking_options.hybrid_search.text_weight",
    ),
    ({"query": "a", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters.type"),
    ({"query": "a", "filters": {"type": "eq", "value": "b"}}, "filters.key"),
    ({"query": "a", "filters": {"type": "eq", "key": "a"}}, "filters.value"),
    ({"query": "a", "filters": both(compared("in", "a", "b"))}, "filters.filters[0].value"),
    ({"query": "a", "filters": compared("gt", "a", [1])}, "filters.value"),
    ({"query": "a", "filters": "year = 1990"}, "filters"),
]


async def test_a_search_that_is_wrong_is_refused(shelf: Library) -> None:
    made = await shelf.store()
    for body, param in WRONG:
        status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/search", body)
        assert (status, refused["error"]["param"]) == (400, param), refused
        assert refused["error"]["type"] == "invalid_request_error"


async def test_an_embedder_that_is_down_is_an_error_and_no_empty_answer(shelf: Library) -> None:
    made = await shelf.store(*ANIMALS)
    shelf.embedder(down=True)
    for mode in ("vector", "hybrid", None):
        status, refused = await shelf.ask(
            "POST", f"/vector_stores/{made.id}/search", {"query": "cat", "search_mode": mode}
        )
        assert status == 502
        assert refused["error"]["type"] == "server_error"
    with pytest.raises(openai.InternalServerError):
        await shelf.client.vector_stores.search(made.id, query="cat")
    assert await shelf.texts(made.id, "cat", search_mode="keyword") == [ANIMALS[0]]


async def test_hits_are_reranked_where_there_is_a_reranker(tmp_path: Path) -> None:
    async with reranker() as endpoint:
        settings = {"base_url": endpoint.url, "model": MODEL}
        async with library(tmp_path, reranker=settings) as shelf:
            made = await shelf.store(*ANIMALS)
            (best, *_) = await shelf.find(made.id, "The dog is brown.")
            assert (best["content"][0]["text"], best["score"]) == (ANIMALS[1], pytest.approx(0.9))
            asked = len(endpoint.asked)
            await shelf.find(made.id, "dog", ranking_options={"ranker": "none"})
            assert len(endpoint.asked) == asked
            endpoint.silent = False
            endpoint.fault = _broken
            status, refused = await shelf.ask("POST", f"/vector_stores/{made.id}/search", {"query": "dog"})
            assert (status, refused["error"]["type"]) == (502, "server_error")


def _broken() -> Any:
    return web.Response(status=500, text="no")


async def test_documents_are_reranked_for_clients(tmp_path: Path) -> None:
    body: Json = {"query": "the brown dog", "documents": [*ANIMALS[:2], {"text": ANIMALS[2]}]}
    async with reranker("llama.cpp") as endpoint, library(tmp_path, reranker={"base_url": endpoint.url}) as shelf:
        status, found = await shelf.ask("POST", "/rerank", body)
        assert status == 200
        assert found["results"][0]["index"] == 1
        assert sorted(result["index"] for result in found["results"]) == [0, 1, 2]
        assert all(0 <= result["relevance_score"] <= 1 for result in found["results"])
        assert "document" not in found["results"][0]
        assert found["usage"]["total_tokens"] > 0
        status, found = await shelf.ask("POST", "/rerank", {**body, "top_n": 1, "return_documents": True})
        assert found["results"] == [
            {"index": 1, "relevance_score": found["results"][0]["relevance_score"], "document": {"text": ANIMALS[1]}}
        ]
        faults: list[tuple[Json, str]] = [
            ({"model": "another"}, "model"),
            ({"documents": []}, "documents"),
            ({"documents": [{}]}, "documents[0].text"),
            ({"top_n": 0}, "top_n"),
            ({"query": ""}, "query"),
        ]
        for wrong, param in faults:
            status, refused = await shelf.ask("POST", "/rerank", {**body, **wrong})
            assert (status, refused["error"]["param"]) == (400, param)


async def test_without_a_reranker_reranking_is_refused(shelf: Library) -> None:
    status, refused = await shelf.ask("POST", "/rerank", {"query": "a", "documents": ["b"]})
    assert (status, refused["error"]["code"]) == (400, "model_not_found")


async def test_what_a_chunk_overlaps_is_in_both(shelf: Library) -> None:
    made = await shelf.store()
    text = " ".join(f"Word{n}" for n in range(400))
    strategy: Any = {"type": "static", "static": {**SMALL["static"], "chunk_overlap_tokens": 50}}
    file = await shelf.file(text)
    await shelf.attach(made.id, file, chunking_strategy=strategy)
    _, page = await shelf.ask("GET", f"/vector_stores/{made.id}/files/{file}/content")
    words = [part["text"].split() for part in page["data"]]
    assert all(one[-1] in other for one, other in pairwise(words))
