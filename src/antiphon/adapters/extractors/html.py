"""HTML as a reader sees it: the title, then blocks as paragraphs, lists as lines, tables as rows; no scripts or styles.

Parsers of HTML take time that grows with the square of how deeply a page is nested, so a page is measured first.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_DROPPED: Final = frozenset(
    "script style template noscript svg math iframe object embed canvas audio video head select datalist".split()
)
_BLOCKS: Final = frozenset(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer"
    " form h1 h2 h3 h4 h5 h6 header hgroup hr html legend main menu nav ol optgroup p pre search section summary table"
    " tbody tfoot thead ul caption".split()
)
_LINES: Final = frozenset("br li tr option".split())
_HEADINGS: Final = frozenset("h1 h2 h3 h4 h5 h6".split())
_LISTS: Final = frozenset("ul ol dl menu".split())
_CELLS: Final = frozenset({"td", "th"})
_TAG: Final = re.compile(
    r"<(/?)(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|p|li|dt|dd|tr|td|th|thead|tbody"
    r"|tfoot|option|optgroup|colgroup|rp|rt|body|html|head)\b)[a-z][^<>]*(?<!/)>?",
    re.IGNORECASE,
)
"""Tags that open and close; left out are those that need not be closed."""
_CLOSED: Final = re.compile(r"<(title|script|style|textarea|iframe|noscript|a|div|span|p|i|b|em|td|th)\b([^<>]*)/>")
"""Elements that XHTML closes at once, which HTML does not know."""
DEPTH: Final = 2000
"""Elements in elements that a page may have."""
_DECLARED: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,20})", re.IGNORECASE)
_KNOWN: Final = re.compile(
    r"(?:windows|cp)-?125\d|iso-?8859-\d{1,2}|latin-?\d|koi8-[ru]|gb(?:k|2312|18030)|big5|shift[_-]?jis|sjis|euc-(?:jp|kr)"
    r"|windows-(?:31j|874)|iso-2022-jp|macintosh|us-ascii|ascii",
    re.IGNORECASE,
)
_SPACE: Final = re.compile(r"[ \t\n\r\f\xa0]+")


class Html:
    """Reads pages, in the encoding that they declare."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Pages."""
        return (".html", ".htm", ".xhtml", ".shtml")

    @property
    def media(self) -> tuple[str, ...]:
        """Pages."""
        return ("text/html", "application/xhtml+xml")

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """What a reader sees; raises ExtractionError."""
        extracted = read(decoded(content))
        if not extracted.text:
            raise ExtractionError("invalid_file", "The page has no text.")
        return extracted


def decoded(content: bytes) -> str:
    """The page in the encoding that it declares; a declaration that is not so is ignored. Raises ExtractionError."""
    found = _DECLARED.search(content, 0, 4096)
    if found and not content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = found[1].decode("ascii")
        try:
            if _KNOWN.fullmatch(name):
                return content.decode(name)
        except (LookupError, UnicodeDecodeError):
            return decode(content)
    return decode(content)


def read(page: str, *, titled: bool = True) -> Extracted:
    """The text of a page, empty when it has none; with its title where that is wanted. Raises ExtractionError."""
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError  # noqa: PLC0415  # 13 ms, in the worker only

    if _deep(page):
        raise ExtractionError("invalid_file", f"The page is nested more than {DEPTH} levels deep.")
    if "http://www.w3.org/1999/xhtml" in page[:2048]:
        page = _CLOSED.sub(r"<\1\2></\1>", page)
    try:
        tree = LexborHTMLParser(page)
    except (SelectolaxError, ValueError):
        raise ExtractionError("invalid_file", "The page could not be read.") from None
    sheet = _Sheet()
    title = tree.css_first("head > title")
    if titled and title is not None and (words := _SPACE.sub(" ", title.text(deep=False)).strip()):
        sheet.words(words)
        sheet.block()
    if tree.body is not None:
        _walk(tree.body, sheet)
    return sheet.extracted()


def _deep(page: str) -> bool:
    """Whether a page is nested more deeply than any that was meant to be read."""
    depth = 0
    for found in _TAG.finditer(page):
        depth = max(0, depth - 1) if found[1] else depth + 1
        if depth > DEPTH:
            return True
    return False


def _walk(root: LexborNode, sheet: _Sheet) -> None:
    """Every node in order, down by `child`, on by `next`, up by the stack."""
    stack: list[tuple[LexborNode, str]] = []
    node: LexborNode | None = root
    while node is not None or stack:
        if node is None:
            node, tag = stack.pop()
            sheet.leave(tag)
            node = node.next if stack else None
            continue
        tag = node.tag or ""
        if tag == "-text":
            sheet.text(node.text_content or "")
            node = node.next
        elif tag in _DROPPED or tag.startswith(("-", "!")):
            node = node.next
        else:
            sheet.enter(tag, node)
            stack.append((node, tag))
            node = node.child


class _Sheet:
    """Text as it is written down: pending space and breaks are only made when more text comes."""

    def __init__(self) -> None:
        self._made: list[str] = []
        self._at = 0
        self._breaks = 0
        self._space = False
        self._before = ""
        self._kept = 0
        self._cells = 0
        self._headings: list[int] = []
        self._heading = False
        self._lists = 0

    def block(self, lines: int = 2) -> None:
        """What follows begins a paragraph, or a line."""
        self._breaks = max(self._breaks, lines)
        self._space = False

    def words(self, words: str) -> None:
        """Words, after what is pending."""
        pending = ("\n" * self._breaks or " " * self._space) if self._made else ""
        self._at += len(pending)
        if self._heading:
            self._headings.append(self._at)
            self._heading = False
        self._made += (pending, self._before, words)
        self._at += len(self._before) + len(words)
        self._breaks, self._space, self._before = 0, False, ""

    def text(self, text: str) -> None:
        """Text between tags."""
        if self._kept:
            if text.strip("\n"):
                self.words(text.replace("\r\n", "\n").strip("\n") if self._breaks else text.replace("\r\n", "\n"))
            return
        words = _SPACE.sub(" ", text)
        if words.startswith(" "):
            self._space = True
        if inner := words.strip(" "):
            self.words(inner)
            self._space = words.endswith(" ")

    def enter(self, tag: str, node: LexborNode) -> None:
        """An element begins."""
        if tag in _CELLS:
            if self._cells and self._breaks == 0:
                self._space = True
                self.words("|")
                self._space = True
            self._cells += 1
        elif tag in _LINES or tag in _BLOCKS:
            self._begin(tag)
        elif tag == "img" and (alternative := (node.attributes.get("alt") or "").strip()):
            self.text(f" [{alternative}] ")

    def _begin(self, tag: str) -> None:
        inside = self._cells > 0 and tag != "tr"
        self.block(1 if tag in _LINES or inside or self._lists else 2)
        if tag in _LISTS:
            self._lists += 1
        if inside and tag != "br":
            self._breaks, self._space = 0, True
        if tag == "li":
            self._before = "- "
        elif tag == "tr":
            self._cells = 0
        elif tag == "pre":
            self._kept += 1
        if tag in _HEADINGS:
            self._heading = True

    def leave(self, tag: str) -> None:
        """An element ends."""
        if tag in _LISTS:
            self._lists -= 1
        if tag in _LINES or tag in _BLOCKS:
            if self._cells and tag not in {"tr", "table"}:
                self._space = True
            else:
                self.block(1 if tag in _LINES or self._lists else 2)
            if tag == "pre":
                self._kept -= 1
            elif tag in {"tr", "table"}:
                self._cells = 0
        if tag in _HEADINGS:
            self._heading = False

    def extracted(self) -> Extracted:
        """All of it."""
        return Extracted("".join(self._made), headings=tuple(self._headings))


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return Html()
