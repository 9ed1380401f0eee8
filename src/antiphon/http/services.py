"""What the http room is given: the parts of the engine it calls, and its own bounds.

The engine's parts are named here by what this room needs of them, so that a test can pass its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from antiphon.core.effects import Entry
from antiphon.engine.completions import Completions
from antiphon.engine.conversations import Conversations
from antiphon.engine.files import Files
from antiphon.engine.intake import Memory
from antiphon.engine.members import Members
from antiphon.engine.prompts import Prompts
from antiphon.engine.reranking import Reranking
from antiphon.engine.uploads import Uploads
from antiphon.engine.vector_stores import VectorStores
from antiphon.http.lanes import LaneLimits
from antiphon.http.sockets import Sockets
from antiphon.http.tapes import Tapes
from antiphon.ports.clock import Clock
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.model import Model
from antiphon.ports.retrieval import Retrieval
from antiphon.ports.store import PageQuery, Slice, Store
from antiphon.wire.compact import CompactedResponse, CompactRequest, CountRequest, InputTokens
from antiphon.wire.models import Model as Card
from antiphon.wire.responses import CreateResponse, Response


class Journal(Protocol):
    """The events of one run."""

    @property
    def response_id(self) -> str:
        """The response that the run makes."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the client should know although the request is served."""
        ...

    @property
    def context(self) -> Sequence[Entry]:
        """Once the run has ended: the whole context that the response leaves."""
        ...

    def follow(self) -> AsyncGenerator[bytes]:
        """The events as SSE bytes, a batch at a time; ends after the terminal event."""
        ...

    async def last(self) -> Response:
        """The final response. Raises AntiphonError when the run failed before it produced anything."""
        ...

    def abandon(self) -> None:
        """The reader went away."""
        ...


class Runner(Protocol):
    """Starts runs, and answers for them whether they are live or stored."""

    async def start(
        self,
        project: str,
        request: CreateResponse,
        /,
        memory: Memory | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        generate: bool = True,
    ) -> Journal:
        """Validate and start; raises AntiphonError before anything is sent. `memory` knows chains that are not stored;
        `keys`: see http/keys.py; without `generate` the response holds its input and has no output."""
        ...

    async def retrieve(self, project: str, response_id: str, /) -> Response:
        """The response as it stands; NotFoundError."""
        ...

    async def delete(self, project: str, response_id: str, /) -> None:
        """Delete; NotFoundError."""
        ...

    async def cancel(self, project: str, response_id: str, /) -> Response:
        """Cancel a background response; a final one is given back unchanged."""
        ...

    async def follow(self, project: str, response_id: str, after: int, /) -> AsyncGenerator[bytes]:
        """The events of a background response behind that number, to its end; InvalidRequestError when they are not
        kept."""
        ...

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice:
        """The response's resolved input; NotFoundError."""
        ...


class Served(Protocol):
    """A model that a name stands for."""

    @property
    def model(self) -> Model:
        """The endpoint."""
        ...

    @property
    def name(self) -> str:
        """The endpoint's own name of the model."""
        ...

    @property
    def card(self) -> Card:
        """How it is listed."""
        ...


class Catalog(Protocol):
    """The models that can be named in a request."""

    async def resolve(self, name: str, /) -> Served:
        """What the name stands for; AntiphonError with code `model_not_found` when nothing."""
        ...

    async def cards(self) -> Sequence[Card]:
        """All of them."""
        ...


class SocketLimits(Struct, frozen=True, kw_only=True):
    """The bounds of one WebSocket."""

    seconds: float = 3600.0
    """How long it stays open."""
    lanes: LaneLimits = LaneLimits()
    responses: int = 64
    """Responses that nothing stores and that can be continued on it."""
    memory: int = 32 * 1024 * 1024
    """Bytes of their items."""


class HttpLimits(Struct, frozen=True, kw_only=True):
    """The bounds of this room."""

    max_body: int = 64 * 1024 * 1024
    """Bytes of a request's body."""
    keepalive: float = 15.0
    """Seconds of silence after which a stream sends a comment."""
    key_digests: tuple[bytes, ...] = ()
    """SHA-256 digests (32 bytes) of the API keys; none: every client is let in."""
    strict: bool = True
    """Whether parameters that are not known are refused."""
    ready_timeout: float = 5.0
    """Seconds that each part of /ready has to answer."""
    socket: SocketLimits = SocketLimits()
    cors_origins: tuple[str, ...] = ()
    """Sites whose pages may read the answers; `*`: all."""
    guarded: bool = False
    """Whether only this machine's own names and pages are answered."""
    trusted_hosts: tuple[str, ...] = ()
    """Further names that are answered when guarded; `*`: all."""
    idempotency_seconds: float = 86_400.0
    """How long the first answer to an Idempotency-Key is kept."""
    idempotency_bytes: int = 1024 * 1024
    """The longest answer that is kept for an Idempotency-Key."""
    idempotency_lease: float = 60.0
    """Seconds that a key stays taken by a process that has died; a live request renews its hold in time."""
    retention: float | None = None
    """Seconds that stored chat completions are kept; None: for ever."""


class Contexts(Protocol):
    """What can be asked about a context without starting a response."""

    async def count(self, project: str, wanted: CountRequest, /) -> InputTokens:
        """How many tokens it has."""
        ...

    async def compact(self, project: str, wanted: CompactRequest, /) -> CompactedResponse:
        """What may take its place."""
        ...


class Services(Struct, frozen=True, kw_only=True):
    """Everything an endpoint may call."""

    runner: Runner
    catalog: Catalog
    conversations: Conversations
    completions: Completions
    prompts: Prompts
    files: Files
    uploads: Uploads
    vector_stores: VectorStores
    members: Members
    retrieval: Retrieval
    reranking: Reranking
    store: Store
    clock: Clock
    limits: HttpLimits = HttpLimits()
    sockets: Sockets = msgspec.field(default_factory=Sockets)
    tapes: Tapes = msgspec.field(default_factory=Tapes)
    """The cassettes that requests may choose."""
    contexts: Contexts | None = None
    """None: neither counting nor compaction is served."""
    idempotency: Idempotency | None = None
    """None: the header Idempotency-Key means nothing."""
