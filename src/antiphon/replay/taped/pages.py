"""The port of web pages with a tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from antiphon.core.pages import Page
from antiphon.ports.pages import Pages
from antiphon.replay.tape import Deck, Place, typed
from antiphon.wire.codec import encode

PAGE: Final = Place("page")


class TapedPages:
    """Pages that models open, as text."""

    def __init__(self, pages: Pages, deck: Deck) -> None:
        self._pages = pages
        self._deck = deck

    @property
    def listed_only(self) -> bool:
        """See the port."""
        return self._pages.listed_only

    async def read(self, project: str, url: str, permitted: Callable[[str], bool], /) -> Page:
        """See the port."""
        tape = self._deck.tape
        if tape is None or not permitted(url):  # what is not permitted is refused before anything is fetched
            return await self._pages.read(project, url, permitted)

        async def live() -> bytes:
            return encode(await self._pages.read(project, url, permitted))

        return typed(await tape.value(PAGE, {"url": url}, live), Page)
