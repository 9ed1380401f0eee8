"""Any endpoint that speaks OpenAI's chat completions.

Per token: split, one typed decode, one delta; all chunks of one read travel as one batch (law 4). A stream is whole
once its finish word or `[DONE]` has come; what ends earlier was cut and is an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.adapters.refusal import reported
from antiphon.adapters.upstream import Answer, Endpoint, Retries, Timeouts, Upstream
from antiphon.core.chat import chat_body
from antiphon.core.chunks import GARBAGE, ChunkReader, ReportedError
from antiphon.core.deltas import Delta, StepEnded
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError
from antiphon.wire.models import Model as ModelCard


class ChatEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one endpoint."""

    base_url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    """Up to `/v1`; a query in it is repeated in every request."""
    api_key: str | None = None
    """Sent as `Authorization: Bearer`."""
    headers: Mapping[str, str] = {}
    """Further headers of every request."""
    models: tuple[str, ...] = ()
    """The models served here; empty: ask `GET /models`."""
    max_connections: int = 1000
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    dialect: Dialect = Dialect()


class _Models(msgspec.Struct):
    data: tuple[dict[str, Any], ...] = ()


class _Probe(msgspec.Struct):
    error: Any = None


# request parameters of ours by the name that the upstream complains about
_PARAMS = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
}


class OpenAIChat:
    """The model port over one endpoint. `name` is what clients and error messages call it."""

    def __init__(self, name: str, settings: ChatEndpoint) -> None:
        self.name = name
        self._settings = settings
        key = {} if settings.api_key is None else {"Authorization": f"Bearer {settings.api_key.strip()}"}
        self._upstream = Upstream(
            Endpoint(
                name=name,
                base_url=settings.base_url,
                headers={**key, **settings.headers},
                timeouts=settings.timeouts,
                retries=settings.retries,
                max_connections=settings.max_connections,
            )
        )

    async def models(self) -> Sequence[ModelCard]:
        """What `GET /models` lists, or the settings' list; raises ModelError."""
        if self._settings.models:
            return [ModelCard(id=model, owned_by=self.name) for model in self._settings.models]
        try:
            listed = msgspec.json.decode(await self._upstream.get("models"), type=_Models)
        except ModelError:
            raise
        except (AntiphonError, *GARBAGE) as cause:
            raise ModelError(f"The model endpoint '{self.name}' does not list its models.") from cause
        return [_card(model, self.name) for model in listed.data if isinstance(model.get("id"), str)]

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Generate; see the port. A refused parameter is named as the Responses API names it."""
        body = encode(chat_body(wanted, self._settings.dialect))
        try:
            answer = await self._upstream.post("chat/completions", body, model=wanted.model)
        except InvalidRequestError as refused:
            raise _renamed(refused) from refused
        reader = ChunkReader()
        try:
            if answer.whole:
                yield [*reader.whole(await answer.document()), reader.ended()]
                return
            ended = False
            while not ended:
                batch = await self._batch(answer, reader)
                ended = type(batch[-1]) is StepEnded
                yield batch
        except ReportedError as refused:
            raise _renamed(reported(self._upstream.refusal(wanted.model), refused.report)) from refused
        except GARBAGE as garbage:
            raise self._unreadable() from garbage
        finally:
            answer.close()

    async def _batch(self, answer: Answer, reader: ChunkReader) -> list[Delta]:
        """The deltas of the next read that has any; the last one of a whole stream is StepEnded."""
        deltas: list[Delta] = []
        try:
            while not answer.done and (payloads := await answer.payloads()):
                deltas = reader.feed(payloads)
                if deltas and not answer.done:
                    return deltas
        except ModelError:
            if reader.finish is None:
                raise  # otherwise only the goodbye is missing
        if reader.finish is None and not answer.done:
            raise ModelError(f"The stream of the model endpoint '{self.name}' was cut.")
        return [*deltas, reader.ended()]

    async def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Pass the request through and the answer back, undecoded; see the port."""
        body = encode({**request.body, "model": request.model})
        answer = await self._upstream.post("chat/completions", body, model=request.model)
        try:
            if answer.whole or not request.stream:
                document = await answer.document()
                self._probe(request, document)
                yield [document]
                return
            last: list[bytes] = []
            while payloads := await answer.payloads():
                if not last:
                    self._probe(request, payloads[0])
                last = payloads
                yield payloads
            if not answer.done and not self._finished(last):
                raise ModelError(f"The stream of the model endpoint '{self.name}' was cut.")
        finally:
            answer.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()

    def _probe(self, request: ChatRequest, document: bytes) -> None:
        """Before the first output: an answer that is an error, or no JSON, is one to the client as well."""
        try:
            probe = msgspec.json.decode(document, type=_Probe)
        except GARBAGE as garbage:
            raise self._unreadable() from garbage
        if probe.error is not None:
            raise reported(self._upstream.refusal(request.model), probe.error)

    def _finished(self, documents: Sequence[bytes]) -> bool:
        """Whether these, the last ones, end a stream that has no `[DONE]`."""
        reader = ChunkReader()
        try:
            reader.feed(documents)
        except (ReportedError, *GARBAGE):
            return True  # it was passed on, and says itself what went wrong
        return reader.finish is not None or reader.usage is not None

    def _unreadable(self) -> ModelError:
        return ModelError(f"The model endpoint '{self.name}' sent what is no chat completion.")


def make(config: ChatEndpoint, parts: Parts) -> OpenAIChat:
    """The adapter of kind `openai_chat`."""
    return OpenAIChat(parts.name, config)


def _card(model: Mapping[str, Any], owner: str) -> ModelCard:
    created, owned_by = model.get("created"), model.get("owned_by")
    return ModelCard(
        id=model["id"],
        created=int(created) if isinstance(created, int | float) else 0,
        owned_by=owned_by if isinstance(owned_by, str) else owner,
    )


def _renamed(refused: AntiphonError) -> AntiphonError:
    """The error with the parameter's name in the Responses API."""
    root = (refused.param or "").split("[")[0].split(".")[0]
    if root not in _PARAMS:
        return refused
    return type(refused)(refused.message, param=_PARAMS[root], code=refused.code, retry_after=refused.retry_after)
