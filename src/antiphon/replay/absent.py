"""Ports whose other side is not there: whatever is asked of them has to be recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, NoReturn

from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.reranker import RerankError
from antiphon.ports.search import SearchError, SearchHit, SearchQuery
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import ModelError
from antiphon.wire.models import Model as ModelCard


class AbsentModel:
    """An endpoint."""

    async def models(self) -> Sequence[ModelCard]:
        """Nothing is served."""
        return ()

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """See the port."""
        _refuse(wanted.model)

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        _refuse(request.model)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        _refuse(request.model)

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """See the port."""
        _refuse(request.model)

    async def close(self) -> None:
        """Nothing is held."""


class AbsentSearch:
    """A search backend."""

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:  # noqa: ARG002 - the port's signature
        """See the port."""
        raise SearchError("The search backend is known from recordings alone; it cannot be asked.")

    async def close(self) -> None:
        """Nothing is held."""


class AbsentEmbedder:
    """An embedder of this name."""

    most_texts = 128
    most_tokens = 100_000
    dimension = None

    def __init__(self, model: str) -> None:
        self.model = model

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:  # noqa: ARG002 - the port's signature
        """See the port."""
        words = f"The embedding model '{self.model}' is known from recordings alone; it cannot be asked."
        raise EmbedderError(words, transient=False)

    async def close(self) -> None:
        """Nothing is held."""


class AbsentReranker:
    """A reranker of this name."""

    def __init__(self, model: str) -> None:
        self.model = model

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:  # noqa: ARG002 - the port's signature
        """See the port."""
        raise RerankError(f"The reranker '{self.model}' is known from recordings alone; it cannot be asked.")

    async def close(self) -> None:
        """Nothing is held."""


def _refuse(model: str) -> NoReturn:
    raise ModelError(f"The endpoint of the model '{model}' is known from recordings alone; it cannot be asked.")
