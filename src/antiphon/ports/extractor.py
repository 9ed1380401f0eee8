"""The text of documents."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Literal, Protocol

from antiphon.core.chunking import Extracted


class ExtractionError(Exception):
    """No text: the words are for the client. `unsupported_file`: nobody reads this type; `invalid_file`: broken,
    encrypted, empty, or more than the limits allow; `server_error`: ours."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file", "server_error"], message: str) -> None:
        super().__init__(message)
        self.code: Literal["unsupported_file", "invalid_file", "server_error"] = code
        self.message = message


class Extractor(Protocol):
    """One kind of document. Runs in a process of its own, which is killed when it takes too long or too much memory, so
    it may block and need not defend itself beyond reading what its library gives.

    Contract: pure; raises ExtractionError for what it cannot read and nothing else on purpose.
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of file names that it reads, as `.pdf`; lower case."""
        ...

    @property
    def media(self) -> tuple[str, ...]:
        """The media types that it reads; one that ends in `/` stands for all that begin so."""
        ...

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """The text; raises ExtractionError."""
        ...


class Extraction(Protocol):
    """Reads any document. Contract: every document ends within the limits of time and memory; the event loop is never
    blocked; cancelling stops the work. Raises ExtractionError only."""

    async def extract(self, pieces: AsyncIterable[bytes], filename: str, media: str, /) -> Extracted:
        """The text of a document, by its name first and then by its media type and first bytes."""
        ...

    async def close(self) -> None:
        """Stop the processes."""
        ...
