"""Any OpenAI-compatible `/v1/embeddings`, as an endpoint of its own or as a model of the catalog.

Endpoints differ in how much they take at once: what one refuses is asked for in halves, and a text that is refused
alone because it is too long is cut until it is not.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from antiphon.adapters.endpoint import EndpointSettings, Remote, Speech
from antiphon.adapters.parts import Parts
from antiphon.adapters.upstream import Retries, Timeouts
from antiphon.core.vectors import Vectors, VectorsError, vectors
from antiphon.ports.embedder import EmbedderError
from antiphon.wire.embeddings import EmbeddingsRequest, Encoding
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError, RateLimitError

_SHORTEST: Final = 64
"""Characters: a text that is refused as too long even so is refused for something else."""
_TOO_LONG: Final = re.compile(r"too (?:long|large|many)|token|length|context|exceed", re.IGNORECASE)

Ask = Callable[[EmbeddingsRequest], Awaitable[bytes]]
"""Sends a request to `/embeddings`; the answer's document. Raises as `Model.embed` does."""


class EmbeddingsEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the endpoint."""

    base_url: Annotated[str, msgspec.Meta(pattern="^https?://")] = "https://api.openai.com/v1"
    """Up to `/v1`."""
    api_key: str | None = None
    """Sent as `Authorization: Bearer`."""
    headers: Mapping[str, str] = {}
    """Further headers of every request."""
    model: str = "text-embedding-3-small"
    """As the endpoint calls it."""
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many numbers a vector shall have; default: the model's own."""
    most_texts: Annotated[int, msgspec.Meta(ge=1, le=2048)] = 256
    """Texts of one request; an endpoint that takes fewer is asked in parts."""
    most_tokens: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    """Tokens of one request."""
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """Seconds until an answer begins."""


class OpenAIEmbedder:
    """The embedder port over whatever answers requests to `/embeddings`."""

    def __init__(
        self, ask: Ask, settings: EmbeddingsEndpoint, close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._close = close
        self._most_texts = settings.most_texts
        self._dimension = settings.dimensions
        self._encoding: Encoding = "base64"

    @property
    def model(self) -> str:
        """As the endpoint calls it."""
        return self._settings.model

    @property
    def dimension(self) -> int | None:
        """As the settings say, or as the first answer had it."""
        return self._dimension

    @property
    def most_texts(self) -> int:
        """As the settings say, or what the endpoint was seen to take."""
        return self._most_texts

    @property
    def most_tokens(self) -> int:
        """As the settings say."""
        return self._settings.most_tokens

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        """The vectors of these texts."""
        del use
        if not texts:
            raise EmbedderError("There is nothing to embed.", transient=False)
        try:
            found = await self._accepted(texts)
        except RateLimitError as error:
            passing = error.code != "insufficient_quota"
            raise EmbedderError(error.message, transient=passing, retry_after=error.retry_after) from error
        except ModelError as error:
            raise EmbedderError(error.message) from error
        except AntiphonError as error:
            raise EmbedderError(error.message, transient=False) from error
        except VectorsError as error:
            raise EmbedderError(f"The embedding model '{self.model}' {error}.", transient=False) from error
        if self._dimension not in {None, found.dimension}:
            words = f"gave vectors of {found.dimension} dimensions instead of {self._dimension}."
            raise EmbedderError(f"The embedding model '{self.model}' {words}", transient=False)
        self._dimension = found.dimension
        return found

    async def close(self) -> None:
        """Close the connections that are its own."""
        if self._close is not None:
            await self._close()

    async def _accepted(self, texts: Sequence[str]) -> Vectors:
        """The vectors, however often the endpoint has to be asked."""
        try:
            return await self._asked(texts)
        except InvalidRequestError as refused:
            if len(texts) == 1:
                return await self._accepted([_shortened(texts[0], refused)])
            middle = (len(texts) + 1) // 2
        first = await self._accepted(texts[:middle])
        second = await self._accepted(texts[middle:])
        if first.dimension != second.dimension:
            raise VectorsError("sent embeddings of different dimensions")
        self._most_texts = min(self._most_texts, middle)
        return Vectors(first.dimension, first.packed + second.packed)

    async def _asked(self, texts: Sequence[str]) -> Vectors:
        try:
            return vectors(await self._ask(self._request(texts)), len(texts))
        except InvalidRequestError as refused:
            if self._encoding == "float" or "encoding" not in f"{refused.param} {refused.message}":
                raise
            self._encoding = "float"
            return await self._asked(texts)

    def _request(self, texts: Sequence[str]) -> EmbeddingsRequest:
        body: dict[str, Any] = {"model": self.model, "input": list(texts)}
        if self._encoding == "base64":
            body["encoding_format"] = "base64"
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        return EmbeddingsRequest(model=self.model, encoding=self._encoding, inputs=tuple(texts), body=body)


def _shortened(text: str, refused: InvalidRequestError) -> str:
    """Half of a text that was refused as too long; raises what it was refused with for any other reason."""
    long = refused.code == "context_length_exceeded" or _TOO_LONG.search(refused.message)
    if not long or len(text) <= _SHORTEST:
        raise refused
    return text[: len(text) // 2]


def make(config: EmbeddingsEndpoint, parts: Parts) -> OpenAIEmbedder:
    """The adapter of kind `openai`."""
    endpoint = EndpointSettings(
        base_url=config.base_url,
        api_key=config.api_key,
        headers=config.headers,
        timeouts=Timeouts(first_byte=config.timeout),
        retries=Retries(count=0),  # failed calls are repeated by whoever needs the vectors
        max_connections=16,
    )
    remote = Remote(parts.name, endpoint, Speech("list of embeddings"))
    return OpenAIEmbedder(remote.embed, config, remote.close)
