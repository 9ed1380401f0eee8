"""`/v1/rerank`: documents ordered by how well they answer a query, as Jina, Cohere and vLLM have it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

MOST_DOCUMENTS: Final = 2048
"""Documents of one request."""


class RerankDocument(Struct, frozen=True, kw_only=True):
    """A document: its text."""

    text: str


class RerankRequest(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/rerank. `top_n` None: all documents; `model` None: the one that is configured."""

    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[tuple[str | RerankDocument, ...], Meta(min_length=1, max_length=MOST_DOCUMENTS)]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the documents."""
        return tuple(each if isinstance(each, str) else each.text for each in self.documents)


class RerankResult(Struct, frozen=True, kw_only=True):
    """A document by its place in the request, and its score from 0 to 1."""

    index: int
    relevance_score: float
    document: RerankDocument | UnsetType = UNSET


class RerankUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the query and of the documents, by our own count."""

    total_tokens: int


class RerankResults(Struct, frozen=True, kw_only=True):
    """The documents, best first."""

    id: str
    model: str
    results: tuple[RerankResult, ...]
    usage: RerankUsage
