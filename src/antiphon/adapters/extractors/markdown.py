"""Markdown and its relatives, as they are: marks help a model to see the structure. Front matter stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, Extractor

_LINE: Final = re.compile(
    r"^(?:"
    r" {0,3}(?P<fence>`{3,}|~{3,})"
    r"|(?P<heading> {0,3}#{1,6}(?=[ \t\n]|\Z)|={1,6} \S)"
    r"|(?P<under> {0,3}(?:=+|-{2,})[ \t]*$)"
    r")",
    re.MULTILINE,
)
"""Lines that matter; `=` before a heading is AsciiDoc."""


class Markdown:
    """Reads Markdown; `#` and underlined headings outside of fenced code are its headings."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Markdown, MDX, R and Quarto Markdown, reStructuredText, AsciiDoc."""
        return (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".rmd", ".qmd", ".rst", ".adoc")

    @property
    def media(self) -> tuple[str, ...]:
        """Markdown's registered type and its old name."""
        return ("text/markdown", "text/x-markdown")

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """The text; raises ExtractionError."""
        text = decode(content)
        return Extracted(text, headings=tuple(headings(text)))


def headings(text: str) -> Iterator[int]:
    """Where the headings of a text in Markdown begin."""
    body = _body(text)
    fence = ""
    for found in _LINE.finditer(text, body):
        if mark := found["fence"]:
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif fence:
            continue
        elif found["heading"]:
            yield found.start()
        elif (above := _above(text, found.start(), body)) is not None:
            yield above


def _body(text: str) -> int:
    """Where front matter ends: it is closed by the mark that opens it."""
    if not text.startswith(("---\n", "+++\n")):
        return 0
    end = text.find("\n" + text[:4], 3, 65_536)
    return 0 if end < 0 else end + 5


def _above(text: str, line: int, body: int) -> int | None:
    """Where the one line of text above an underline begins; None when there is none or it is part of a paragraph."""
    start = text.rfind("\n", 0, line - 1) + 1 if line else 0
    if start < body or start >= line - 1 or not text[start].isalnum():
        return None
    alone = start in {0, body} or text[max(0, start - 2) : start] == "\n\n"
    return start if alone else None


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return Markdown()
