"""Something that continues a conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from antiphon.core.deltas import Delta
from antiphon.core.effects import Generate
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.models import Model as ModelCard


def unserved(model: str, what: str) -> InvalidRequestError:
    """The model does not do this."""
    return InvalidRequestError(f"The model '{model}' does not serve {what}.", param="model", code="unsupported_value")


class Model(Protocol):
    """An endpoint that serves one or more models.

    Contract: of `stream`, exactly one StepEnded comes, last; an upstream refusal is `ModelError` (or one of its
    kinds in `antiphon.wire.errors`), never a transport error; closing the stream stops the upstream request; one
    batch per upstream read. Nothing is retried once a byte of the answer has been yielded.
    """

    async def models(self) -> Sequence[ModelCard]:
        """What this endpoint serves now; raises ModelError when it cannot say."""
        ...

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Generate; `wanted.model` is this endpoint's own name of the model."""
        ...

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Answer a chat completion as the upstream does. Each element is one JSON document: a `chat.completion.chunk`
        when `request.stream`, otherwise the one `chat.completion`. Batches as in `stream`; fields that we do not know
        pass unchanged in both directions."""
        ...

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """As `relay`, for `/completions`: each element is a `text_completion`. May raise `unserved` at once."""
        ...

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """The upstream's answer to an embeddings request: a JSON document, its vectors as numbers or as base64 as the
        upstream chose (`core.embeddings` mends that). Raises `unserved`, or as `stream`."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
