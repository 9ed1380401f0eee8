"""An endpoint of the settings that generates: what its kinds have in common, whatever they speak.

Errors leave here in our words: garbage, a cut stream, an error inside of an answer; a refused parameter is named as the
Responses API names it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec

from antiphon.adapters.refusal import reported
from antiphon.adapters.upstream import Answer, Endpoint, Retries, Timeouts, Upstream
from antiphon.core.chunks import GARBAGE, ReportedError
from antiphon.core.deltas import Delta, StepEnded
from antiphon.wire.codec import encode
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError
from antiphon.wire.models import Model as ModelCard


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one endpoint, whatever it speaks."""

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


class Speech(msgspec.Struct, frozen=True):
    """What an endpoint speaks: what its answer is called in errors, and parameters of ours by its names for them."""

    answer: str
    params: Mapping[str, str] = {}


class Reader(Protocol):
    """Makes deltas of one answer. `feed` and `whole` raise ReportedError and GARBAGE, `ended` ReportedError."""

    @property
    def finish(self) -> str | None:
        """The finish word, once it has come: what is cut after it is whole."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing more is to come, so that `[DONE]` need not be waited for."""
        ...

    def feed(self, documents: Sequence[bytes], /) -> list[Delta]:
        """The deltas of these documents, the data of events."""
        ...

    def whole(self, document: bytes, /) -> list[Delta]:
        """The deltas of an answer that is not streamed."""
        ...

    def ended(self) -> StepEnded:
        """The end of the generation."""
        ...


class _Models(msgspec.Struct):
    data: tuple[dict[str, Any], ...] = ()


class _Probe(msgspec.Struct):
    error: Any = None


class Remote:
    """One endpoint and its connections. `name` is what clients and error messages call it."""

    def __init__(self, name: str, settings: EndpointSettings, speech: Speech) -> None:
        self.name = name
        self._settings = settings
        self._speech = speech
        key = {} if settings.api_key is None else {"Authorization": f"Bearer {settings.api_key.strip()}"}
        self.upstream = Upstream(
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
            listed = msgspec.json.decode(await self.upstream.get("models"), type=_Models)
        except ModelError:
            raise
        except (AntiphonError, *GARBAGE) as cause:
            raise ModelError(f"The model endpoint '{self.name}' does not list its models.") from cause
        return [_card(model, self.name) for model in listed.data if isinstance(model.get("id"), str)]

    async def embed(self, request: EmbeddingsRequest) -> bytes:
        """Pass the request through to `/embeddings`; see the model port."""
        body = encode({**request.body, "model": request.model})
        answer = await self.upstream.post("embeddings", body, model=request.model)
        try:
            document = await answer.document()
        finally:
            answer.close()
        self.probe(request.model, document)
        return document

    async def post(self, path: str, body: bytes, *, model: str) -> Answer:
        """POST the body; raises what the endpoint refused, its parameter named as ours."""
        try:
            return await self.upstream.post(path, body, model=model)
        except InvalidRequestError as refused:
            raise self.renamed(refused) from refused

    async def generate(
        self, ask: Callable[[], Awaitable[Answer]], reader: Reader, *, model: str
    ) -> AsyncGenerator[Sequence[Delta]]:
        """The deltas of the answer to what is asked, a batch per read; closing it stops the request."""
        answer = await ask()
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
            raise self.renamed(reported(self.upstream.refusal(model), refused.report)) from refused
        except GARBAGE as garbage:
            raise self.unreadable() from garbage
        finally:
            answer.close()

    async def _batch(self, answer: Answer, reader: Reader) -> list[Delta]:
        """The deltas of the next read that has any; the last one of a whole stream is StepEnded."""
        deltas: list[Delta] = []
        try:
            while not answer.done and (payloads := await answer.payloads()):
                deltas = reader.feed(payloads)
                answer.done = answer.done or reader.over
                if deltas and not answer.done:
                    return deltas
        except ModelError:
            if reader.finish is None:
                raise  # otherwise only the goodbye is missing
        if reader.finish is None and not answer.done:
            raise ModelError(f"The stream of the model endpoint '{self.name}' was cut.")
        return [*deltas, reader.ended()]

    def probe(self, model: str, document: bytes) -> None:
        """Raise the error that a document is which would be passed on, or that it is no JSON."""
        try:
            probe = msgspec.json.decode(document, type=_Probe)
        except GARBAGE as garbage:
            raise self.unreadable() from garbage
        if probe.error is not None:
            raise reported(self.upstream.refusal(model), probe.error)

    def renamed(self, refused: AntiphonError) -> AntiphonError:
        """The error with the parameter's name in the Responses API."""
        root = (refused.param or "").split("[")[0].split(".")[0]
        if root not in self._speech.params:
            return refused
        param = self._speech.params[root]
        return type(refused)(refused.message, param=param, code=refused.code, retry_after=refused.retry_after)

    def unreadable(self) -> ModelError:
        """The answer is not what this endpoint should speak."""
        return ModelError(f"The model endpoint '{self.name}' sent what is no {self._speech.answer}.")

    async def close(self) -> None:
        """Close all connections."""
        await self.upstream.close()


def _card(model: Mapping[str, Any], owner: str) -> ModelCard:
    created, owned_by = model.get("created"), model.get("owned_by")
    return ModelCard(
        id=model["id"],
        created=int(created) if isinstance(created, int | float) else 0,
        owned_by=owned_by if isinstance(owned_by, str) else owner,
    )
