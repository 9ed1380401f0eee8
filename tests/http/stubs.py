"""An engine that does as it is told: what the http room calls, without a run behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from antiphon.core.deltas import Delta
from antiphon.core.effects import Entry, Generate
from antiphon.engine.catalog import Served, UnknownModelError
from antiphon.engine.intake import Memory
from antiphon.ports.store import PageQuery, Slice
from antiphon.wire.chat import ChatRequest
from antiphon.wire.compact import CompactedResponse, CompactRequest, CountRequest, InputTokens
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError
from antiphon.wire.events import Completed, Created, Event
from antiphon.wire.frames import encode_frames
from antiphon.wire.items import Message, WebSearchCall
from antiphon.wire.models import Model as Card
from antiphon.wire.responses import CreateResponse, Response, Usage

ANSWER = Message(id="msg_1", role="assistant", content=(OutputText(text="Hello."),))
SEARCH = WebSearchCall(
    id="ws_1", action={"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://example.org"}]}
)
DONE = Response(id="resp_1", created_at=1, status="completed", completed_at=2, model="m", output=(SEARCH, ANSWER))


def frames(*events: Event, first: int = 0) -> bytes:
    """The events as a journal encodes them."""
    return encode_frames(events, first)


CREATED = frames(Created(response=DONE))
COMPLETED = frames(Completed(response=DONE), first=1)


class StubJournal:
    """Gives its batches, then waits until `over` is set; says whether it was abandoned."""

    def __init__(self, *batches: bytes, outcome: Response | AntiphonError = DONE, warnings: Sequence[str] = ()) -> None:
        self.response_id = DONE.id
        self.warnings = tuple(warnings)
        self.context: Sequence[Entry] = ()
        self.batches = batches
        self.outcome = outcome
        self.over = asyncio.Event()
        self.abandoned = asyncio.Event()
        self.waited_for = asyncio.Event()

    async def follow(self) -> AsyncGenerator[bytes]:
        for batch in self.batches:
            yield batch
        self.waited_for.set()
        await self.over.wait()

    async def last(self) -> Response:
        self.waited_for.set()
        await self.over.wait()
        if isinstance(self.outcome, AntiphonError):
            raise self.outcome
        return self.outcome

    def abandon(self) -> None:
        self.abandoned.set()


class StubRunner:
    """Hands out one journal and knows one response."""

    def __init__(self, journal: StubJournal | None = None) -> None:
        self.journal = journal or ended()
        self.refusal: Exception | None = None
        self.started: list[CreateResponse] = []
        self.pages: list[PageQuery] = []

    async def start(
        self,
        project: str,
        request: CreateResponse,
        /,
        memory: Memory | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        generate: bool = True,
    ) -> StubJournal:
        assert project == "default"
        self.started.append(request)
        if self.refusal is not None:
            raise self.refusal
        return self.journal

    async def retrieve(self, project: str, response_id: str, /) -> Response:
        if self.refusal is not None:
            raise self.refusal
        if response_id != DONE.id:
            raise NotFoundError(f"Response with id '{response_id}' not found.")
        return DONE

    async def delete(self, project: str, response_id: str, /) -> None:
        await self.retrieve(project, response_id)

    async def cancel(self, project: str, response_id: str, /) -> Response:
        return await self.retrieve(project, response_id)

    async def follow(self, project: str, response_id: str, after: int, /) -> AsyncGenerator[bytes]:
        await self.retrieve(project, response_id)
        raise InvalidRequestError("It was not created to be streamed.", param="stream")

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice:
        await self.retrieve(project, response_id)
        self.pages.append(page)
        return Slice((Message(id="msg_0", role="user", content=(InputText(text="Hi"),)),), has_more=True)


class StubModel:
    """Relays the batches it was given; an error among them is raised. Without `over` it never ends."""

    def __init__(self, *batches: Sequence[bytes] | AntiphonError, ends: bool = True) -> None:
        self.batches = batches
        self.ends = ends
        self.asked: list[ChatRequest | CompletionRequest | EmbeddingsRequest] = []
        self.closed = asyncio.Event()

    async def models(self) -> Sequence[Card]:
        return []

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        raise NotImplementedError
        yield []

    async def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        self.asked.append(request)
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                yield batch

    async def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        self.asked.append(request)
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                yield batch

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        self.asked.append(request)
        async with aclosing(self._batches()) as batches:
            return (await anext(batches))[0]

    async def _batches(self) -> AsyncGenerator[Sequence[bytes]]:
        try:
            for batch in self.batches:
                if isinstance(batch, AntiphonError):
                    raise batch
                yield batch
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def close(self) -> None:
        """Nothing to release."""


class StubCatalog:
    """Serves one endpoint under some names."""

    def __init__(self, model: StubModel, *names: str) -> None:
        self.served = {name: Served(model, name.rpartition("/")[2], Card(id=name)) for name in names}
        self.failure: Exception | None = None

    async def resolve(self, name: str, /) -> Served:
        if name not in self.served:
            raise UnknownModelError(f"The requested model '{name}' does not exist.", param="model")
        return self.served[name]

    async def cards(self) -> Sequence[Card]:
        if self.failure is not None:
            raise self.failure
        return [served.card for served in self.served.values()]


class StubContexts:
    """Answers the same to everything."""

    async def count(self, project: str, wanted: CountRequest, /) -> InputTokens:
        return InputTokens(input_tokens=1)

    async def compact(self, project: str, wanted: CompactRequest, /) -> CompactedResponse:
        usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2)
        return CompactedResponse(id="resp_1", created_at=1, output=(), usage=usage)


def ended(*batches: bytes, outcome: Response | AntiphonError = DONE, warnings: Sequence[str] = ()) -> StubJournal:
    """A journal whose run is over."""
    journal = StubJournal(*(batches or (CREATED, COMPLETED)), outcome=outcome, warnings=warnings)
    journal.over.set()
    return journal
