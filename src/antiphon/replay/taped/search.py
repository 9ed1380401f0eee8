"""The port of web search with a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.ports.search import Search, SearchHit, SearchQuery
from antiphon.replay.tape import Deck, Place, typed
from antiphon.wire.codec import encode

SEARCH: Final = Place("search")


class TapedSearch:
    """A search backend."""

    def __init__(self, search: Search, deck: Deck) -> None:
        self._search = search
        self._deck = deck

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """See the port."""
        tape = self._deck.tape
        if tape is None:
            return await self._search.search(wanted)

        async def live() -> bytes:
            return encode(await self._search.search(wanted))

        asked = {"query": wanted.text, "limit": wanted.limit, "domains": wanted.domains, "location": wanted.location}
        return typed(await tape.value(SEARCH, asked, live), tuple[SearchHit, ...])

    async def close(self) -> None:
        """See the port."""
        await self._search.close()
