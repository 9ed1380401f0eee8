"""`/v1/embeddings`: texts, or lists of tokens, as vectors."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

MOST_INPUTS: Final = 2048
"""How many inputs one request may bring."""
MOST_TOKENS: Final = 8192
"""How many tokens one input may have where it comes as tokens."""

Encoding: TypeAlias = Literal["float", "base64"]
Token: TypeAlias = Annotated[int, Meta(ge=0)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Tokens: TypeAlias = Annotated[tuple[Token, ...], Meta(min_length=1, max_length=MOST_TOKENS)]
Inputs: TypeAlias = Annotated[tuple[Text | Token | Tokens, ...], Meta(min_length=1, max_length=MOST_TOKENS)]


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """An embeddings request. `body` is the whole JSON object as the client sent it; the named fields are read from it.
    `inputs`: the texts and token lists to embed, one vector each."""

    model: str
    encoding: Encoding
    inputs: tuple[str | tuple[int, ...], ...]
    body: dict[str, Any]


class EmbeddingsParams(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/embeddings. An array holds texts, tokens (then it is one input), or lists of tokens, never
    a mixture. Unknown keys are let through: they are the upstream's."""

    model: Annotated[str, Meta(min_length=1)]
    input: Text | Inputs
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Encoding | None = None
    user: str | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """One vector: its numbers, or as base64 their bytes as little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: tuple[float, ...] | str


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, frozen=True, kw_only=True):
    """The vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    data: tuple[Embedding, ...]
    model: str
    usage: EmbeddingUsage
