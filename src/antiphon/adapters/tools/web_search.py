"""The tool `web_search`: the model asks, the server searches, the model is told what was found.

The item shows the query and its sources; the http layer drops the sources again unless the request includes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.ports.search import Search, SearchError, SearchHit, SearchQuery
from antiphon.wire.codec import encode
from antiphon.wire.items import Item, WebSearchCall
from antiphon.wire.tools import Tool as ToolConfig
from antiphon.wire.tools import WebSearchPreviewTool, WebSearchTool

DESCRIPTION: Final = "Search the web for information"
PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "The query to search for"}},
    "required": ["query"],
}
RESULTS: Final = {"low": 3, "medium": 5, "high": 10}
"""How many pages the model is told of, by `search_context_size`."""


class _Arguments(msgspec.Struct):
    query: str


class _Filters(msgspec.Struct):
    allowed_domains: tuple[str, ...] | None = None


class Receipt:
    """A `web_search_call` item: without an action while it runs, then with the query and the pages found."""

    prefix = "ws_"
    phases = ("in_progress", "searching")

    def opened(self, item_id: str) -> Item:
        """In progress, no action yet."""
        return WebSearchCall(id=item_id, status="in_progress")

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        """Completed or failed; a search that never ran has failed and found nothing."""
        found: Mapping[str, Any] = {} if outcome is None else outcome.fields
        query = found.get("query")
        query = query if isinstance(query, str) else _query(call.arguments) or ""
        sources = [{"type": "url", "url": url} for url in found.get("urls", ())]
        action: dict[str, Any] = {"type": "search", "query": query, "queries": [query], "sources": sources}
        failed = outcome is None or outcome.failed
        return WebSearchCall(id=item_id, status="failed" if failed else "completed", action=action)


RECEIPT: Final = Receipt()


class WebSearch:
    """`{"type": "web_search"}` and its dated and preview names, over one search backend, which it owns."""

    types = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
    repeatable = True

    def __init__(self, search: Search) -> None:
        self._search = search

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:  # noqa: ARG002 - the port's signature
        """One function `web_search(query)`; the settings of the request stay with the server."""
        return (Offer(name="web_search", description=DESCRIPTION, parameters=PARAMETERS, receipt=RECEIPT, tool=place),)

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:  # noqa: ARG002 - as above
        """Search; the model is told `{"query", "top_k": [{"url", "title", "content", "score"}]}` as JSON text."""
        query = _query(call.arguments)
        if query is None:
            words = 'The search was not made: the arguments must be a JSON object like {"query": "what to search for"}.'
            return Outcome(call.call_id, words, failed=True)
        try:
            wanted = _wanted(query, config)
        except msgspec.ValidationError:
            words = 'The search was not made: the tool\'s filters are not of the form {"allowed_domains": ["..."]}.'
            return Outcome(call.call_id, words, {"query": query}, failed=True)
        try:
            hits = [hit for hit in await self._search.search(wanted) if _allowed(hit.url, wanted.domains)]
        except SearchError as error:
            return Outcome(call.call_id, f"The search failed: {error}", {"query": query}, failed=True)
        hits = hits[: wanted.limit]
        return Outcome(call.call_id, told(query, hits), {"query": query, "urls": [hit.url for hit in hits]})

    async def close(self) -> None:
        """Close the backend."""
        await self._search.close()


def told(query: str, hits: Sequence[SearchHit]) -> str:
    """The hits as the model is told them."""
    pages = [{"url": hit.url, "title": hit.title, "content": hit.content, "score": hit.score} for hit in hits]
    return encode({"query": query, "top_k": pages}).decode()


def _query(arguments: str) -> str | None:
    """The query that the model wrote, None where there is none."""
    try:
        return msgspec.json.decode(arguments, type=_Arguments).query.strip() or None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _wanted(query: str, config: ToolConfig) -> SearchQuery:
    """The search that the tool's settings make of a query; ValidationError where its filters make no sense."""
    if not isinstance(config, WebSearchTool | WebSearchPreviewTool):
        return SearchQuery(query)
    limit = RESULTS[config.search_context_size]
    filters = config.filters if isinstance(config, WebSearchTool) else None
    domains = msgspec.convert(filters or {}, _Filters).allowed_domains or ()
    return SearchQuery(query, limit, tuple(_host(domain) for domain in domains), config.user_location)


def _host(domain: str) -> str:
    """A domain as clients write it, also as an address or with a wildcard."""
    return domain.strip().lower().split("://")[-1].split("/")[0].removeprefix("*").lstrip(".")


def _allowed(url: str, domains: tuple[str, ...]) -> bool:
    """Whether the page stands in one of the domains. Backends are asked to filter; the limit is ours to keep."""
    if not domains:
        return True
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def make(config: Plain, parts: Parts) -> WebSearch | None:
    """Served where there is a search backend."""
    del config
    return None if parts.search is None else WebSearch(parts.search)
