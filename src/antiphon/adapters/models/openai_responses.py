"""Any endpoint that speaks OpenAI's Responses, used without state: nothing is stored there (`store: false`).

What the endpoint thinks comes in encrypted form, is kept with the item, and goes back as it was. Per event: split, one
typed decode, one delta; all events of one read travel as one batch (law 4). A stream is whole once its response ended.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec.structs import replace

from antiphon.adapters.endpoint import EndpointSettings, Remote, Speech
from antiphon.adapters.parts import Parts
from antiphon.adapters.relay import relayed
from antiphon.adapters.upstream import Answer
from antiphon.core.deltas import Delta
from antiphon.core.dialect import NativeDialect
from antiphon.core.effects import Generate
from antiphon.core.hearing import EventReader
from antiphon.core.native import native_body
from antiphon.ports.clock import Clock
from antiphon.ports.model import unserved
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.models import Model as ModelCard


class ResponsesEndpoint(EndpointSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one endpoint."""

    dialect: NativeDialect = NativeDialect()


LOST: Final = "invalid_encrypted_content"
_RESPONSES: Final = Speech("response", params={"messages": "input"})
_INEXPRESSIBLE: Final = ("stop", "logit_bias", "audio", "functions", "function_call")


class OpenAIResponses:
    """The model port over one endpoint. `name` is what clients and error messages call it."""

    def __init__(self, name: str, settings: ResponsesEndpoint, clock: Clock) -> None:
        self.name = name
        self._dialect = settings.dialect
        self._plain = replace(settings.dialect, encrypted_reasoning=False)
        self._clock = clock
        self._remote = Remote(name, settings, _RESPONSES)
        self._unencrypted: set[str] = set()  # models that refuse to be asked for encrypted reasoning

    async def models(self) -> Sequence[ModelCard]:
        """What `GET /models` lists, or the settings' list; raises ModelError."""
        return await self._remote.models()

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Generate; see the port."""
        return self._remote.generate(lambda: self._ask(wanted), EventReader(self.name), model=wanted.model)

    async def _ask(self, wanted: Generate) -> Answer:
        """Ask; once more without encrypted reasoning where that is what the endpoint refused: a conversation must not
        be stuck because a model has no such thing, or the endpoint has lost its key."""
        dialect = self._plain if wanted.model in self._unencrypted else self._dialect
        try:
            return await self._post(wanted, dialect)
        except InvalidRequestError as refused:
            if not (dialect.encrypted_reasoning and _about_encryption(refused)):
                raise
            lost = refused.code == LOST
        answer = await self._post(wanted, self._plain)
        if not lost:
            self._unencrypted.add(wanted.model)
        return answer

    async def _post(self, wanted: Generate, dialect: NativeDialect) -> Answer:
        body = encode(native_body(wanted, dialect, self.name))
        return await self._remote.post("responses", body, model=wanted.model)

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """The chat completion as a response; a parameter that responses do not have is refused."""
        for name in _INEXPRESSIBLE:
            if request.body.get(name):
                raise InvalidRequestError(
                    f"Unsupported parameter: '{name}' is not supported with this model.",
                    param=name,
                    code="unsupported_parameter",
                )
        return relayed(self.stream, request, self._clock)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Not served."""
        raise unserved(request.model, "completions")

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """Pass the request through; see the port."""
        return await self._remote.embed(request)

    async def close(self) -> None:
        """Close all connections."""
        await self._remote.close()


def make(config: ResponsesEndpoint, parts: Parts) -> OpenAIResponses:
    """The adapter of kind `openai_responses`."""
    return OpenAIResponses(parts.name, config, parts.clock)


def _about_encryption(refused: InvalidRequestError) -> bool:
    """Whether the endpoint cannot read what it is sent back, or this model of it has no encrypted form to give."""
    about_asking = (refused.param or "").startswith("include") or "encrypted content is not" in refused.message.lower()
    return refused.code == LOST or about_asking
