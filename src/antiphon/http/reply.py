"""What an endpoint answers: a value that knows how to send itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias

from msgspec import Struct
from starlette.types import Receive, Send

from antiphon.wire.codec import encode

Header: TypeAlias = tuple[bytes, bytes]

JSON: Final = (b"content-type", b"application/json")


class Reply(Protocol):
    """An answer. Contract: `send` sends it whole, or raises GoneError when the client left."""

    async def send(self, receive: Receive, send: Send, /) -> None:
        """Send it."""
        ...


class Body(Struct, frozen=True):
    """An answer that is known as a whole."""

    content: bytes
    status: int = 200
    headers: tuple[Header, ...] = (JSON,)

    async def send(self, receive: Receive, send: Send, /) -> None:  # noqa: ARG002 (an answer at hand waits for nothing)
        """Send it."""
        length = (b"content-length", b"%d" % len(self.content))
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, length]})
        await send({"type": "http.response.body", "body": self.content})


def json(value: object, warnings: Iterable[str] = ()) -> Body:
    """The value as JSON, with what the client should know besides."""
    return Body(encode(value), 200, (JSON, *warned(warnings)))


def warned(warnings: Iterable[str]) -> tuple[Header, ...]:
    """One header for each warning. They quote what clients sent: nothing but printable ASCII goes into a header."""
    return tuple((b"x-antiphon-warning", _printable(warning)) for warning in warnings)


def _printable(text: str) -> bytes:
    escaped = text[:500].encode("ascii", "backslashreplace")
    return bytes(byte if 32 <= byte < 127 else 32 for byte in escaped)
