"""What a factory is given. Every adapter's file has one: `def make(config: Config, parts: Parts) -> Port`.

`Config` is the file's own msgspec Struct: its fields are the keys that the settings take for this kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from antiphon.ports.clock import Clock
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.mcp import McpConnector, McpServers
from antiphon.ports.pages import Pages
from antiphon.ports.retrieval import Retrieval
from antiphon.ports.search import Search


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What adapters are built from. `folder` exists and is ours to write to."""

    name: str
    """What settings and messages call this adapter: an endpoint's name, otherwise its kind."""
    clock: Clock
    folder: Path
    search: Search | None = None
    """The backend of web search; None: there is none, and a tool that needs it is not made."""
    pages: Pages | None = None
    """What opens pages of the web; None: none are opened."""
    retrieval: Retrieval | None = None
    """Search of vector stores; None: there is none, as for `search`."""
    mcp: McpServers | None = None
    """Sessions with MCP servers; None: there are none, as for `search`."""
    connectors: Mapping[str, McpConnector] = {}
    """The MCP servers of the settings, by name."""
    keys: Idempotency | None = None
    """Where it is kept that something was done once; None: nowhere."""


class Plain(msgspec.Struct, frozen=True):
    """The config of an adapter that takes no keys of its own."""
