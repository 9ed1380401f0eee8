"""What the http room is given: the parts of the engine it calls, and its own bounds.

The engine's parts are named here by what this room needs of them, so that a test can pass its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec import Struct

from antiphon.engine.conversations import Conversations
from antiphon.ports.clock import Clock
from antiphon.ports.model import Model
from antiphon.ports.store import PageQuery, Slice, Store
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

    async def start(self, project: str, request: CreateResponse, /) -> Journal:
        """Validate and start; raises AntiphonError before anything is sent."""
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


class Services(Struct, frozen=True, kw_only=True):
    """Everything an endpoint may call."""

    runner: Runner
    catalog: Catalog
    conversations: Conversations
    store: Store
    clock: Clock
    limits: HttpLimits = HttpLimits()
