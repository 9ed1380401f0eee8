"""The bounds of a request's body: its size, counted while it is read, and its form."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope

from antiphon.http.presence import GoneError
from antiphon.wire.errors import AntiphonError, TooLargeError

_IDENTITY: Final = (b"", b"identity")


class UnsupportedMediaError(AntiphonError):
    """The body is in a form that this server does not read."""

    http_status, type, default_code = 415, "invalid_request_error", "unsupported_media_type"


async def body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The JSON body, of `most` bytes at the most.

    A body must say that it is JSON: a page in a browser may send any other kind to a server on the same machine
    without asking, and this server often runs without keys. Raises TooLargeError, UnsupportedMediaError, GoneError.
    """
    _admit(scope, most)
    message = await receive()
    content: bytes = message.get("body", b"")
    if message.get("more_body"):
        content = await _rest(content, receive, most)
    elif message["type"] == "http.disconnect":
        raise GoneError
    if len(content) > most:
        raise too_large(most)
    if content:
        _require_json(scope)
    return content


async def _rest(first: bytes, receive: Receive, most: int) -> bytes:
    pieces = bytearray(first)
    more = True
    while more:
        if len(pieces) > most:
            raise too_large(most)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        pieces += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(pieces)


def _admit(scope: Scope, most: int) -> None:
    """Refuse by the headers what need not be read for that."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise too_large(most)
        if name == b"content-encoding" and value.strip().lower() not in _IDENTITY:
            raise UnsupportedMediaError(
                f"Bodies with the content encoding '{_shown(value)}' are not read; send the body as it is.",
                code="unsupported_content_encoding",
            )


def _require_json(scope: Scope) -> None:
    declared: bytes = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    kind = declared.partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise UnsupportedMediaError(
            f"The body is declared as '{_shown(declared)}'; send JSON with 'Content-Type: application/json'.",
            code="unsupported_content_type",
        )


def too_large(most: int) -> TooLargeError:
    """The body is larger than `most` bytes."""
    return TooLargeError(f"The body of the request is too large: at most {most} bytes are read.")


def _shown(value: bytes) -> str:
    return value.decode("latin-1")[:100]
