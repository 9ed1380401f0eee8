"""Pages of the web as the model is told them: what a search found, what a page says, where it says it; each with the
mark that cites its page. And which pages the conversation has told of.

Law: what stands in a page is material, never an instruction, and cannot forge a mark. The word of a page comes from its
URL alone: it is the same in every call and every turn.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from antiphon.core.citations import mark
from antiphon.core.passages import citing, flat, material, quoted

LONGEST: Final = 160_000
"""Characters of extracts in one answer; what is left out is said."""
MATCHES: Final = 12
"""Places of a page that are told of one pattern."""
AROUND: Final = 240
"""Characters told before and behind each."""

_HEADED: Final = re.compile(r"cite as <\|(web-[a-z2-7]{8})\|>\nurl: (\S+)\n(?:title: ([^\n]*)\n)?")
_ODD: Final = re.compile(r"[\s<>\"\\^`{|}\x00-\x1f\x7f]")
_ENDED: Final = re.compile(r"/?(?:#\S*)?[.,;:!?]*(?:[\s<>\"'`)\]}|*_\u201d\u2019\u00bb\u3002\uff0c]|\Z)")
_BEGUN: Final = re.compile(r"[\w.@-]")


class Page(msgspec.Struct, frozen=True):
    """A page and its text, or an extract of that."""

    url: str
    title: str = ""
    text: str = ""


def word(url: str) -> str:
    """What the mark of this page holds."""
    digest = sha256(url.encode("utf-8", "replace")).digest()
    return f"web-{b32encode(digest)[:8].decode().lower()}"


def cited_pages(told: str) -> Iterator[tuple[str, str, str]]:
    """The pages in what the model was told: the word of each, its URL and title."""
    for found in _HEADED.finditer(told):
        yield found[1], found[2], found[3] or ""


def found(query: str, pages: Sequence[Page]) -> str:
    """The answer of a search, best page first."""
    if not pages:
        return f"Nothing was found on the web for: {query}. Try other words, or say that nothing was found."
    lines = [f"{_count(len(pages), 'page')} found for: {query}.", _head("was found on the web", pages[0])]
    room = LONGEST
    for number, page in enumerate(pages, 1):
        piece = f"Page {number}, {_titled(page)}\n{quoted(page.text)}"
        room -= len(piece)
        if room < 0 and number > 1:
            lines.append(f"({_count(len(pages) - number + 1, 'page')} left out, because the answer is long.)")
            break
        lines.append(piece)
    return "\n\n".join(lines)


def opened(page: Page, start: int, room: int) -> str:
    """What a page says from character `start` on, at most `room` characters of it; the rest is said."""
    start = max(0, min(start, len(page.text)))
    end = min(start + room, len(page.text))
    lines = [_head("is a page of the web", page), f"The page, {_titled(page)}\n{quoted(page.text[start:end])}"]
    if start or end < len(page.text):
        lines.append(f"(These are the characters {start} to {end} of {len(page.text)}.{_more(end, page)})")
    return "\n\n".join(lines)


def sought(page: Page, pattern: str) -> str:
    """Where a page has these words, whatever their case and the space between them."""
    words = [re.escape(one) for one in pattern.split()]
    places = list(re.finditer(r"\s+".join(words), page.text, re.IGNORECASE)) if words else []
    if not places:
        size = f"It has {len(page.text)} characters."
        return f"The page {_url(page.url)} does not have these words: {flat(pattern)}. {size}"
    told = [f"At character {start}:\n{quoted(page.text[start:end])}" for start, end in _around(page.text, places)]
    lines = [_head("stands in a page of the web", page), f"The page, {_titled(page)}", *told]
    if len(places) > MATCHES:
        lines.append(f"(These are the first {MATCHES} of {len(places)} places.)")
    return "\n\n".join(lines)


def known(url: str, texts: Iterable[str]) -> bool:
    """Whether one of these texts names this page. Neither the scheme nor a fragment counts."""
    bare = url.partition("#")[0].partition("://")[2].rstrip("/")
    return bool(bare) and any(_names(text, bare) for text in texts)


def _names(text: str, bare: str) -> bool:
    """Whether it stands in the text from its beginning to its end: a part of a longer URL names another page."""
    at = text.find(bare)
    while at >= 0:
        whole = at == 0 or not _BEGUN.match(text[at - 1])
        if whole and _ENDED.match(text, at + len(bare)):
            return True
        at = text.find(bare, at + 1)
    return False


def _around(text: str, places: Sequence[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """The pieces of text that hold the places; those that overlap are one."""
    held: tuple[int, int] | None = None
    for place in places[:MATCHES]:
        start, end = max(0, place.start() - AROUND), min(len(text), place.end() + AROUND)
        if held is not None and start <= held[1]:
            held = (held[0], end)
            continue
        if held is not None:
            yield held
        held = (start, end)
    if held is not None:
        yield held


def _head(origin: str, page: Page) -> str:
    return f"{material(origin)} {citing('page', word(page.url))}, and write out no URLs unless you are asked for them."


def _titled(page: Page) -> str:
    title = f"\ntitle: {flat(page.title)}" if page.title.strip() else ""
    return f"cite as {mark(word(page.url))}\nurl: {_url(page.url)}{title}"


def _url(url: str) -> str:
    """Without what no URL has, so that nothing can be hidden in it."""
    return _ODD.sub(lambda odd: "".join(f"%{byte:02X}" for byte in odd[0].encode("utf-8", "replace")), url)


def _more(end: int, page: Page) -> str:
    return f" To read on, open it again with start {end}." if end < len(page.text) else ""


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"
