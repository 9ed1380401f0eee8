"""The bounds of a request's body: its size, counted while it is read, and its form."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import Message, Receive, Scope

from antiphon.http.bodies import CODINGS, coding, gathered, too_large, unpacked
from antiphon.http.presence import GoneError
from antiphon.wire.errors import AntiphonError


class UnsupportedMediaError(AntiphonError):
    """The body is in a form that this server does not read."""

    http_status, type, default_code = 415, "invalid_request_error", "unsupported_media_type"


async def body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The JSON body, unpacked, of `most` bytes at the most.

    A body must say that it is JSON: a page in a browser may send any other kind to a server on the same machine
    without asking, and this server often runs without keys. Raises TooLargeError, UnsupportedMediaError, GoneError,
    and InvalidRequestError for a compressed body that cannot be unpacked.
    """
    packing = _admit(scope, most)
    message = await receive()
    content: bytes = message.get("body", b"")
    if packing or message.get("more_body"):
        async with aclosing(_pieces(message, receive)) as pieces:
            content = await (unpacked(pieces, packing, most) if packing else gathered(pieces, most))
    elif message["type"] == "http.disconnect":
        raise GoneError
    if len(content) > most:
        raise too_large(most)
    if content:
        _require_json(scope)
    return content


async def _pieces(message: Message, receive: Receive) -> AsyncGenerator[bytes]:
    """The body from this message on; GoneError when the client leaves before its end."""
    more = True
    while more:
        if message["type"] == "http.disconnect":
            raise GoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)
        if more:
            message = await receive()


def _admit(scope: Scope, most: int) -> str:
    """The coding of the body; refuse by the headers what need not be read for that."""
    packing: str | None = ""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise too_large(most)
        if name == b"content-encoding":
            packing = coding(value.decode("latin-1")) if not packing else None
            if packing is None:
                raise UnsupportedMediaError(
                    f"Bodies with the content encoding '{_shown(value)}' are not read; send one of "
                    f"{', '.join(CODINGS)}, or the body as it is.",
                    code="unsupported_content_encoding",
                )
    return packing


def is_json(scope: Scope) -> bool:
    """Whether the body is declared as JSON."""
    kind = _declared(scope).partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _require_json(scope: Scope) -> None:
    """Raise UnsupportedMediaError for a body that is not declared as JSON."""
    if not is_json(scope):
        raise UnsupportedMediaError(
            f"The body is declared as '{_shown(_declared(scope))}'; send JSON with 'Content-Type: application/json'.",
            code="unsupported_content_type",
        )


def _declared(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"content-type"), b"")


def _shown(value: bytes) -> str:
    return value.decode("latin-1")[:100]
