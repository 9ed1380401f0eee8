"""The model port, answered from recordings. Nothing is generated and no endpoint is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.core.chat import chat_body
from antiphon.core.chunks import ChunkReader, ReportedError
from antiphon.core.completion import Chunks, Head, completion
from antiphon.core.deltas import Delta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.ports.model import unserved
from antiphon.replay import matching
from antiphon.replay.names import offered, plain, renamed
from antiphon.replay.recordings import Answer, Failure, RecordingError, Recordings
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    RateLimitError,
)
from antiphon.wire.models import Model as ModelCard

NAME: Final = "replay"


class _Card(msgspec.Struct):
    id: str
    created: float = 0
    owned_by: str = NAME


class ReplayModel:
    """A model whose every answer was recorded. `dialect` is how a generation is put as a chat completion request.

    A request that was never recorded, neither with our names of MCP tools nor with their own, raises ReplayMissError.
    A batch is what one recorded chunk gave.
    """

    def __init__(self, recordings: Recordings, dialect: Dialect | None = None) -> None:
        self._recordings = recordings
        self._dialect = dialect or Dialect()

    async def models(self) -> Sequence[ModelCard]:
        """The models that recordings answer for, described as the recorded lists do."""
        return await asyncio.to_thread(cards, self._recordings)

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """The recorded generation; see the port."""
        body, names = chat_body(wanted, self._dialect), plain(wanted.offers)
        if names and not await asyncio.to_thread(self._recordings.holds, matching.chat(body)):
            body = renamed(body, names)
        answer = await self._answer(body, wanted.model)
        for batch in generated(answer, wanted.model):
            yield offered(batch, names)

    async def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """The recorded documents as they are; where a stream is wanted and none was recorded, or the other way round,
        the same answer in the other form. See the port."""
        answer = await self._answer({**request.body, "model": request.model}, request.model)
        for document in answer.documents if answer.streamed == request.stream else _turned(answer):
            yield [document]

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Completions of this older kind are not recorded."""
        raise unserved(request.model, "completions")

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """The recorded vectors."""
        asked = matching.embeddings({**request.body, "model": request.model})
        answer = await asyncio.to_thread(self._recordings.answer, asked)
        if answer.failure is not None:
            raise error_of(answer.failure, request.model)
        return answer.documents[0]

    async def close(self) -> None:
        """Nothing is held."""

    async def _answer(self, body: Mapping[str, Any], model: str) -> Answer:
        answer = await asyncio.to_thread(self._recordings.answer, matching.chat(body))
        if answer.failure is not None:
            raise error_of(answer.failure, model)
        return answer


def cards(recordings: Recordings) -> list[ModelCard]:
    """The models that recordings answer for, described as the recorded lists do."""
    listed: dict[str, ModelCard] = {}
    for answer in recordings.lists():
        for document in answer.documents:
            card = msgspec.json.decode(document, type=_Card)
            listed[card.id] = ModelCard(id=card.id, created=int(card.created), owned_by=card.owned_by)
    return [listed.get(name) or ModelCard(id=name, owned_by=NAME) for name in recordings.models()]


def generated(answer: Answer, model: str) -> Iterator[list[Delta]]:
    """The generation that an answer is, a batch for each chunk. Raises ModelError where the model reported an error,
    RecordingError."""
    reader = ChunkReader()
    try:
        if not answer.streamed:
            yield [*reader.whole(answer.documents[0]), reader.ended()]
            return
        for document in answer.documents:
            if deltas := reader.feed((document,)):
                yield deltas
    except ReportedError as error:
        raise ModelError(f"The model '{model}' reported an error while it answered.") from error
    except msgspec.DecodeError as error:
        raise RecordingError("The recording holds what is no chat completion.") from error
    yield [reader.ended()]


def _turned(answer: Answer) -> list[bytes]:
    """A recorded stream as one completion, a recorded completion as a stream."""
    reader = ChunkReader()
    try:
        head = msgspec.json.decode(answer.documents[0], type=Head)
        if answer.streamed:
            return [completion(head, [*reader.feed(answer.documents), reader.ended()])]
        return Chunks(head, usage=True).render([*reader.whole(answer.documents[0]), reader.ended()])
    except (msgspec.DecodeError, ReportedError) as error:
        raise RecordingError("The recording holds what is no chat completion.") from error


def error_of(failure: Failure, model: str) -> AntiphonError:
    """The error that a client is told of a recorded refusal."""
    if failure.status in {400, 413, 422}:
        words = failure.words or f"The model `{model}` did not accept the request."
        return InvalidRequestError(words, code=failure.code)
    if failure.status == 404:
        words = f"The model `{model}` does not exist or you do not have access to it."
        return NotFoundError(words, param="model", code="model_not_found")
    if failure.status == 429:
        return RateLimitError(f"The endpoint of the model `{model}` is rate limited. Try again later.")
    if failure.status in {408, 504}:
        return ModelTimeoutError(f"The endpoint of the model `{model}` timed out.")
    return ModelError(f"The endpoint of the model `{model}` failed with status {failure.status or 'unknown'}.")
