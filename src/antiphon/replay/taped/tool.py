"""The port of tools with a tape that knows what whole calls gave.

A recording holds what tools asked of the outside (searches, MCP servers), and tools run again when it is replayed. A
run that was exported from the store knows only what each call gave: there that is the answer, and no tool runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec

from antiphon.core.approvals import Past
from antiphon.core.effects import Call, Offer, Opening, Outcome
from antiphon.ports.tool import Opener, Tool
from antiphon.replay.tape import Deck, Mode, Place, Request, Tape, typed
from antiphon.wire.codec import encode
from antiphon.wire.tools import Tool as ToolConfig

TOOL: Final = Place("tool")


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call gave. `order`: when it ended among the calls of its run, from 1 (0: not known)."""

    output: str
    fields: dict[str, Any] = {}
    failed: bool = False
    order: int = 0


class Line:
    """Calls that are replayed end one after another: as they did, or as they were made; chance decides nothing."""

    def __init__(self) -> None:
        self._made = 0
        self._running: dict[int, int] = {}  # by the number of the call when it ends; 0 while that is not known
        self._changed = asyncio.Event()

    @contextmanager
    def joined(self) -> Generator[int]:
        """The number of a call that begins; it stands in the line while this lasts."""
        self._made += 1
        number = self._made
        self._running[number] = 0
        try:
            yield number
        finally:
            del self._running[number]
            self._changed.set()

    async def turn(self, number: int, order: int) -> None:
        """Wait until it is this call's turn to end."""
        self._running[number] = order or number
        self._changed.set()
        while min(self._running.values()) < self._running[number]:
            if self._changed.is_set():
                self._changed = asyncio.Event()
            await self._changed.wait()


class TapedTool:
    """A tool; a call is known by its name and its arguments."""

    def __init__(self, tool: Tool, deck: Deck, line: Line) -> None:
        self._tool = tool
        self._deck = deck
        self._line = line

    @property
    def types(self) -> tuple[str, ...]:
        """See the port."""
        return self._tool.types

    @property
    def repeatable(self) -> bool:
        """See the port."""
        return self._tool.repeatable

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """See the port."""
        return await self._tool.offers(project, config, place)

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        """See the port."""
        tape = self._deck.tape
        if tape is None or tape.mode is not Mode.REPLAY:
            return _outcome(call, await self._given(tape, project, call, config))
        with self._line.joined() as number:
            found = await self._given(tape, project, call, config)
            await self._line.turn(number, found.order)
            return _outcome(call, found)

    async def _given(self, tape: Tape | None, project: str, call: Call, config: ToolConfig) -> Given:
        async def live() -> bytes:
            return encode(_given(await self._tool.run(project, call, config)))

        if tape is None or not tape.tells(TOOL.port):
            return _given(await self._tool.run(project, call, config))
        return typed(await tape.value(TOOL, asked(call.name, call.arguments), live), Given)

    async def close(self) -> None:
        """See the port."""
        await self._tool.close()


class TapedOpener(TapedTool):
    """A tool that brings more than functions."""

    async def open(self, project: str, config: ToolConfig, place: int, past: Past, /) -> Opening:
        """See the port."""
        return await cast("Opener", self._tool).open(project, config, place, past)


def taped(tool: Tool, deck: Deck, line: Line) -> Tool:
    """The tool behind the tape."""
    return (TapedOpener if isinstance(tool, Opener) else TapedTool)(tool, deck, line)


def _given(outcome: Outcome) -> Given:
    return Given(outcome.output, dict(outcome.fields), outcome.failed)


def _outcome(call: Call, given: Given) -> Outcome:
    return Outcome(call.call_id, given.output, given.fields, given.failed)


def asked(name: str, arguments: str) -> Request:
    """A call as it is compared: how its arguments are written does not count."""
    try:
        return {"name": name, "arguments": msgspec.json.decode(arguments)}
    except (msgspec.DecodeError, RecursionError):
        return {"name": name, "arguments": arguments}
