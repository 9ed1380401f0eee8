"""The one door out (law 9): every outbound request that a client's request can steer goes through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class DoorError(Exception):
    """Nothing came of a request. The words are for a client or a model: they name the host and nothing else of the URL.
    `refused`: the door did not let it out, or does not take what came; otherwise the other side failed."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.refused = refused


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request. Headers go to the origin that was asked; behind a redirect to another one only those that say nothing
    about who asks."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class DoorLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken: bytes of the body (decompressed; None: the opener counts), seconds for all of it (None: as long as
    it comes) and to its first byte, redirects, and media types (one that ends in `/` stands for all that begin so;
    none: any). `within`: only redirects that stay at the origin and keep the method."""

    size: int | None = 32 * 1024 * 1024
    seconds: float | None = 30.0
    first: float = 15.0
    redirects: int = 5
    within: bool = False
    media: tuple[str, ...] = ()


class Answer(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def url(self) -> str:
        """Where it came from, behind all redirects."""
        ...

    @property
    def status(self) -> int:
        """The HTTP status, whatever it is."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; of several with one name the last."""
        ...

    def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes, decompressed. DoorError when it breaks off, or is more than the limits allow."""
        ...


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A document. `media` is its content type without parameters, lower case; `filename` what it is called."""

    content: bytes
    media: str
    filename: str


class Door(Protocol):
    """Contract: only http and https; a name is resolved once per connection, its addresses are checked, and one of
    these is connected to; each redirect is checked alike. Addresses that are not public are refused unless the operator
    lists them. No proxy, cookie or credential of ours is ever used. May be called concurrently; cancelling closes."""

    def open(self, ask: Ask, limits: DoorLimits, /) -> AbstractAsyncContextManager[Answer]:
        """Ask; the answer is open within the context. DoorError."""
        ...

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        """GET a whole document. DoorError, also for a status other than 200."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
