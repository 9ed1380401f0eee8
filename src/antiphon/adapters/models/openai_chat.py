"""Any endpoint that speaks OpenAI's chat completions.

Per token: split, one typed decode, one delta; all chunks of one read travel as one batch (law 4). A stream is whole
once its finish word or `[DONE]` has come; what ends earlier was cut and is an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from antiphon.adapters.endpoint import EndpointSettings, Remote, Speech
from antiphon.adapters.parts import Parts
from antiphon.adapters.upstream import Answer
from antiphon.core.chat import chat_body
from antiphon.core.chunks import GARBAGE, ChunkReader, ReportedError
from antiphon.core.deltas import Delta
from antiphon.core.dialect import Dialect
from antiphon.core.dictation import Dictation, dictated
from antiphon.core.effects import Generate
from antiphon.core.thinking import Splitter
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import ModelError
from antiphon.wire.models import Model as ModelCard


class ChatEndpoint(EndpointSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one endpoint."""

    dialect: Dialect = Dialect()
    pass_store: bool = False
    """Whether `store` and `metadata` of chat completions are passed on as well; they are this server's own."""


_OURS = ("store", "metadata")

_CHAT = Speech(
    "chat completion",
    params={
        "messages": "input",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "reasoning_effort": "reasoning.effort",
    },
)


class OpenAIChat:
    """The model port over one endpoint. `name` is what clients and error messages call it."""

    def __init__(self, name: str, settings: ChatEndpoint) -> None:
        self.name = name
        self._settings = settings
        self._remote = Remote(name, settings, _CHAT)

    async def models(self) -> Sequence[ModelCard]:
        """What `GET /models` lists, or the settings' list; raises ModelError."""
        return await self._remote.models()

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Generate; see the port. A refused parameter is named as the Responses API names it."""

        async def ask() -> Answer:
            body = encode(chat_body(wanted, self._settings.dialect))
            return await self._remote.post("chat/completions", body, model=wanted.model)

        told = self._remote.generate(ask, ChunkReader(), model=wanted.model)
        if self._settings.dialect.think_tags:
            told = _split(told, Splitter())
        offer = dictated(wanted, self._settings.dialect)
        return told if offer is None else _dictated(told, Dictation(offer))

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Pass the request through and the answer back, undecoded; see the port."""
        left_out = () if self._settings.pass_store else _OURS
        return self._passed("chat/completions", request, left_out)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """As `relay`."""
        return self._passed("completions", request)

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """Pass the request through; see the port."""
        return await self._remote.embed(request)

    async def _passed(
        self, path: str, request: ChatRequest | CompletionRequest, left_out: Sequence[str] = ()
    ) -> AsyncGenerator[Sequence[bytes]]:
        given = {name: value for name, value in request.body.items() if name not in left_out}
        body = encode({**given, "model": request.model})
        answer = await self._remote.upstream.post(path, body, model=request.model)
        try:
            if answer.whole or not request.stream:
                document = await answer.document()
                self._remote.probe(request.model, document)
                yield [document]
                return
            last: list[bytes] = []
            while payloads := await answer.payloads():
                if not last:
                    self._remote.probe(request.model, payloads[0])
                last = payloads
                yield payloads
            if not answer.done and not self._finished(last):
                raise ModelError(f"The stream of the model endpoint '{self.name}' was cut.")
        finally:
            answer.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._remote.close()

    def _finished(self, documents: Sequence[bytes]) -> bool:
        """Whether these, the last ones, end a stream that has no `[DONE]`."""
        reader = ChunkReader()
        try:
            reader.feed(documents)
        except (ReportedError, *GARBAGE):
            return True  # it was passed on, and says itself what went wrong
        return reader.finish is not None or reader.usage is not None


async def _dictated(told: AsyncGenerator[Sequence[Delta]], dictation: Dictation) -> AsyncGenerator[Sequence[Delta]]:
    """What an endpoint says that is held to a grammar, as the call that was asked for."""
    async with aclosing(told):
        async for batch in told:
            yield dictation.taken(batch)


async def _split(told: AsyncGenerator[Sequence[Delta]], splitter: Splitter) -> AsyncGenerator[Sequence[Delta]]:
    """What an endpoint says that leaves reasoning in its answers."""
    async with aclosing(told):
        async for batch in told:
            if deltas := splitter.split(batch):
                yield deltas


def make(config: ChatEndpoint, parts: Parts) -> OpenAIChat:
    """The adapter of kind `openai_chat`."""
    return OpenAIChat(parts.name, config)
