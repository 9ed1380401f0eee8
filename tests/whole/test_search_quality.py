"""How well search answers, on the small set of ours, by the bench that measures any set in the format of BEIR."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.retrieval import Quality, connected, load, measured, ndcg, recall
from tests.whole.house import whole
from tests.whole.library import MEANING

SET = Path(__file__).parents[1] / "beir"


def test_the_measures_are_those_of_the_literature() -> None:
    grades = {"a": 2, "b": 1}
    assert ndcg(["a", "b"], grades) == 1
    assert ndcg(["x", "y"], grades) == 0
    assert ndcg(["b", "a"], grades) == pytest.approx((1 + 2 / 1.58496) / (2 + 1 / 1.58496), abs=1e-5)
    assert ndcg(["x"] * 10 + ["a"], grades) == 0
    assert (recall(["x", "a"], grades, 1), recall(["x", "a"], grades, 2)) == (0, 0.5)


def test_a_set_is_read_and_what_nothing_answers_is_left_out() -> None:
    found = load(SET)
    assert (len(found.corpus), len(found.queries)) == (36, 38)
    assert found.corpus[0].title == "Why bees swarm"
    assert found.grades["q25"] == {"knot-bowline": 2, "knot-reef": 1}
    assert len(load(SET, 5).queries) == 5


async def test_search_finds_what_answers(tmp_path: Path) -> None:
    async with whole(tmp_path, embedder=MEANING) as served, connected(f"{served.url}/v1", "unused") as server:
        found = await measured(server, load(SET), ["keyword", "vector", "hybrid"], "auto", None)
    quality: dict[str, Quality] = {each.mode: each for each in found}
    assert quality["keyword"].ndcg > 0.9
    assert quality["keyword"].recall > 0.95
    assert quality["hybrid"].ndcg > quality["vector"].ndcg  # the embedder of tests knows words only, and no plurals
    assert quality["hybrid"].recall > 0.9
