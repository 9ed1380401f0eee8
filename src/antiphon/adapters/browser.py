"""Pages of the web: fetched through the egress door, read as documents are, kept for minutes.

Law: nothing goes out but a GET without any header of the request that asked for it, and nothing is run in a page.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from typing import Final
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import msgspec

from antiphon.core.chunking import Extracted
from antiphon.core.pages import Page
from antiphon.ports.clock import Clock
from antiphon.ports.door import Answer, Ask, Door, DoorError, DoorLimits
from antiphon.ports.extractor import Extraction, ExtractionError
from antiphon.ports.pages import PageError

MEDIA: Final = ("text/", "application/pdf", "application/xhtml+xml", "application/json", "application/xml")
"""What is read. A page that does not say what it is, is looked at."""
_ACCEPT: Final = "text/html, application/xhtml+xml, application/pdf;q=0.9, text/*;q=0.8, */*;q=0.1"
TITLE: Final = 200
"""Characters of a title."""
HELD: Final = 64
"""Pages that are kept,"""
ROOM: Final = 16 * 1024 * 1024
"""and the characters of all of them."""
LONGEST_URL: Final = 2048


class Browsing(msgspec.Struct, frozen=True, kw_only=True):
    """How pages are opened. `size`: bytes of a page; `seconds`: for all of it; `kept`: seconds for which a page is not
    fetched again."""

    listed_only: bool = True
    size: int = 50 * 1024 * 1024
    seconds: float = 20.0
    kept: float = 300.0


class _Kept(msgspec.Struct, frozen=True):
    """A page, where redirects ended, and until when it is kept."""

    page: Page
    final: str
    until: float


class Browser:
    """Implements `Pages`. One for a server; belongs to one event loop."""

    def __init__(self, door: Door, extraction: Extraction, clock: Clock, browsing: Browsing) -> None:
        self._door = door
        self._extraction = extraction
        self._clock = clock
        self._browsing = browsing
        self._limits = DoorLimits(size=browsing.size, seconds=browsing.seconds, first=min(browsing.seconds, 15.0))
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._fetching: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def listed_only(self) -> bool:
        """See the port."""
        return self._browsing.listed_only

    async def read(self, project: str, url: str, permitted: Callable[[str], bool], /) -> Page:
        """See the port."""
        if len(url) > LONGEST_URL:
            raise PageError(f"The URL is longer than {LONGEST_URL} characters.")
        if not permitted(url):
            raise _forbidden(url)
        key = (project, url.partition("#")[0])
        lock = self._fetching.setdefault(key, asyncio.Lock())
        async with lock:  # calls of one round for one page fetch it once
            kept = self._kept.get(key)
            if kept is None or kept.until <= self._clock.now():
                kept = await self._fetched(url)
                self._keep(key, kept)
        if not permitted(kept.final):
            raise _forbidden(kept.final)
        return kept.page

    async def _fetched(self, url: str) -> _Kept:
        try:
            async with self._door.open(Ask(url=url, headers={"Accept": _ACCEPT}), self._limits) as answer:
                media = _media(answer)
                async with aclosing(answer.pieces()) as pieces:
                    extracted = await self._extraction.extract(pieces, _filename(answer, media), media)
                final = answer.url
        except DoorError as error:
            raise PageError(error.message) from error
        except ExtractionError as error:
            raise PageError(f"{_host(url)}: {error.message}") from error
        page = Page(url, _title(extracted, media), extracted.text)
        return _Kept(page, final, self._clock.now() + self._browsing.kept)

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        self._kept.pop(key, None)
        if len(kept.page.text) > ROOM:
            return
        self._kept[key] = kept
        while len(self._kept) > HELD or sum(len(one.page.text) for one in self._kept.values()) > ROOM:
            self._kept.popitem(last=False)


def _media(answer: Answer) -> str:
    """The media type of a page that can be read. PageError."""
    host = _host(answer.url)
    if answer.status != 200:
        raise PageError(f"{host} answered with HTTP {answer.status}.")
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and not any(media.startswith(one) for one in MEDIA):
        raise PageError(f"{host} answered with {media[:100]}, which cannot be read as a page.")
    return media


def _filename(answer: Answer, media: str) -> str:
    """What the document is called, which says what it is: only where the server does not say so itself."""
    if media in {"text/html", "application/xhtml+xml"}:
        return "page.html"
    if media == "application/pdf":
        return "page.pdf"
    try:
        path = unquote(urlsplit(answer.url).path)
    except ValueError:
        return "page"
    return path.rstrip("/").rpartition("/")[2][-TITLE:] or "page"


def _title(extracted: Extracted, media: str) -> str:
    """The first line of a page, which is its title."""
    if "html" not in media:
        return ""
    return extracted.text.lstrip().partition("\n")[0][:TITLE]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "The host"
    except ValueError:
        return "The host"


def _forbidden(url: str) -> PageError:
    return PageError(f"{_host(url)} is not one of the domains that this search may use.")
