"""Search: questions in several stores become one ranking of chunks.

Law: whatever part of it fails, the search fails; an answer without hits means that nothing was found. A hit is shown
only while its file stands in its store: what the index still has of others is dropped before anything is ranked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from antiphon.core.chunking import searched
from antiphon.core.filters import Filter
from antiphon.core.ranking import Candidate, Ranked, Rules, rank, rules
from antiphon.engine.embedding import Embeddings, Space
from antiphon.engine.reranking import Reranking
from antiphon.engine.rewriting import Rewriting
from antiphon.engine.vector_stores import Shelves, expired_store, missing_store
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.index import DimensionError, Lookup, Match, Mode, Vectors
from antiphon.ports.retrieval import Found, Hit, RetrievalQuery
from antiphon.wire.errors import InvalidRequestError, StoreError
from antiphon.wire.files import File
from antiphon.wire.tools import RankingOptions
from antiphon.wire.vector_stores import VectorStore

LOGGER: Final = logging.getLogger(__name__)

DEPTH: Final = 30
"""Matches of each kind that a hybrid search asks a store for at least: fusion needs to see what is below the limit."""
DEEPEST: Final = 5000
"""Matches after which a store is asked for no more, however many of them are nobody's."""
MINUTE: Final = 60
"""Seconds after which another use of a store is noted."""
UNMENDED: Final = frozenset({"none", "rrf", "weighted"})
"""Rankers whose ranking is final."""

T = TypeVar("T")


class _Place(msgspec.Struct, frozen=True):
    """A store as it is searched: `space` is what its questions are embedded in, None for keywords alone."""

    store: VectorStore
    mode: Mode
    space: Space | None


class _Asked(msgspec.Struct, frozen=True):
    """Questions to stores of a project."""

    project: str
    queries: Sequence[str]
    places: Sequence[_Place]
    filter: Filter | None


class _Shown(msgspec.Struct, frozen=True):
    """A match whose file stands in the store."""

    match: Match
    store_id: str
    file: File


class Search:
    """The port `Retrieval`."""

    def __init__(self, shelves: Shelves, embeddings: Embeddings, reranking: Reranking, rewriting: Rewriting) -> None:
        self._shelves = shelves
        self._embeddings = embeddings
        self._reranking = reranking
        self._rewriting = rewriting

    async def exist(self, project: str, store_ids: Sequence[str], /) -> None:
        """Raise as `search` would for these stores."""
        await self._stores(project, store_ids)

    async def search(self, project: str, wanted: RetrievalQuery, /) -> Found:
        """Search; the stores count as used."""
        stores = await self._stores(project, wanted.store_ids)
        places = [_place(store, wanted.mode) for store in stores]
        ranking = rules(wanted.ranking, wanted.limit)
        queries = await self._rewriting.rewritten(wanted.queries) if wanted.rewrite else wanted.queries
        filled = [place for place in places if place.store.file_counts.completed]
        asked = _Asked(project, queries, filled, wanted.filter)
        ranked = await self._ranked(asked, wanted.ranking, ranking)
        await self._touch(project, stores)
        return Found(queries, [_hit(each) for each in ranked])

    async def _stores(self, project: str, store_ids: Sequence[str]) -> list[VectorStore]:
        """The stores, each once. NotFoundError, InvalidRequestError."""
        once = list(dict.fromkeys(store_ids))
        now = self._shelves.clock.now()
        stores = await _together(self._shelves.rows.store(project, store_id, now) for store_id in once)
        found: list[VectorStore] = []
        for store_id, store in zip(once, stores, strict=True):
            if store is None:
                raise missing_store(store_id)
            if store.status == "expired":
                raise expired_store(store_id)
            found.append(store)
        return found

    async def _ranked(self, asked: _Asked, options: RankingOptions, ranking: Rules) -> list[Ranked[_Shown]]:
        candidates = None if options.ranker in UNMENDED else self._reranking.candidates
        limit = max(ranking.limit, candidates or 0)
        vectors = await self._vectors(asked.queries, asked.places)
        fused = any(place.mode == "hybrid" for place in asked.places)
        depth = max(DEPTH, 2 * limit) if fused else 2 * limit
        found, short = await self._found(asked, vectors, depth)
        while short and depth < DEEPEST:
            depth *= 4
            found, short = await self._found(asked, vectors, depth)
        if candidates is None:
            return rank(found, ranking)
        best = rank(found, msgspec.structs.replace(ranking, threshold=0.0, limit=limit))
        return await self._reranked(asked.queries, best, ranking)

    async def _found(
        self, asked: _Asked, vectors: Mapping[tuple[str, Space], Vectors], depth: int
    ) -> tuple[list[list[Candidate[_Shown]]], bool]:
        """What each question found, and whether there may be more behind what was dropped."""
        matches = await _together(
            self._matches(asked.project, place, _lookup(query, place, vectors, asked.filter, depth))
            for query in asked.queries
            for place in asked.places
        )
        standing = await self._standing(asked.project, [each for found in matches for each in found])
        width = len(asked.places)
        found = [
            [
                _candidate(place, _Shown(match, place.store.id, file))
                for place, theirs in zip(asked.places, matches[at : at + width], strict=True)
                for match in theirs
                if (file := standing.get(match.document)) is not None
            ]
            for at in range(0, len(matches), width or 1)
        ]
        short = any(
            len(theirs) >= depth and any(match.document not in standing for match in theirs) for theirs in matches
        )
        return found, short

    async def _vectors(self, queries: Sequence[str], places: Sequence[_Place]) -> dict[tuple[str, Space], Vectors]:
        """Each query in each space once."""
        pairs = list(dict.fromkeys((query, place.space) for query in queries for place in places if place.space))
        found = await _together(self._embeddings.query(space, query) for query, space in pairs)
        return dict(zip(pairs, found, strict=True))

    async def _matches(self, project: str, place: _Place, lookup: Lookup) -> Sequence[Match]:
        try:
            return await self._shelves.index.search(project, place.store.id, lookup)
        except DimensionError as error:
            words = (
                f"The embedding model gives vectors of {error.given} numbers, those of the vector store "
                f"'{place.store.id}' have {error.kept}."
            )
            raise EmbedderError(words, transient=False) from None

    async def _standing(self, project: str, matches: Sequence[Match]) -> dict[str, File]:
        """The files of those documents that stand in their stores, by document."""
        if not matches:
            return {}
        shelves = self._shelves
        documents = list({match.document for match in matches})
        ids = list({match.file_id for match in matches})
        members, files = await asyncio.gather(
            shelves.rows.documents(project, documents), shelves.files.files(project, ids, shelves.clock.now())
        )
        return {
            document: files[member.id].file
            for document, member in members.items()
            if member.status == "completed" and member.id in files
        }

    async def _reranked(
        self, queries: Sequence[str], best: Sequence[Ranked[_Shown]], ranking: Rules
    ) -> list[Ranked[_Shown]]:
        if not best:
            return []
        scores = await self._reranking.scores(queries, [searched(each.what.match.chunk) for each in best])
        ordered = sorted(zip(scores, best, strict=True), key=lambda each: each[0], reverse=True)
        kept = [Ranked(each.what, score) for score, each in ordered if score >= ranking.threshold]
        return kept[: ranking.limit]

    async def _touch(self, project: str, stores: Sequence[VectorStore]) -> None:
        """Note that they were used, at most once a minute: a search stays a read."""
        now = self._shelves.clock.now()
        stale = [store.id for store in stores if now - (store.last_active_at or 0) >= MINUTE]
        if not stale:
            return
        try:
            await self._shelves.rows.touch_stores(project, stale, now)
        except StoreError as error:  # what was found is right all the same
            LOGGER.warning("the use of vector stores was not noted: %s", error.message)


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _place(store: VectorStore, mode: Mode | None) -> _Place:
    model = store.embedding_model
    if model is None and mode in {"vector", "hybrid"}:
        words = f"The vector store '{store.id}' has no vectors: it can be searched in the mode 'keyword' only."
        raise InvalidRequestError(words, param="search_mode", code="unsupported_value")
    if model is None or mode == "keyword":
        return _Place(store, "keyword", None)
    return _Place(store, mode or "hybrid", Space(model, store.embedding_dimension))


def _lookup(
    query: str, place: _Place, vectors: Mapping[tuple[str, Space], Vectors], wanted: Filter | None, depth: int
) -> Lookup:
    vector = vectors[query, place.space] if place.space is not None else None
    return Lookup(text=query, vector=vector, mode=place.mode, limit=depth, filter=wanted)


def _candidate(place: _Place, shown: _Shown) -> Candidate[_Shown]:
    """The same piece of the same file is one hit, in however many stores it stands."""
    match = shown.match
    key = (match.file_id, match.chunk.start, match.chunk.end)
    return Candidate(what=shown, key=key, mode=place.mode, similarity=match.similarity, relevance=match.relevance)


def _hit(ranked: Ranked[_Shown]) -> Hit:
    shown = ranked.what
    chunk = shown.match.chunk
    return Hit(
        file_id=shown.file.id,
        filename=shown.file.filename,
        store_id=shown.store_id,
        score=ranked.score,
        text=chunk.text,
        attributes=shown.match.attributes,
        first_page=chunk.first_page,
        last_page=chunk.last_page,
    )
