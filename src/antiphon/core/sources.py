"""What can be cited: the files and pages that tools have found, each under the word that its mark holds.

Law: a source is known from what the conversation holds, so that a resumed run and a later turn can cite it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from antiphon.core.citations import Source, Span
from antiphon.core.effects import Entry
from antiphon.core.pages import cited_pages
from antiphon.wire.content import Annotation, FileCitation, UrlCitation
from antiphon.wire.items import FileSearchCall, WebSearchCall


class CitedFile(msgspec.Struct, frozen=True):
    """A file that a search has found."""

    file_id: str
    name: str

    def annotation(self, span: Span, /) -> Annotation:
        """Files are cited at a place."""
        return FileCitation(file_id=self.file_id, filename=self.name, index=span.at)


class CitedPage(msgspec.Struct, frozen=True):
    """A page that a search has found, or that was opened. A mark may also hold its URL."""

    name: str
    title: str

    def annotation(self, span: Span, /) -> Annotation:
        """Pages are cited by what they are cited for."""
        return UrlCitation(url=self.name, title=self.title, start_index=span.start, end_index=span.end)


def sources_of(entries: Iterable[Entry]) -> dict[str, Source]:
    """What the calls in these entries have found."""
    found: dict[str, Source] = {}
    for entry in entries:
        row = _FOUND.get(type(entry.item))
        if row is not None:
            found |= row(entry)
    return found


def _files(entry: Entry) -> dict[str, Source]:
    assert isinstance(entry.item, FileSearchCall)
    return {
        file_id: CitedFile(file_id, str(result.get("filename") or ""))
        for result in entry.item.results or ()
        if isinstance(file_id := result.get("file_id"), str)
    }


def _pages(entry: Entry) -> dict[str, Source]:
    """Those that the model was told of: a search that a client gives back says of no page what it is called."""
    told = "" if entry.exchange is None else entry.exchange.output
    return {word: CitedPage(url, title) for word, url, title in cited_pages(told)}


_FOUND: Final[dict[type[Any], Callable[[Entry], dict[str, Source]]]] = {
    FileSearchCall: _files,
    WebSearchCall: _pages,
}
