"""Search: several stores and questions become one ranking, and no failure becomes an empty answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from antiphon.adapters.models.scripted import Fails, Scripted, script_of
from antiphon.adapters.scripting.asking import Asking
from antiphon.core.filters import Comparison
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.reranker import RerankError
from antiphon.ports.retrieval import RetrievalQuery
from antiphon.wire.content import InputText
from antiphon.wire.errors import InvalidRequestError, ModelError, NotFoundError, StoreError
from antiphon.wire.items import Message
from antiphon.wire.tools import RankingOptions
from antiphon.wire.vector_stores import CreateVectorStore, ExpiresAfter, UpdateVectorStore
from tests.engine.shelves import PROJECT, house, texts_of

DAY = ExpiresAfter(anchor="last_active_at", days=1)
CAR = "the car is red"
CAT = "the cat is black"


class Reversed:
    """A reranker that likes what is late in the alphabet."""

    model = "reversed"
    down = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        if self.down:
            raise RerankError("The reranker is down.")
        self.asked.append((query, len(texts)))
        return [sorted(texts).index(text) / len(texts) for text in texts]

    async def close(self) -> None:
        """Nothing to release."""


class Rewriter(Scripted):
    """A model that always has the same idea."""

    def __init__(self) -> None:
        super().__init__(script_of(self.answer, ("m",)))
        self.heard: list[str] = []
        self.says = "black  cat\n"
        self.down = False

    def answer(self, asking: Asking) -> str | Fails:
        if self.down:
            return Fails(message="The model is down.")
        item = asking.wanted.context[0].item
        assert isinstance(item, Message)
        self.heard += [part.text for part in item.content if isinstance(part, InputText)]
        return self.says


async def test_a_hit_names_its_file_its_store_and_its_place(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAT)
        file_id = await h.add(store, CAR, "nothing of that", color="red")
        found = await h.find("red car", store)
        hit = found.hits[0]
        assert (hit.text, hit.file_id, hit.filename, hit.store_id) == (CAR, file_id, "the car .txt", store.id)
        assert hit.attributes == {"color": "red"}
        assert 0 < hit.score <= 1
        assert found.queries == ("red car",)


async def test_several_stores_are_one_ranking(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        one = await h.shelf("a red boat", "a green boat", "water")
        other = await h.shelf("a red red boat on water", "a boat")
        for mode in ("vector", "keyword", "hybrid"):
            found = await h.find("red boat", one, other, mode=mode)
            scores = [hit.score for hit in found.hits]
            assert scores == sorted(scores, reverse=True)
            assert {hit.store_id for hit in found.hits[:2]} == {one.id, other.id}
            assert {*texts_of(found)[:2]} == {"a red boat", "a red red boat on water"}


async def test_a_file_in_two_stores_is_found_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        one, other = await h.shelf(CAT), await h.shelf("a dog")
        file_id = await h.add(one, CAR)
        await h.place(other, file_id, CAR)
        assert texts_of(await h.find("red car", one, other)).count(CAR) == 1
        assert len({(hit.file_id, hit.text) for hit in (await h.find("red car", one, other)).hits}) == 3


async def test_several_questions_are_one_ranking_and_each_is_embedded_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        one, other = await h.shelf(CAR, "a tree"), await h.shelf(CAT, "a stone")
        found = await h.find(("automobile", "feline"), one, other, mode="vector", limit=2)
        assert {*texts_of(found)} == {CAR, CAT}
        assert sorted(h.embedder.asked) == ["automobile", "feline"]
        await h.find(("automobile", "feline"), one, other)
        assert len(h.embedder.asked) == 2


async def test_hybrid_finds_what_only_one_of_both_finds(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR, "part number XJ-900", "weather")
        assert texts_of(await h.find("automobile", store))[0] == CAR
        assert texts_of(await h.find("XJ-900", store))[0] == "part number XJ-900"
        assert [lookup.mode for lookup in h.index.lookups] == ["hybrid", "hybrid"]


async def test_a_store_without_vectors_is_searched_by_keywords_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, vectors=False) as h:
        store = await h.shelf(CAR, CAT)
        assert store.embedding_model is None
        assert texts_of(await h.find("black", store)) == [CAT]
        for mode in ("vector", "hybrid"):
            with pytest.raises(InvalidRequestError, match="has no vectors") as raised:
                await h.find("black", store, mode=mode)
            assert raised.value.param == "search_mode"


async def test_filters_come_before_the_limit(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(*[f"red car {number}" for number in range(80)])
        await h.add(store, "a red car, somewhat longer than the others are", year=1990)
        for mode in ("vector", "keyword", "hybrid"):
            wanted = Comparison(type="eq", key="year", value=1990)
            found = await h.find("red car", store, mode=mode, filter=wanted, limit=1)
            assert texts_of(found) == ["a red car, somewhat longer than the others are"]


async def test_the_limit_and_the_threshold_hold(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(*[f"red car {number}" for number in range(80)])
        assert len((await h.find("red car", store, limit=50)).hits) == 50
        options = RankingOptions(score_threshold=0.99)
        assert all(hit.score >= 0.99 for hit in (await h.find("red car", store, ranking=options)).hits)


async def test_what_the_rows_let_go_of_is_not_found_while_the_index_still_has_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAT)
        file_id = await h.add(store, CAR)
        h.index.down = True
        await h.members.detach(PROJECT, store.id, file_id)
        h.index.down = False
        assert texts_of(await h.find("red car", store)) == [CAT]


async def test_what_is_behind_a_large_file_that_left_is_found(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf("a car")
        large = await h.add(store, *[f"red car {number}" for number in range(300)])
        h.index.down = True
        await h.members.detach(PROJECT, store.id, large)
        h.index.down = False
        for mode in ("vector", "keyword", "hybrid"):
            assert texts_of(await h.find("red car", store, mode=mode, limit=3)) == ["a car"]


async def test_a_file_that_expired_or_was_deleted_is_not_found(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR)
        await h.store.files.delete_file(PROJECT, (await h.find("car", store)).hits[0].file_id)
        assert texts_of(await h.find("car", store)) == []


async def test_an_unknown_store_and_one_of_another_project_answer_alike(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR)
        for project, store_id in ((PROJECT, "vs_none"), ("other", store.id)):
            wanted = RetrievalQuery(queries=("a",), store_ids=(store_id,))
            with pytest.raises(NotFoundError, match=f"Vector store with id '{store_id}' not found"):
                await h.search.search(project, wanted)
            with pytest.raises(NotFoundError, match="not found"):
                await h.search.exist(project, (store_id,))
        await h.search.exist(PROJECT, (store.id,))


async def test_an_expired_store_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR)
        await h.stores.update(PROJECT, store.id, UpdateVectorStore(expires_after=DAY))
        h.clock.ahead = 86_399
        assert texts_of(await h.find("car", store)) == [CAR]  # which counts as use
        h.clock.ahead = 172_000
        assert texts_of(await h.find("car", store)) == [CAR]
        h.clock.ahead = 4 * 86_400
        for asking in (h.find("car", store), h.search.exist(PROJECT, (store.id,))):
            with pytest.raises(InvalidRequestError, match="has expired"):
                await asking


async def test_a_search_is_noted_as_use_once_a_minute(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR)
        used = (await h.stores.retrieve(PROJECT, store.id)).last_active_at
        h.clock.ahead = 30
        await h.find("car", store)
        assert (await h.stores.retrieve(PROJECT, store.id)).last_active_at == used
        h.clock.ahead = 90
        await h.find("car", store)
        assert (await h.stores.retrieve(PROJECT, store.id)).last_active_at == int(h.clock.now())


async def test_a_failing_part_fails_the_search(tmp_path: Path) -> None:
    async with house(tmp_path, reranker=Reversed()) as h:
        store = await h.shelf(CAR)
        h.embedder.down = True
        with pytest.raises(EmbedderError):
            await h.find("car", store)
        assert texts_of(await h.find("car", store, mode="keyword")) == [CAR]
        h.embedder.down = False
        h.index.down = True
        with pytest.raises(StoreError):
            await h.find("car", store)
        h.index.down = False
        Reversed.down = True
        try:
            with pytest.raises(RerankError):
                await h.find("car", store)
            assert texts_of(await h.find("car", store, ranking=RankingOptions(ranker="none"))) == [CAR]
        finally:
            Reversed.down = False


async def test_an_empty_store_is_searched_without_asking_anybody(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.stores.create(PROJECT, CreateVectorStore())
        h.embedder.down = True
        assert (await h.find("car", store)).hits == []


async def test_hits_are_reranked_and_then_cut(tmp_path: Path) -> None:
    reranker = Reversed()
    async with house(tmp_path, reranker=reranker) as h:
        store = await h.shelf(*[f"{letter} red car" for letter in "abcdefghijklmnopqrstuvwxyz"])
        found = await h.find("red car", store, limit=3)
        assert reranker.asked == [("red car", 10)]
        assert [hit.score for hit in found.hits] == [0.9, 0.8, 0.7]
        assert texts_of(found) == sorted(texts_of(found), reverse=True)
        some = await h.find("red car", store, ranking=RankingOptions(score_threshold=0.85))
        assert [hit.score for hit in some.hits] == [0.9]


async def test_a_question_is_rewritten_by_rule_or_by_a_model(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR, CAT)
        found = await h.find("Can you tell me what the color of the car is?", store, rewrite=True)
        assert found.queries == ("color of the car is",)
        assert (await h.find("What is it?", store)).queries == ("What is it?",)
    model = Rewriter()
    async with house(tmp_path, model=model) as h:
        store = await h.shelf(CAR, CAT)
        found = await h.find(("Which one purrs?", "And the other?"), store, rewrite=True, mode="keyword")
        assert found.queries == ("black cat", "black cat")
        assert texts_of(found) == [CAT]
        assert model.heard == ["Which one purrs?", "And the other?"]
        model.says = ""
        assert (await h.find("A cat?", store, rewrite=True)).queries == ("A cat?",)
        model.down = True
        with pytest.raises(ModelError):
            await h.find("A cat?", store, rewrite=True)


async def test_a_search_that_is_cancelled_stops_its_parts(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf(CAR)
        task = asyncio.create_task(h.find("car", store))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert texts_of(await h.find("car", store)) == [CAR]
