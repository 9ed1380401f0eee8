"""The sessions of this process with MCP servers, apart for each project and each set of headers.

Law: headers are in memory only, and in no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from antiphon.adapters.mcp.secrets import scrubbed, scrubbed_parts, secrets_of
from antiphon.ports.door import Door
from antiphon.ports.mcp import McpError, McpListing, McpResult, McpServer
from antiphon.wire.codec import encode
from antiphon.wire.items import ListedTool

if TYPE_CHECKING:
    from antiphon.adapters.mcp.connection import Connection

Key: TypeAlias = tuple[str, bytes]
MOST: Final = 256
"""Sessions at once,"""
TURNS: Final = 4
"""and large answers that are read at once."""
WORDS: Final = 600
"""Characters of an error that are passed on."""


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: for the handshake, for a call, until an unused session ends, and that a list of tools is kept."""

    connect: float = 30.0
    call: float = 300.0
    idle: float = 300.0
    listing: float = 300.0


class _Held(msgspec.Struct):
    """What is known of a server."""

    connection: Connection | None = None
    listing: McpListing | None = None
    until: float = 0.0
    lock: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    def forget(self) -> None:
        """The list is out of date."""
        self.listing = None


class McpPool:
    """The port. `door` is for what requests name, `own` for the servers of the settings."""

    def __init__(self, door: Door, own: Door, waits: Waits | None = None) -> None:
        self._door = door
        self._own = own
        self._waits = waits or Waits()
        self._turns = asyncio.Semaphore(TURNS)
        self._held: dict[Key, _Held] = {}

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        """See the port."""
        held = self._place(project, server)
        async with held.lock:
            now = asyncio.get_running_loop().time()
            if held.listing is None or held.until < now:
                try:
                    held.listing = _cleaned(await self._listed(held, server), secrets_of(server))
                except McpError as fault:
                    raise _unsaid(fault, secrets_of(server)) from None
                held.until = now + self._waits.listing
            return held.listing

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        """See the port."""
        held = self._place(project, server)
        try:
            pooled = held.connection is not None and not held.connection.dead
            try:
                found = await (await self._connected(held, server)).call(name, arguments)
            except McpError as fault:
                if not (fault.lost and pooled):
                    raise
                found = await (await self._connected(held, server)).call(name, arguments)
        except McpError as fault:
            raise _unsaid(fault, secrets_of(server)) from None
        secrets = secrets_of(server)
        content = tuple(scrubbed_parts(part, secrets) for part in found.content)
        return McpResult(scrubbed(found.text, secrets), content, found.failed)

    async def close(self) -> None:
        """See the port."""
        open_ = [held.connection for held in self._held.values() if held.connection is not None]
        self._held.clear()
        await asyncio.gather(*(connection.close() for connection in open_))
        await self._door.close()
        await self._own.close()

    async def _listed(self, held: _Held, server: McpServer) -> McpListing:
        pooled = held.connection is not None and not held.connection.dead
        try:
            return await (await self._connected(held, server)).tools()
        except McpError as fault:
            if not (pooled and (fault.lost or (held.connection is not None and held.connection.dead))):
                raise
            return await (await self._connected(held, server)).tools()

    def _place(self, project: str, server: McpServer) -> _Held:
        """What is held of this server for this project; the place that was used last stands last."""
        key = (project, sha256(encode(server)).digest())
        held = self._held.pop(key, None) or _Held()
        self._held[key] = held
        if len(self._held) > MOST:
            self._let_go()
        return held

    def _let_go(self) -> None:
        """Give up the places that are unused, oldest first."""
        for key, held in list(self._held.items())[: len(self._held) - MOST]:
            if held.lock.locked() or (held.connection is not None and held.connection.busy):
                continue
            del self._held[key]
            if held.connection is not None:
                held.connection.end()

    async def _connected(self, held: _Held, server: McpServer) -> Connection:
        """The session, made anew when there is none that lives."""
        if held.connection is None or held.connection.dead:
            kind = await asyncio.to_thread(_connection)
            if held.connection is None or held.connection.dead:  # still
                door = self._own if server.own else self._door
                held.connection = kind(server, door, self._waits, self._turns, held.forget)
        return held.connection


def _connection() -> type[Connection]:
    """The SDK takes a third of a second to import: at the first use, and beside everything else that goes on."""
    from antiphon.adapters.mcp.connection import Connection  # noqa: PLC0415  # see above

    return Connection


def _unsaid(fault: McpError, secrets: Sequence[str]) -> McpError:
    words = scrubbed(fault.message, secrets)  # first, so that no part of a secret is left at the end
    return McpError(words[:WORDS], fault.kind, fault.code, lost=fault.lost)


def _cleaned(listing: McpListing, secrets: Sequence[str]) -> McpListing:
    """The list without secrets, for a server may say in a description who asks."""
    if not secrets:
        return listing
    return McpListing(tuple(_clean_tool(tool, secrets) for tool in listing.tools), listing.left)


def _clean_tool(tool: ListedTool, secrets: Sequence[str]) -> ListedTool:
    return msgspec.structs.replace(
        tool,
        description=scrubbed(tool.description, secrets) if isinstance(tool.description, str) else tool.description,
        input_schema=scrubbed_parts(tool.input_schema, secrets),
        annotations=scrubbed_parts(tool.annotations, secrets),
    )
