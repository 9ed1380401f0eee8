"""Something that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from antiphon.ports.index import Vectors
from antiphon.wire.errors import AntiphonError


class EmbedderError(AntiphonError):
    """No vectors: the embedder refused or failed. `transient`: another try may help (`retry_after` says when)."""

    http_status = 502

    def __init__(self, message: str, *, transient: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.transient = transient


class Embedder(Protocol):
    """Contract: one vector for each text, in order, all of one dimension that never changes; none is all zeros or not a
    number. A text longer than the model takes is cut, not refused. Raises EmbedderError only. Never blocks the event
    loop. May be called concurrently."""

    @property
    def model(self) -> str:
        """Its name: a store remembers it."""
        ...

    @property
    def dimension(self) -> int | None:
        """How many numbers a vector has; None: known after the first call."""
        ...

    @property
    def most_texts(self) -> int:
        """Texts that one call may have."""
        ...

    @property
    def most_tokens(self) -> int:
        """Tokens (of cl100k_base) that the texts of one call may have together."""
        ...

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        """The vectors of these texts."""
        ...

    async def close(self) -> None:
        """Release connections and memory."""
        ...
