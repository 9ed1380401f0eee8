"""One ranking of what several stores found for several questions. Pure; every score is from 0 to 1.

- vector: the cosine of question and chunk, 0 where it is negative. 1 is the same direction, 0 unrelated.
- keyword: the share of the question's weight that the chunk carries (`core.terms`). A chunk of average length with
  every word once has 0.45.
- hybrid: reciprocal rank fusion. `weight / (60 + place)` summed over both rankings, as a share of the most there can
  be: 1 for a chunk that is first in both, 0.5 for one that is first in one of them and not in the other.
  `impact_factor` takes the place of 60.
- hybrid with `ranker: weighted`: the mean of the first two scores, by weight.

The weights are `ranking_options.hybrid_search`, or `alpha` and `1 - alpha`, by default equal. Places are counted over
all stores together, so a store is not favoured for being small; equal scores share a place. A chunk of a store without
vectors is judged by its keywords alone. A chunk that several questions found has its best score; of chunks with equal
scores the one that was found first comes first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import isfinite
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, structs

from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.faults import dotted
from antiphon.wire.invalid import invalid_type, missing_parameter, out_of_range, unknown_parameter
from antiphon.wire.tools import RankingOptions

T = TypeVar("T")
Mode: TypeAlias = Literal["vector", "keyword", "hybrid"]

SMOOTHING: Final = 60
"""The constant of reciprocal rank fusion: how little the first places differ."""
WEIGHTED: Final = "weighted"
"""The ranker that adds scores instead of places."""


class Weights(msgspec.Struct, frozen=True):
    """What the two rankings of a hybrid search count; at least one is above 0."""

    embedding: float = 1.0
    text: float = 1.0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How to rank: what scores below `threshold` is dropped, `limit` are kept."""

    limit: int
    threshold: float = 0.0
    weights: Weights = Weights()
    weighted: bool = False
    smoothing: float = SMOOTHING


class Candidate(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A chunk that a question found in a store that was searched in `mode`. `key` is the same for what is the same
    chunk; `similarity` is the cosine, `relevance` the keyword score from 0 to 1."""

    what: T
    key: Hashable
    mode: Mode
    similarity: float | None = None
    relevance: float | None = None


class Ranked(msgspec.Struct, Generic[T], frozen=True):
    """A chunk in its place."""

    what: T
    score: float


def rules(options: RankingOptions, limit: int, param: str = "ranking_options") -> Rules:
    """What a request asks for; `param` is where the options stand in its body. Raises InvalidRequestError."""
    given, alpha, factor = options.hybrid_search, options.alpha, options.impact_factor
    weights = Weights() if alpha is UNSET else Weights(alpha, 1 - alpha)
    return Rules(
        limit=limit,
        threshold=options.score_threshold,
        weights=weights if given is UNSET else _weights(given, dotted(param, "hybrid_search")),
        weighted=options.ranker == WEIGHTED,
        smoothing=SMOOTHING if factor is UNSET else factor,
    )


def _weights(given: dict[str, Any], path: str) -> Weights:
    for name in given:
        if name not in {"embedding_weight", "text_weight"}:
            raise unknown_parameter(dotted(path, name))
    weights = Weights(_weight(given, "embedding_weight", path), _weight(given, "text_weight", path))
    if weights.embedding + weights.text == 0:
        message = f"Invalid '{path}': at least one of the weights must be above 0."
        raise InvalidRequestError(message, param=path, code="invalid_value")
    return weights


def _weight(given: dict[str, Any], name: str, path: str) -> float:
    place = dotted(path, name)
    if name not in given:
        raise missing_parameter(place)
    value: object = given[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid_type(place, "a decimal", value)
    if not 0 <= value <= 1e6 or not isfinite(value):
        raise out_of_range(place, "decimal", ">= 0" if value < 0 else "<= 1000000", value)
    return float(value)


def rank(found: Sequence[Iterable[Candidate[T]]], wanted: Rules) -> list[Ranked[T]]:
    """The ranking of what each question found, in all stores."""
    best: dict[Hashable, tuple[float, float, T]] = {}
    for candidates in found:
        for key, score, finer, what in _scored(_once(candidates), wanted):
            known = best.get(key)
            if known is None or (score, finer) > known[:2]:
                best[key] = (score, finer, what if known is None else known[2])
    ordered = sorted(best.values(), key=lambda each: each[:2], reverse=True)  # stable: the first found stays first
    return [Ranked(what, score) for score, _, what in ordered if score >= wanted.threshold][: wanted.limit]


def _once(candidates: Iterable[Candidate[T]]) -> list[Candidate[T]]:
    """Each chunk once, with the best that is known of it."""
    seen: dict[Hashable, Candidate[T]] = {}
    for each in candidates:
        known = seen.get(each.key)
        seen[each.key] = each if known is None else _better(known, each)
    return list(seen.values())


def _better(one: Candidate[T], other: Candidate[T]) -> Candidate[T]:
    return structs.replace(
        one,
        mode=one.mode if one.mode == other.mode else "hybrid",
        similarity=_most(one.similarity, other.similarity),
        relevance=_most(one.relevance, other.relevance),
    )


def _most(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _scored(candidates: list[Candidate[T]], wanted: Rules) -> Iterable[tuple[Hashable, float, float, T]]:
    """Each with its score, and what decides between equal ones."""
    fused = any(each.mode == "hybrid" for each in candidates) and not wanted.weighted
    near, said = [each.similarity for each in candidates], [each.relevance for each in candidates]
    near = _shares(near, wanted.smoothing) if fused else [_clipped(score) for score in near]
    said = _shares(said, wanted.smoothing) if fused else [_clipped(score) for score in said]
    for each, similar, relevant in zip(candidates, near, said, strict=True):
        embedding = 0.0 if each.mode == "keyword" else wanted.weights.embedding if each.mode == "hybrid" else 1.0
        text = 0.0 if each.mode == "vector" else wanted.weights.text if each.mode == "hybrid" else 1.0
        finer = (each.similarity or 0.0) + (each.relevance or 0.0)
        score = (embedding * similar + text * relevant) / (embedding + text)
        yield each.key, min(1.0, score), finer, each.what


def _clipped(score: float | None) -> float:
    return 0.0 if score is None else min(1.0, max(0.0, score))


def _shares(scores: list[float | None], smoothing: float) -> list[float]:
    """For each its part of reciprocal rank fusion, 1 for the first place, 0 for what is not in the ranking."""
    places: dict[float, int] = {}
    for place, score in enumerate(sorted((score for score in scores if score is not None), reverse=True)):
        places.setdefault(score, place)
    return [0.0 if score is None else (smoothing + 1) / (smoothing + 1 + places[score]) for score in scores]
