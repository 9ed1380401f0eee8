"""Ranking: the meaning of scores, one ranking of several stores and questions, and the same by a naive ranker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs

from antiphon.core.ranking import Candidate, Mode, Rules, Weights, rank, rules
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.tools import RankingOptions
from tests.long import amount


def found(
    name: str, similarity: float | None = None, relevance: float | None = None, mode: Mode = "hybrid"
) -> Candidate[str]:
    return Candidate(what=name, key=name, mode=mode, similarity=similarity, relevance=relevance)


def ranked(*questions: Sequence[Candidate[str]], **wanted: Any) -> dict[str, float]:
    rules = structs.replace(Rules(limit=10), **wanted)
    return {each.what: round(each.score, 6) for each in rank(questions, rules)}


def test_a_vector_scores_its_cosine_and_never_below_zero() -> None:
    candidates = [found(name, cosine, mode="vector") for name, cosine in (("a", -0.5), ("b", 1.0000001), ("c", 0.25))]
    assert list(ranked(candidates).items()) == [("b", 1.0), ("c", 0.25), ("a", 0.0)]


def test_chunks_below_zero_keep_their_order() -> None:
    candidates = [found(name, cosine, mode="vector") for name, cosine in (("a", -0.9), ("b", -0.1), ("c", -0.5))]
    assert list(ranked(candidates)) == ["b", "c", "a"]


def test_keywords_score_their_relevance() -> None:
    candidates = [found(name, None, relevance, "keyword") for name, relevance in (("a", 0.2), ("b", 0.45))]
    assert list(ranked(candidates).items()) == [("b", 0.45), ("a", 0.2)]


def test_fusion_goes_by_places_and_the_first_of_both_scores_one() -> None:
    candidates = [found("a", 0.9, 0.5), found("b", 0.8, None), found("c", None, 0.4), found("d", 0.1, 0.1)]
    third = 61 / 63
    assert ranked(candidates) == {
        "a": 1.0,
        "d": round(third, 6),
        "b": round(61 / 62 / 2, 6),
        "c": round(61 / 62 / 2, 6),
    }


def test_weights_say_how_much_each_ranking_counts() -> None:
    candidates = [found("near", 0.9, None), found("said", 0.1, 0.4)]
    assert list(ranked(candidates, weights=Weights(1, 0))) == ["near", "said"]
    assert ranked(candidates, weights=Weights(0, 2)) == {"said": 1.0, "near": 0.0}
    assert ranked(candidates, weights=Weights(3, 1)) == {"near": 0.75, "said": round((3 * 61 / 62 + 1) / 4, 6)}


def test_a_small_constant_of_fusion_makes_places_differ_more() -> None:
    candidates = [found("near", 0.9, 0.1), found("said", 0.2, 0.8)]
    assert ranked(candidates, smoothing=1.0) == {"near": round((1 + 2 / 3) / 2, 6), "said": round((1 + 2 / 3) / 2, 6)}
    assert ranked([found("a", 0.9), found("b", 0.8)], smoothing=1.0) == {"a": 0.5, "b": round(1 / 3, 6)}


def test_the_weighted_ranker_adds_scores() -> None:
    candidates = [found("a", 0.8, 0.4), found("b", 0.9, None), found("c", -0.5, 0.6)]
    assert ranked(candidates, weighted=True) == {"a": 0.6, "b": 0.45, "c": 0.3}
    assert ranked(candidates, weighted=True, weights=Weights(1, 3))["a"] == 0.5


def test_equal_scores_share_a_place_and_stay_in_order() -> None:
    candidates = [found(name, 0.5, 0.5) for name in "abc"]
    assert list(ranked(candidates).items()) == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_a_store_without_vectors_is_judged_by_its_keywords() -> None:
    candidates = [found("a", 0.9, 0.3), found("plain", None, 0.6, "keyword")]
    assert ranked(candidates) == {"plain": 1.0, "a": round((1 + 61 / 62) / 2, 6)}


def test_a_chunk_that_several_questions_found_has_its_best_score() -> None:
    first = [found("a", 0.5, mode="vector"), found("b", 0.4, mode="vector")]
    second = [found("b", 0.7, mode="vector"), found("c", 0.6, mode="vector")]
    assert list(ranked(first, second).items()) == [("b", 0.7), ("c", 0.6), ("a", 0.5)]


def test_a_chunk_that_is_in_two_stores_comes_once() -> None:
    one = Candidate(what="one", key="same", mode="vector", similarity=0.4)
    two = Candidate(what="two", key="same", mode="vector", similarity=0.6)
    assert ranked([one, two]) == {"one": 0.6}


def test_the_threshold_and_the_limit_cut_the_ranking() -> None:
    candidates = [found(str(at), at / 10, mode="vector") for at in range(10)]
    assert list(ranked(candidates, threshold=0.5)) == ["9", "8", "7", "6", "5"]
    assert list(ranked(candidates, limit=2)) == ["9", "8"]
    assert ranked(candidates, limit=2, threshold=0.95) == {}
    assert ranked() == ranked([]) == {}


# what clients send


def test_options_become_rules() -> None:
    assert rules(RankingOptions(), 5) == Rules(limit=5)
    weights = {"embedding_weight": 0.7, "text_weight": 0}
    given_ = RankingOptions(ranker="weighted", score_threshold=0.5, hybrid_search=weights)
    assert rules(given_, 5) == Rules(limit=5, threshold=0.5, weights=Weights(0.7, 0.0), weighted=True)
    assert rules(RankingOptions(hybrid_search=UNSET), 1).weights == Weights()
    assert rules(RankingOptions(alpha=0.25, impact_factor=7.0), 1) == Rules(
        limit=1, weights=Weights(0.25, 0.75), smoothing=7.0
    )
    assert rules(RankingOptions(alpha=0.25, hybrid_search=weights), 1).weights == Weights(0.7, 0.0)


@pytest.mark.parametrize(
    ("weights", "param", "code"),
    [
        ({"embedding_weight": 1}, "text_weight", "missing_required_parameter"),
        ({"embedding_weight": 1, "text_weight": "1"}, "text_weight", "invalid_type"),
        ({"embedding_weight": True, "text_weight": 1}, "embedding_weight", "invalid_type"),
        ({"embedding_weight": -1, "text_weight": 1}, "embedding_weight", "decimal_below_min_value"),
        ({"embedding_weight": 1, "text_weight": 1e9}, "text_weight", "decimal_above_max_value"),
        ({"embedding_weight": 1, "text_weight": 1, "more": 1}, "more", "unknown_parameter"),
        ({"embedding_weight": 0, "text_weight": 0}, "", "invalid_value"),
    ],
)
def test_wrong_weights_are_told_with_their_place(weights: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rules(RankingOptions(hybrid_search=weights), 5, "tools[0].ranking_options")
    assert caught.value.param == f"tools[0].ranking_options.hybrid_search.{param}".rstrip(".")
    assert caught.value.code == code


# by a naive ranker

SCORES = st.one_of(st.none(), st.sampled_from([-1.0, -0.2, 0.0, 0.1, 0.3, 0.3000001, 0.7, 1.0]))
CANDIDATES = st.builds(found, st.sampled_from("abcdefgh"), SCORES, SCORES.map(lambda score: score and abs(score)))
WEIGHTS = st.builds(Weights, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0, 3.0]))


def naive(questions: Sequence[Sequence[Candidate[str]]], wanted: Rules) -> dict[str, float]:
    """The score of every chunk, read off the documentation."""
    best: dict[str, float] = {}
    for candidates in questions:
        near: dict[str, float] = {}
        said: dict[str, float] = {}
        for each in candidates:
            if each.similarity is not None:
                near[each.what] = max(near.get(each.what, -1.0), each.similarity)
            if each.relevance is not None:
                said[each.what] = max(said.get(each.what, 0.0), each.relevance)
        for name in {each.what for each in candidates}:
            if wanted.weighted:
                parts = [max(0.0, near.get(name, 0.0)), said.get(name, 0.0)]
            else:
                parts = [
                    61 / (61 + sum(other > scores[name] for other in set(_each(scores, name))))
                    if name in scores
                    else 0.0
                    for scores in (near, said)
                ]
            score = (wanted.weights.embedding * parts[0] + wanted.weights.text * parts[1]) / (
                wanted.weights.embedding + wanted.weights.text
            )
            best[name] = max(best.get(name, 0.0), score)
    return best


def _each(scores: dict[str, float], name: str) -> list[float]:
    """Scores made different, so that each better chunk counts."""
    return [score + at * 1e-12 for at, score in enumerate(scores.values()) if score > scores[name]]


@settings(max_examples=amount(300, 10_000), deadline=None)
@given(st.lists(st.lists(CANDIDATES, max_size=8), max_size=3), WEIGHTS, st.booleans(), st.sampled_from([0.0, 0.4, 0.9]))
def test_a_ranking_is_what_a_naive_ranker_makes(
    questions: list[list[Candidate[str]]], weights: Weights, weighted: bool, threshold: float
) -> None:
    wanted = Rules(limit=5, weights=weights, weighted=weighted, threshold=threshold)
    made, expected = rank(questions, wanted), naive(questions, wanted)
    assert all(0 <= each.score <= 1 for each in made)
    assert {each.what: each.score for each in made} == {each.what: pytest.approx(expected[each.what]) for each in made}
    scores = [each.score for each in made]
    assert scores == sorted(scores, reverse=True)
    left = [score for name, score in expected.items() if name not in {each.what for each in made}]
    assert len(made) == min(5, sum(score >= threshold for score in expected.values()))
    if len(made) == 5:
        assert max(left, default=0.0) <= scores[-1] + 1e-9
