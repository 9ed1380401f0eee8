"""What stands between a port and the outside: it records what passes, or answers in its place.

Law: an exchange is recorded when it is whole: a stream that was closed before its end, or a process that dies, leaves
nothing. An answer that the outside refused is an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar, overload

import msgspec
from msgspec import Raw, Struct

from antiphon.replay.cassette import Asked, Cassette
from antiphon.replay.exchange import Answer, Chunk, Exchange, Failure, RecordingError
from antiphon.replay.failures import failure_of, raised, recorded
from antiphon.replay.numbers import restored
from antiphon.wire.codec import decode, encode

Request: TypeAlias = Mapping[str, Any]
Ends: TypeAlias = Callable[[bytes], bool]
"""Says of a document of a stream that the answer is whole with it."""


def never(_: bytes) -> bool:
    """A stream that is whole at its end alone."""
    return False


class Mode(StrEnum):
    """`record`: always ask the outside, and keep it. `replay`: never ask it. `replay_or_record`: ask it for what was
    not recorded."""

    RECORD = "record"
    REPLAY = "replay"
    REPLAY_OR_RECORD = "replay_or_record"


class Place(Struct, frozen=True):
    """A port, and of a model's the name of its endpoint."""

    port: str
    endpoint: str = ""


class Tape:
    """A cassette in a mode. `timing` is how much of the recorded time between chunks passes: 0 none, 1 all of it."""

    def __init__(self, cassette: Cassette, mode: Mode, *, timing: float = 0.0) -> None:
        self.cassette = cassette
        self.mode = mode
        self.timing = timing

    def tells(self, port: str) -> bool:
        """Whether answers of this port are to be expected here."""
        return self.mode is not Mode.RECORD and (self.cassette.whole or bool(self.cassette.of(port)))

    async def value(
        self, at: Place, request: Request, live: Callable[[], Awaitable[bytes]], *, once: bool = False
    ) -> bytes:
        """The answer to a request that is answered at once, as a JSON document. `once`: one is enough, however often it
        is asked."""
        asked = await self._looked_up(at, request)
        held = await self._found(asked)
        if held is not None:
            return _value(held, asked)
        try:
            content = await live()
        except Exception as error:
            if recorded(error):
                await self._keep(asked, Answer(failure=failure_of(error)))
            raise
        if not (once and self.cassette.kept(asked)):
            await self._keep(asked, Answer(value=Raw(content)))
        return content

    async def values(
        self, at: Place, requests: Sequence[Request], live: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
    ) -> list[bytes]:
        """The answers to requests that the outside takes together, kept one by one: in another company each is found
        again. `live` is told the places of those that it has to answer."""
        asked = [await self._looked_up(at, request) for request in requests]
        found: dict[int, bytes] = {}
        for place, each in enumerate(asked):
            held = await self._found(each)
            if held is not None:
                found[place] = _value(held, each)
        left = [place for place in range(len(asked)) if place not in found]
        if left:
            for place, content in zip(left, await live(left), strict=True):
                await self._keep(asked[place], Answer(value=Raw(content)))
                found[place] = content
        return [found[place] for place in range(len(asked))]

    async def stream(
        self,
        at: Place,
        request: Request,
        live: Callable[[], AsyncGenerator[Sequence[bytes]]],
        *,
        ends: Ends = never,
    ) -> AsyncGenerator[Sequence[bytes]]:
        """The answer to a request that is answered in batches of JSON documents; a chunk is a batch. `ends` says of a
        document that the answer is whole with it: whoever reads may stop there."""
        asked = await self._looked_up(at, request)
        held = await self._found(asked)
        if held is None:
            async with aclosing(self._taped(asked, live, ends)) as batches:
                async for batch in batches:
                    yield batch
            return
        for chunk in held.answer.chunks or ():
            if self.timing and chunk.after:
                await asyncio.sleep(chunk.after * self.timing / 1000)
            yield _parts(chunk.content, asked)
        if held.answer.failure is not None:
            raise _failed(held.answer.failure, asked)
        if held.answer.chunks is None:
            raise RecordingError(f"A recording of the port '{at.port}' holds no chunks.")

    async def _taped(
        self, asked: Asked, live: Callable[[], AsyncGenerator[Sequence[bytes]]], ends: Ends = never
    ) -> AsyncGenerator[Sequence[bytes]]:
        chunks: list[Chunk] = []
        whole = False
        before = time.monotonic()
        try:
            async with aclosing(live()) as batches:
                async for batch in batches:
                    now = time.monotonic()
                    chunks.append(Chunk(round((now - before) * 1000, 1), Raw(b"[" + b",".join(batch) + b"]")))
                    before = now
                    if not whole and any(map(ends, batch)):
                        whole = True
                        await self._keep(asked, Answer(tuple(chunks)))
                    yield batch
        except Exception as error:
            if recorded(error) and not whole:
                await self._keep(asked, Answer(tuple(chunks), failure=failure_of(error)))
            raise
        if not whole:
            await self._keep(asked, Answer(tuple(chunks)))

    def _asked(self, at: Place, request: Request) -> Asked:
        return self.cassette.asking(at.port, request, at.endpoint)

    async def _looked_up(self, at: Place, request: Request) -> Asked:
        return await asyncio.to_thread(self._asked, at, request)  # a long context takes its time

    async def _found(self, asked: Asked) -> Exchange | None:
        """What was recorded, where it is to be used. ReplayMissError where nothing else may answer."""
        if self.mode is Mode.RECORD:
            return None
        found = await asyncio.to_thread(self.cassette.find, asked)
        if found is None and self.mode is Mode.REPLAY:
            raise await asyncio.to_thread(self.cassette.miss, asked)
        return found

    async def _keep(self, asked: Asked, answer: Answer) -> None:
        exchange = Exchange(asked.port, asked.form, answer, asked.endpoint)
        await asyncio.to_thread(self.cassette.keep, exchange, anew=self.mode is Mode.RECORD, ids=asked.ids)


CHOSEN: Final[ContextVar[Tape | None]] = ContextVar("tape", default=None)
"""The tape that a request chose for itself; its run, and what that calls, inherit it."""


class Deck:
    """Says which tape runs: the one that the request chose, else the server's; None: none. `loaded`: there may be one
    at all; otherwise nothing needs to stand before the ports."""

    def __init__(self, tape: Tape | None = None, *, loaded: bool = False) -> None:
        self.loaded = loaded or tape is not None
        self._tape = tape

    @property
    def tape(self) -> Tape | None:
        """The tape of this moment."""
        return CHOSEN.get() or self._tape

    @property
    def own(self) -> Tape | None:
        """The server's tape, whatever a request chose."""
        return self._tape


def _value(exchange: Exchange, asked: Asked) -> bytes:
    """The document that was answered; raises what was raised."""
    answer = exchange.answer
    if answer.failure is not None:
        raise _failed(answer.failure, asked)
    if answer.value is None:
        raise RecordingError(f"A recording of the port '{exchange.port}' holds no answer.")
    return restored(bytes(answer.value), asked.ids)


def _failed(failure: Failure, asked: Asked) -> Exception:
    return raised(decode(restored(encode(failure), asked.ids), Failure))


_T = TypeVar("_T")


@overload
def typed(content: bytes, wanted: type[_T]) -> _T: ...
@overload
def typed(content: bytes, wanted: object) -> Any: ...
def typed(content: bytes, wanted: object) -> Any:
    """The document that was answered, as what the port gives. Raises RecordingError for one of another form."""
    try:
        return decode(content, wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordingError(f"A recording holds an answer of another form: {error}.") from error


_PARTS: Final = msgspec.json.Decoder(list[Raw])


def _parts(content: Raw, asked: Asked) -> list[bytes]:
    """The documents of a chunk, byte for byte, with the ids of who asks."""
    try:
        return [restored(bytes(each), asked.ids) for each in _PARTS.decode(content)]
    except msgspec.DecodeError as error:
        raise RecordingError("A recording holds a chunk that is no list.") from error
