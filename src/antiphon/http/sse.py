"""Server-sent events over raw ASGI: a batch is one write, silence is broken by comments, the end is `[DONE]`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from msgspec import Struct
from starlette.types import Receive, Send

from antiphon.http.presence import Presence
from antiphon.http.reply import Header
from antiphon.wire.frames import DONE, PING

HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class EventStream(Struct, frozen=True):
    """A stream of batches of whole events, ended by `[DONE]`. `idle`: seconds of silence before a comment; `abandon`
    is called when the stream does not reach its end."""

    batches: AsyncGenerator[bytes]
    idle: float
    abandon: Callable[[], None] | None = None
    headers: tuple[Header, ...] = HEADERS

    async def send(self, receive: Receive, send: Send, /) -> None:
        """Send it all; GoneError when the client leaves meanwhile. The batches are closed in any case."""

        async def ping() -> None:
            await send({"type": "http.response.body", "body": PING, "more_body": True})

        ended = False
        try:
            async with aclosing(self.batches) as batches, Presence(receive, idle=self.idle, ping=ping) as client:
                await send({"type": "http.response.start", "status": 200, "headers": [*self.headers]})
                async for batch in batches:
                    await send({"type": "http.response.body", "body": batch, "more_body": True})
                    client.touch()
                await send({"type": "http.response.body", "body": DONE})
            ended = True
        finally:
            if not ended and self.abandon is not None:
                self.abandon()
