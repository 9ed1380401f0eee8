"""Something that orders texts by how well they answer a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.wire.errors import AntiphonError


class RerankError(AntiphonError):
    """No order: the endpoint refused or failed."""

    http_status = 502


class Reranker(Protocol):
    """Contract: one score for each text, in the order given, from 0 to 1. Raises RerankError only."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        """How well each text answers the query."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
