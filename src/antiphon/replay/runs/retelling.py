"""Tapes for whole runs: one that tells a stored run again and records what it is asked, one that only knows what
calls gave.

The run goes through the server as any other. So what is recorded is exactly what a replay will ask.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Raw

from antiphon.ports.mcp import McpError, McpListing
from antiphon.replay.cassette import Asked, Cassette
from antiphon.replay.exchange import Answer, Exchange, RecordingError
from antiphon.replay.failures import raised
from antiphon.replay.runs.steps import Handed, Step, Telling
from antiphon.replay.tape import Ends, Mode, Place, Request, Tape, never
from antiphon.replay.taped import deltas
from antiphon.replay.taped.mcp import TOOLS
from antiphon.replay.taped.model import STREAM
from antiphon.replay.taped.tool import TOOL, asked
from antiphon.wire.codec import encode
from antiphon.wire.items import McpListTools

UNLISTED: Final = "The tools could not be listed. "


class Retelling(Tape):
    """Answers as a stored run was answered, and records it."""

    def __init__(self, cassette: Cassette) -> None:
        super().__init__(cassette, Mode.REPLAY)
        self._steps: list[Step] = []
        self._handed: list[Handed] = []
        self._listed: list[McpListTools] = []
        self._lists: dict[str, McpListTools] = {}  # by server; a run that waits for its turn asks twice

    def begin(self, told: Telling) -> None:
        """The next run that is told again."""
        self._steps, self._handed, self._listed = list(told.steps), list(told.handed), list(told.listed)
        self._lists = {}

    def tells(self, port: str) -> bool:
        """See the tape."""
        del port
        return True

    async def value(
        self, at: Place, request: Request, live: Callable[[], Awaitable[bytes]], *, once: bool = False
    ) -> bytes:
        """See the tape; what is told neither of calls nor of lists has to be asked of the outside."""
        answers = {TOOL: self._given(request), TOOLS: self._listing(request)}
        return await super().value(at, request, answers.get(at, live), once=once)

    async def stream(
        self,
        at: Place,
        request: Request,
        live: Callable[[], AsyncGenerator[Sequence[bytes]]],
        *,
        ends: Ends = never,
    ) -> AsyncGenerator[Sequence[bytes]]:
        """See the tape."""
        del live
        async with aclosing(super().stream(at, request, lambda: self._said(at), ends=ends)) as batches:
            async for batch in batches:
                yield batch

    async def _said(self, at: Place) -> AsyncGenerator[Sequence[bytes]]:
        if at.port != STREAM or not self._steps:
            raise RecordingError("The stored run does not say what its model answered here.")
        step = self._steps.pop(0)
        for batch in step.batches:
            yield deltas.written(batch)
        if step.failure is not None:
            raise raised(step.failure)

    def _given(self, request: Request) -> Callable[[], Awaitable[bytes]]:
        async def live() -> bytes:
            found = next((each for each in self._handed if asked(each.name, each.arguments) == request), None)
            if found is None:
                raise RecordingError(f"The stored run does not say what '{request['name']}' gave.")
            self._handed.remove(found)
            return encode(found.given)

        return live

    def _listing(self, request: Request) -> Callable[[], Awaitable[bytes]]:
        async def live() -> bytes:
            server = str(request["server"])
            if server not in self._lists:
                if not self._listed:
                    raise RecordingError("The stored run does not say which tools the MCP server has.")
                self._lists[server] = self._listed.pop(0)
            found = self._lists[server]
            if found.error:
                raise McpError(str(found.error).removeprefix(UNLISTED))
            return encode(McpListing(found.tools))

        return live

    async def _found(self, asked: Asked) -> Exchange | None:
        del asked  # nothing is found: what is told goes the way of what is live, and so is recorded


class Knowing(Tape):
    """Answers the calls of tools from what equal calls gave; everything else is asked of the outside, and nothing is
    recorded."""

    def __init__(self, cassette: Cassette, *, tools: bool = True) -> None:
        """`tools` false: calls run as well."""
        super().__init__(cassette, Mode.REPLAY_OR_RECORD)
        self.lists: dict[str, McpListTools] = {}
        """The tools of MCP servers that are known, by their URLs."""
        self._tools = tools

    def tells(self, port: str) -> bool:
        """See the tape."""
        return self._tools and port == TOOL.port

    async def value(
        self, at: Place, request: Request, live: Callable[[], Awaitable[bytes]], *, once: bool = False
    ) -> bytes:
        """See the tape. ReplayMissError for a call that was not made before."""
        if at == TOOLS and (known := self.lists.get(str(request["server"]))) is not None:
            return encode(McpListing(known.tools))
        return await super().value(at, request, live, once=once) if at == TOOL else await live()

    async def values(
        self, at: Place, requests: Sequence[Request], live: Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
    ) -> list[bytes]:
        """See the tape."""
        del at
        return list(await live(range(len(requests))))

    async def stream(
        self,
        at: Place,
        request: Request,
        live: Callable[[], AsyncGenerator[Sequence[bytes]]],
        *,
        ends: Ends = never,
    ) -> AsyncGenerator[Sequence[bytes]]:
        """See the tape."""
        del at, request, ends
        async with aclosing(live()) as batches:
            async for batch in batches:
                yield batch

    async def _found(self, asked: Asked) -> Exchange | None:
        found = await super()._found(asked)
        if found is None:
            raise self.cassette.miss(asked)
        return found


def keep(cassette: Cassette, handed: Iterable[Handed]) -> None:
    """Write what calls gave. Raises RecordingError."""
    for each in handed:
        made = cassette.asking(TOOL.port, asked(each.name, each.arguments))
        answer = Answer(value=Raw(encode(each.given)))
        cassette.keep(Exchange(made.port, made.form, answer), ids=made.ids)
