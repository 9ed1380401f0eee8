"""The tool `web_search`: the model asks, the server searches; it opens pages and looks for words in them.

The item shows what was done: the query and its sources, or the page; the http layer drops the sources again unless the
request includes them. Citations in the answer become annotations (core/citations.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.context import texts_given
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.core.pages import Page, found, known, opened, sought
from antiphon.core.passages import flat
from antiphon.ports.pages import PageError, Pages
from antiphon.ports.search import Search, SearchError, SearchQuery
from antiphon.wire.items import Item, WebSearchCall
from antiphon.wire.tools import Location, WebSearchPreviewTool, WebSearchTool
from antiphon.wire.tools import Tool as ToolConfig

SEARCH: Final = "web_search"
OPEN: Final = "web_open_page"
FIND: Final = "web_find_in_page"
"""The names under which the tool is shown to the model."""
DESCRIPTION: Final = "Search the web for information"
PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "The query to search for"}},
    "required": ["query"],
}
OPENING: Final = "Read a page of the web whose URL was given by the user, by a search or by another page"
_URL: Final = {"type": "string", "description": "The URL of the page, as it was given"}
OPENED: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "url": _URL,
        "start": {"type": "integer", "description": "The character to read on from, in a long page"},
    },
    "required": ["url"],
}
FINDING: Final = "Tell where a page of the web has certain words, in pages that are too long to be read"
FOUND: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"url": _URL, "pattern": {"type": "string", "description": "The words, as they stand in the page"}},
    "required": ["url", "pattern"],
}
RESULTS: Final = {"low": 3, "medium": 5, "high": 10}
"""How many pages the model is told of, by `search_context_size`."""
ROOM: Final = {"low": 8_000, "medium": 20_000, "high": 60_000}
"""How many characters of a page it is told at once."""
LONGEST_PATTERN: Final = 500
KEY_HEADER: Final = "x-antiphon-web-search-key"
"""The header in which a request brings its own key for the backend."""


class _Arguments(msgspec.Struct):
    """What the model writes; which of it is needed depends on the function."""

    query: str = ""
    url: str = ""
    pattern: str = ""
    start: int | float | None = None


class _Filters(msgspec.Struct):
    allowed_domains: tuple[str, ...] | None = None
    blocked_domains: tuple[str, ...] | None = None


class _Domains(msgspec.Struct, frozen=True):
    """The domains that a request leaves: those allowed (none: all), without those blocked."""

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    def leave(self, url: str) -> bool:
        """Whether the page stands in one that is left. Backends are asked to filter; the limit is ours to keep."""
        if not self.allowed and not self.blocked:
            return True
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            return False
        return (not self.allowed or _within(host, self.allowed)) and not _within(host, self.blocked)


class Receipt:
    """A `web_search_call` item: without an action while it runs, then with the query and the pages found, or with the
    page that was opened or looked through."""

    prefix = "ws_"
    phases = ("in_progress", "searching")

    def opened(self, item_id: str) -> Item:
        """In progress, no action yet."""
        return WebSearchCall(id=item_id, status="in_progress")

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        """Completed or failed; a call that never ran has failed and found nothing."""
        asked = _asked(call.arguments) or _Arguments()
        failed = outcome is None or outcome.failed
        action: dict[str, Any]
        if call.name == OPEN:
            action = {"type": "open_page", "url": asked.url or None}
        elif call.name == FIND:
            action = {"type": "find_in_page", "url": asked.url, "pattern": asked.pattern}
        else:
            urls: Sequence[str] = () if outcome is None else outcome.fields.get("urls", ())
            sources = [{"type": "url", "url": url} for url in urls]
            action = {"type": "search", "query": asked.query, "queries": [asked.query], "sources": sources}
        return WebSearchCall(id=item_id, status="failed" if failed else "completed", action=action)


RECEIPT: Final = Receipt()


class WebSearch:
    """`{"type": "web_search"}` and its dated and preview names, over one search backend, which it owns."""

    types = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
    repeatable = True
    key_header = KEY_HEADER

    def __init__(self, search: Search, pages: Pages | None = None, key: str | None = None) -> None:
        """`key`: the client's own for the backend."""
        self._search = search
        self._pages = pages
        self._key = key

    def keyed(self, key: str, /) -> WebSearch:
        """See the port."""
        return WebSearch(self._search, self._pages, key)

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:  # noqa: ARG002 - the port's signature
        """`web_search(query)`, and two functions for pages unless the request has `external_web_access: false`; the
        settings of the request stay with the server."""
        described = DESCRIPTION + _near(getattr(config, "user_location", None))
        search = Offer(SEARCH, described, PARAMETERS, receipt=RECEIPT, tool=place, cites=True, writes=False)
        if self._pages is None or (isinstance(config, WebSearchTool) and config.external_web_access is False):
            return (search,)
        reaches = partial(_reached, config)
        page = replace(search, name=OPEN, description=OPENING, parameters=OPENED, reads=True, reaches=reaches)
        return (search, page, replace(page, name=FIND, description=FINDING, parameters=FOUND))

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        """Search, open or find; the model is told pages with the marks that cite them."""
        asked = _asked(call.arguments)
        size = config.search_context_size if isinstance(config, WebSearchTool | WebSearchPreviewTool) else "medium"
        try:
            domains = _domains(config)
            if call.name == SEARCH:
                location = getattr(config, "user_location", None)
                wanted = SearchQuery("", RESULTS[size], domains.allowed, domains.blocked, location, self._key)
                return await self._found(call, asked, wanted)
            return Outcome(call.call_id, await self._read(project, call, asked, domains, ROOM[size]))
        except msgspec.ValidationError:
            words = "Not done: allowed_domains and blocked_domains of the tool's filters must be lists of domains."
        except _ArgumentsError as error:
            words = f"Not done: the arguments must be a JSON object like {error}."
        except SearchError as error:
            words = f"The search failed: {error}"
        except PageError as error:
            words = f"The page was not opened: {error}"
        return Outcome(call.call_id, words, failed=True)

    async def close(self) -> None:
        """Close the backend."""
        await self._search.close()

    async def _found(self, call: Call, asked: _Arguments | None, wanted: SearchQuery) -> Outcome:
        if asked is None or not asked.query:
            raise _ArgumentsError('{"query": "what to search for"}')
        hits = await self._search.search(replace(wanted, text=asked.query))
        domains = _Domains(wanted.domains, wanted.outside)
        hits = [hit for hit in hits if domains.leave(hit.url)][: wanted.limit]
        told = found(asked.query, [Page(hit.url, hit.title, hit.content) for hit in hits])
        return Outcome(call.call_id, told, {"urls": [hit.url for hit in hits]})

    async def _read(self, project: str, call: Call, asked: _Arguments | None, domains: _Domains, room: int) -> str:
        if asked is None or not asked.url or (call.name == FIND and not asked.pattern):
            more = ', "pattern": "words to find"' if call.name == FIND else ""
            raise _ArgumentsError('{"url": "https://..."' + more + "}")
        if self._pages is None:
            raise PageError("this server opens no pages.")
        url = _url_of(asked)
        if self._pages.listed_only and not await asyncio.to_thread(known, url, list(texts_given(call.context))):
            raise PageError(
                "only pages are opened whose whole URL the user, a search or another page has given. Search for it."
            )
        page = await self._pages.read(project, url, domains.leave)
        if call.name == FIND:
            return await asyncio.to_thread(sought, page, asked.pattern[:LONGEST_PATTERN])
        return opened(page, int(asked.start or 0), room)


class _ArgumentsError(Exception):
    """The model wrote no arguments that fit; the words are an example of such."""


def _asked(arguments: str) -> _Arguments | None:
    """What the model wrote, None where it is no object."""
    try:
        asked = msgspec.json.decode(arguments, type=_Arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return _Arguments(asked.query.strip(), asked.url.strip(), asked.pattern.strip(), asked.start)


def _near(location: Location | None) -> str:
    """Where the user is, for the model: most backends take no place, and a query can name it."""
    if location is None:
        return ""
    named = [location.city, location.region, location.country, location.timezone and f"time zone {location.timezone}"]
    place = ", ".join(flat(one) for one in named if one)
    return f". The user is here: {place}" if place else ""


def _url_of(asked: _Arguments) -> str:
    return asked.url if "://" in asked.url else f"https://{asked.url}"


def _reached(config: ToolConfig, arguments: str) -> str | None:
    """The page that a call asks for; None also where the request itself names its domain."""
    asked = _asked(arguments)
    if asked is None or not asked.url:
        return None
    try:
        domains = _domains(config)
    except msgspec.ValidationError:
        domains = _Domains()
    url = _url_of(asked)
    return None if domains.allowed and domains.leave(url) else url


def _domains(config: ToolConfig) -> _Domains:
    """Those of the request; ValidationError where its filters make no sense."""
    filters = config.filters if isinstance(config, WebSearchTool) else None
    given = msgspec.convert(filters or {}, _Filters)
    return _Domains(tuple(map(_host, given.allowed_domains or ())), tuple(map(_host, given.blocked_domains or ())))


def _host(domain: str) -> str:
    """A domain as clients write it, also as an address or with a wildcard."""
    return domain.strip().lower().split("://")[-1].split("/")[0].removeprefix("*").lstrip(".")


def _within(host: str, domains: Sequence[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def make(config: Plain, parts: Parts) -> WebSearch | None:
    """Served where there is a search backend."""
    del config
    return None if parts.search is None else WebSearch(parts.search, parts.pages)
