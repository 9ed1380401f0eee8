"""What requests and tools may reach, composed: the ways out, pages, MCP servers."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from antiphon import taping
from antiphon.adapters.browser import Browser, Browsing
from antiphon.adapters.egress.addresses import Listed, Rules, listed
from antiphon.adapters.egress.doorway import CONNECTIONS, Doorway
from antiphon.adapters.mcp.pool import McpPool, Waits
from antiphon.adapters.parts import Parts
from antiphon.ports.clock import Clock
from antiphon.ports.door import Door
from antiphon.ports.extractor import Extraction
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.mcp import McpConnector, McpServer
from antiphon.replay.tape import Deck
from antiphon.settings import Problem, Settings, SettingsError


def door(settings: Settings, own: Sequence[str] = (), *, connections: int = CONNECTIONS) -> Door:
    """The way out for what requests name; to the hosts that are our `own` also where they are not public."""
    lists: list[Listed] = []
    for key in ("allow", "deny"):
        try:
            lists.append(listed([*getattr(settings.egress, key), *(own if key == "allow" else ())]))
        except ValueError as error:
            raise SettingsError([Problem(("egress", key), str(error))]) from None
    return Doorway(Rules(*lists), connections)


def pages(settings: Settings, way: Door, extraction: Extraction, clock: Clock) -> Browser | None:
    """What opens pages."""
    chosen = settings.pages
    if chosen.open == "none":
        return None
    browsing = Browsing(
        listed_only=chosen.open == "listed",
        size=chosen.max_mb * 1024 * 1024,
        seconds=chosen.seconds,
        kept=chosen.cache_seconds,
    )
    return Browser(way, extraction, clock, browsing)


def equipped(parts: Parts, settings: Settings, keys: Idempotency, deck: Deck) -> Parts:
    """The parts with MCP servers; the approvals that were used are kept among the `keys`."""
    servers = taping.mcp(mcp(settings), deck)
    return msgspec.structs.replace(parts, mcp=servers, connectors=connectors(settings), keys=keys)


def mcp(settings: Settings) -> McpPool:
    """Sessions with MCP servers, through doors of their own: they stay open for long. The way to the servers of the
    settings is open also where they are not public."""
    hosts = [urlsplit(entry.url).hostname for entry in settings.mcp if entry.url]
    chosen = settings.sessions
    waits = Waits(connect=chosen.connect, call=chosen.call, idle=chosen.idle, listing=chosen.listing)
    own = door(settings, [host for host in hosts if host], connections=0)
    return McpPool(door(settings, connections=0), own, waits)


def connectors(settings: Settings) -> dict[str, McpConnector]:
    """The MCP servers of the settings, by name."""
    found: dict[str, McpConnector] = {}
    for entry in settings.mcp:
        server = McpServer(
            url=entry.url,
            command=entry.command,
            headers={name: value.get_secret_value() for name, value in entry.headers.items()},
            env={name: value.get_secret_value() for name, value in entry.env.items()},
            own=True,
        )
        found[entry.name] = McpConnector(server=server, read_only=entry.read_only)
    return found
