"""The journal of one run: its events as batches of bytes, numbered once, read by everybody (law 3).

`append` encodes a batch once and wakes all followers once (law 4). A follower holds an index, no queue. A journal that
nobody will follow (`streamed` false: the caller waits for the last response only) counts its events and keeps none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from antiphon.core.effects import Entry
from antiphon.wire.errors import AntiphonError
from antiphon.wire.events import Event
from antiphon.wire.frames import encode_frames
from antiphon.wire.responses import Response


class Journal:
    """Events of one response.

    `bound` is how many bytes may wait for a follower that lags; then `room` makes the run wait, and with it the
    upstream (back-pressure instead of memory).
    """

    def __init__(
        self,
        response_id: str,
        *,
        streamed: bool,
        bound: int,
        on_abandon: Callable[[], None],
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.response_id = response_id
        self.warnings = warnings
        self.next_number = 0
        self.context: Sequence[Entry] = ()
        """Once ended: the whole context that the response leaves, for a follower that keeps chains by itself."""
        self._streamed = streamed
        self._bound = bound
        self._on_abandon = on_abandon
        self._batches: list[bytes] = []
        self._trimmed = 0  # batches that every follower has read, and that are gone from the front of the list
        self._size = 0
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[Response | AntiphonError] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self._ended.done()

    def append(self, events: Sequence[Event]) -> None:
        """Number, encode and keep a batch; wake the followers."""
        if not events:
            return
        first = self.next_number
        self.next_number += len(events)
        if self._streamed:
            batch = encode_frames(events, first)
            self._batches.append(batch)
            self._size += len(batch)
            self._wake()

    def end(self, outcome: Response | AntiphonError) -> None:
        """Nothing comes any more. An error is raised to whoever waits for the last response."""
        if not self._ended.done():
            self._ended.set_result(outcome)
            self._wake()

    @property
    def full(self) -> bool:
        """Whether more than `bound` bytes wait to be read."""
        return self._size > self._bound

    async def room(self) -> None:
        """Wait until no more than `bound` bytes wait to be read."""
        while self.full and not self.ended:
            self._room = self._room or asyncio.get_running_loop().create_future()
            await self._room

    async def follow(self) -> AsyncGenerator[bytes]:
        """The events from the first one on as SSE frames, until the end. One reader at a time: what it has read is
        let go."""
        at = 0
        while True:
            while at < self._trimmed + len(self._batches):
                batches = self._batches[at - self._trimmed :]
                at += len(batches)
                self._trim(at)
                yield batches[0] if len(batches) == 1 else b"".join(batches)
            if self.ended:
                return
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await self._news

    async def last(self) -> Response:
        """The final response, when it is there; raises what made the run fail before it had any output."""
        outcome = await asyncio.shield(self._ended)
        if isinstance(outcome, AntiphonError):
            raise outcome
        return outcome

    def abandon(self) -> None:
        """The reader went away."""
        self._size = 0
        self._batches.clear()
        self._streamed = False
        self._make_room()
        self._on_abandon()

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def _trim(self, read: int) -> None:
        gone = self._batches[: read - self._trimmed]
        del self._batches[: len(gone)]
        self._trimmed += len(gone)
        self._size -= sum(map(len, gone))
        if not self.full:
            self._make_room()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
