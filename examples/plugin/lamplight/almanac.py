"""A search backend: a file with one page a line (URL, title and text, with tabs between), searched by words.

Settings: `web_search.kind = "lamplight.almanac"`, `web_search.file = "almanac.tsv"`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.ports.search import SearchError, SearchHit, SearchQuery


class AlmanacFile(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that the settings take; one that is not here is refused when the server starts."""

    file: str


class Almanac:
    """Keeps the contract of `antiphon.ports.search.Search`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """The pages that have most of the words."""
        try:
            lines = await asyncio.to_thread(self._file.read_text, encoding="utf-8")
        except OSError:
            raise SearchError("the almanac cannot be read.") from None
        asked = set(wanted.text.lower().split())
        scored: list[SearchHit] = []
        for line in lines.splitlines():
            url, title, text = line.split("\t")
            share = len(asked & set(f"{title} {text}".lower().split())) / max(1, len(asked))
            if share:
                scored.append(SearchHit(url, title, text, share))
        return sorted(scored, key=lambda hit: -(hit.score or 0))[: wanted.limit]

    async def close(self) -> None:
        """Nothing is held."""


def make(config: AlmanacFile, parts: Parts) -> Almanac:
    """The convention of every adapter: the type of `config` says which keys there are."""
    del parts
    return Almanac(Path(config.file))
