"""The retrieval half of composition: files, vector stores, what makes vectors of them and what searches those.

Opened behind the store and before the tools; closed in the opposite order. compose calls it, nobody else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import cast

import msgspec

from antiphon import taping
from antiphon.adapters import discovery
from antiphon.adapters.embedders import local
from antiphon.adapters.extracting.extraction import Limits, Workers
from antiphon.adapters.lines import SqliteLines
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import AdapterError
from antiphon.choices import Choice, Choosing
from antiphon.engine.catalog import Catalog, Served
from antiphon.engine.contextual import Contextual
from antiphon.engine.embedding import VOCABULARY, Embeddings, Policy, Sources
from antiphon.engine.files import Files, Rules, Shelf
from antiphon.engine.indexing import Indexing
from antiphon.engine.indexing import Parts as Stations
from antiphon.engine.ingestion import Bounds, Ingestion
from antiphon.engine.leftovers import Expired, Leftovers
from antiphon.engine.members import Members
from antiphon.engine.reranking import Reranking
from antiphon.engine.retention import Expiring
from antiphon.engine.rewriting import Rewriting
from antiphon.engine.search import Search
from antiphon.engine.sweep import Sweep
from antiphon.engine.uploads import Uploads
from antiphon.engine.vector_stores import Shelves, VectorStores
from antiphon.ports.blobs import Blobs
from antiphon.ports.embedder import Embedder
from antiphon.ports.extractor import Extraction
from antiphon.ports.index import Index
from antiphon.ports.reranker import Reranker
from antiphon.ports.storage import Storage
from antiphon.ports.tokens import Tokens
from antiphon.replay.tape import Deck
from antiphon.replay.taped.embedder import TapedEmbedder
from antiphon.replay.taped.model import TapedModel
from antiphon.settings import Problem, Settings, SettingsError


class Rooms(msgspec.Struct, frozen=True):
    """What the settings name for retrieval, checked, with nothing opened yet. `embedder` None: keyword search only."""

    blobs: Choice
    index: Choice
    embedder: Choice | None = None
    reranker: Choice | None = None


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What the library stands on: opened before it, closed after it."""

    settings: Settings
    parts: Parts
    store: Storage
    catalog: Catalog
    tokens: Tokens
    deck: Deck


class Makers(msgspec.Struct, frozen=True):
    """What a file of a vector store passes."""

    blobs: Blobs
    extraction: Extraction
    index: Index
    embeddings: Embeddings
    contextual: Contextual


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """The opened parts. `expiring`: what retention sweeps of them."""

    blobs: Blobs
    files: Files
    uploads: Uploads
    expiring: tuple[Expiring, ...]
    extraction: Extraction
    index: Index
    embeddings: Embeddings
    vector_stores: VectorStores
    members: Members
    search: Search
    reranking: Reranking


def rooms(settings: Settings, choosing: Choosing) -> Rooms | None:
    """The adapters that the settings name; what is wrong with them is told to `choosing`."""
    reranker = None
    blobs = choosing.section("blobs", "blobs", settings.blobs, settings.blobs.kind)
    index = choosing.section("indexes", "index", settings.index, settings.index.kind)
    if settings.reranker.model_fields_set:
        reranker = choosing.one(
            "rerankers", ("reranker",), settings.reranker.kind, settings.reranker.options, "reranker"
        )
    if blobs is None or index is None:
        return None
    return Rooms(blobs, index, _embedder(settings, choosing), reranker)


def _embedder(settings: Settings, choosing: Choosing) -> Choice | None:
    """The embedder that the settings name."""
    kind, options = settings.embedder.kind, settings.embedder.options
    if kind == "auto":
        choosing.problems.extend(
            Problem(("embedder", name), "belongs to a kind of embedder: set `kind` too") for name in options
        )
        kind, options = _found(settings, choosing)
    found = choosing.one("embedders", ("embedder",), kind, options, kind)
    lack = local.lacking(found.config) if found and isinstance(found.config, local.LocalEmbeddings) else None
    if lack is not None:
        choosing.problems.append(Problem(("embedder", "kind"), lack))
    return found


def _found(settings: Settings, choosing: Choosing) -> tuple[str, dict[str, object]]:
    """The first kind of embedder that can be had here, and its keys. What is at another address than OpenAI's own may
    have other models, so that it is not taken for an embedder unless the settings say so."""
    if taping.replays(settings):
        return "none", {}  # the recordings know which it was
    if local.lacking(local.LocalEmbeddings()) is None:
        return "local", {}
    remote = discovery.from_environment(choosing.environ) if settings.discovery.enabled else None
    if remote is not None and remote.api_key is not None and remote.base_url.rstrip("/") == discovery.OPENAI:
        return "openai", {"base_url": remote.base_url, "api_key": remote.api_key}
    return "none", {}


def _over(deck: Deck, served: Served, dimension: int | None) -> Embedder:
    """The embedder of a model of the catalog. Its tape stands before it, not behind: there texts are one by one."""
    from antiphon.adapters.embedders import openai  # noqa: PLC0415  # its client is a third of the start

    endpoint = openai.EmbeddingsEndpoint(model=served.name, dimensions=dimension)
    if not isinstance(served.model, TapedModel):
        return openai.OpenAIEmbedder(served.model.embed, endpoint)
    return TapedEmbedder(openai.OpenAIEmbedder(served.model.live.embed, endpoint), deck)


def _policy(settings: Settings) -> Policy:
    """Where requests choose cassettes, no vector of a query is kept from one for another."""
    return Policy() if settings.cassette.root is None else Policy(kept=0)


@asynccontextmanager
async def opened(chosen: Rooms, ground: Ground) -> AsyncGenerator[Library]:
    """Open everything in order, and close it again in the opposite one. Raises StoreError."""
    clock = ground.parts.clock
    async with AsyncExitStack() as stack:
        blobs = cast("Blobs", chosen.blobs.make(ground.parts))
        stack.push_async_callback(blobs.close)
        await blobs.open()
        index = cast("Index", chosen.index.make(ground.parts))
        stack.push_async_callback(index.close)
        await index.open()
        embedder = cast("Embedder | None", chosen.embedder.make(ground.parts)) if chosen.embedder else None
        embedder = taping.embedder(embedder, ground.deck)
        sources = Sources(embedder, ground.catalog, partial(_over, ground.deck))
        embeddings = Embeddings(sources, ground.tokens, clock, policy=_policy(ground.settings))
        stack.push_async_callback(embeddings.close)
        lines = SqliteLines(clock, ground.parts.folder)
        contextual = Contextual(ground.catalog, lines, ground.settings.ingestion.context_model)
        stack.push_async_callback(contextual.close)
        reranker = cast("Reranker | None", chosen.reranker.make(ground.parts)) if chosen.reranker else None
        reranker = taping.reranker(reranker, ground.deck)
        if reranker is not None:
            stack.push_async_callback(reranker.close)
        extraction = _extraction(ground)
        stack.push_async_callback(extraction.close)
        makers = Makers(blobs, extraction, index, embeddings, contextual)
        ingestion = _ingestion(ground, makers, stack)
        shelves = Shelves(
            rows=ground.store.vector_stores,
            files=ground.store.files,
            index=index,
            ingestion=ingestion,
            contextual=contextual,
            clock=clock,
        )
        yield _library(ground, shelves, makers, reranker)


def _extraction(ground: Ground) -> Workers:
    """What reads documents; its processes start with the first one."""
    chosen = ground.settings.extraction
    limits = Limits(
        workers=chosen.workers,
        seconds=chosen.seconds,
        memory_mb=chosen.memory_mb,
        characters=chosen.characters,
        extractors=chosen.extractors,
        options={
            "pdf": {"pages": chosen.pages},
            "office": {"unpacked_mb": chosen.unpacked_mb},
            "epub": {"unpacked_mb": chosen.unpacked_mb},
        },
    )
    try:
        return Workers(limits, ground.parts.folder)
    except AdapterError as error:
        raise SettingsError([Problem(("extraction", "extractors"), str(error))]) from None


def _ingestion(ground: Ground, makers: Makers, stack: AsyncExitStack) -> Ingestion:
    """The ingestion and its sweep, at work."""
    settings, clock, rows = ground.settings, ground.parts.clock, ground.store.vector_stores
    stations = Stations(
        rows=rows,
        files=ground.store.files,
        blobs=makers.blobs,
        extraction=makers.extraction,
        ruler=ground.tokens.ruler(VOCABULARY),
        contextual=makers.contextual,
        embeddings=makers.embeddings,
        index=makers.index,
        clock=clock,
    )
    chosen = settings.ingestion
    bounds = Bounds(
        documents=chosen.documents,
        documents_project=chosen.documents_project,
        lease=chosen.lease,
        recoveries=chosen.recoveries,
    )
    sweep = Sweep(rows=rows, index=makers.index, clock=clock, seconds=settings.retention.sweep_seconds)
    ingestion = Ingestion(rows=rows, indexing=Indexing(stations), sweep=sweep, clock=clock, bounds=bounds)
    stack.push_async_callback(sweep.close)
    stack.push_async_callback(ingestion.close)
    ingestion.open()
    sweep.open()
    return ingestion


def _shelf(ground: Ground, blobs: Blobs, index: Index) -> Shelf:
    """What files are kept in."""
    chosen = ground.settings.files
    rules = Rules(
        most=chosen.max_mb * 1024 * 1024,
        upload=chosen.upload_mb * 1024 * 1024,
        batch_seconds=int(chosen.batch_days * 86_400) or None,
        downloads=chosen.downloads,
    )
    store = ground.store
    return Shelf(
        rows=store.files, blobs=blobs, stores=store.vector_stores, index=index, clock=ground.parts.clock, rules=rules
    )


def _library(ground: Ground, shelves: Shelves, makers: Makers, reranker: Reranker | None) -> Library:
    """What is asked."""
    settings, blobs, embeddings = ground.settings, makers.blobs, makers.embeddings
    candidates = settings.reranker.candidates
    reranking = Reranking(reranker, ground.tokens, shelves.clock, candidates=candidates)
    rewriting = Rewriting(ground.catalog, settings.search.rewrite_model)
    shelf = _shelf(ground, blobs, shelves.index)
    return Library(
        blobs=blobs,
        files=Files(shelf),
        uploads=Uploads(shelf),
        expiring=(Expired(shelf.rows, blobs), Leftovers(shelf.rows, blobs)),
        extraction=makers.extraction,
        index=shelves.index,
        embeddings=embeddings,
        vector_stores=VectorStores(shelves, embeddings),
        members=Members(shelves),
        search=Search(shelves, embeddings, reranking, rewriting),
        reranking=reranking,
    )
