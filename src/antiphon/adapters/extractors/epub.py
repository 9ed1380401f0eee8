"""Books in EPUB: their chapters, which are HTML, in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Annotated, Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import msgspec

from antiphon.adapters.extracting.archive import BROKEN, opened
from antiphon.adapters.extractors.html import decoded, read
from antiphon.adapters.parts import Parts
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

_CHAPTERS: Final = (".xhtml", ".html", ".htm", ".xml")


class Epub(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of books."""

    unpacked_mb: Annotated[int, msgspec.Meta(ge=1)] = 256
    """Size that a book may unpack to, MB."""


class EpubReader:
    """Reads books without protection."""

    def __init__(self, config: Epub) -> None:
        self._most = config.unpacked_mb * 1024 * 1024

    @property
    def suffixes(self) -> tuple[str, ...]:
        """One."""
        return (".epub",)

    @property
    def media(self) -> tuple[str, ...]:
        """The type."""
        return ("application/epub+zip",)

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """The chapters; raises ExtractionError."""
        if not content.strip():
            raise ExtractionError("invalid_file", "The file is empty.")
        with opened(content, self._most) as archive:
            texts: list[str] = []
            headings: list[int] = []
            at = 0
            for chapter in _chapters(archive):
                texts.append(chapter.text)
                headings += [at + heading for heading in chapter.headings]
                at += len(chapter.text) + 2
        if not texts:
            raise ExtractionError("invalid_file", "The book has no text.")
        return Extracted("\n\n".join(texts), headings=tuple(headings))


def _chapters(archive: zipfile.ZipFile) -> Iterator[Extracted]:
    """Chapters that have text, as a cover has none. Raises ExtractionError."""
    if "META-INF/rights.xml" in archive.namelist():
        raise ExtractionError("invalid_file", "The book is encrypted.")
    try:
        pages = [archive.read(name) for name in _order(archive) if name.endswith(_CHAPTERS)]
    except (ET.ParseError, *BROKEN):
        raise ExtractionError("invalid_file", "The book is broken: its chapters could not be read.") from None
    for page in pages:
        chapter = read(decoded(page), titled=False)
        if chapter.text:
            yield chapter


def _order(archive: zipfile.ZipFile) -> list[str]:
    """The names of the chapters in reading order."""
    container = ET.fromstring(archive.read("META-INF/container.xml"))  # noqa: S314  # no entities: `opened`
    root = container.find(".//{*}rootfile")
    if root is None:
        raise KeyError("rootfile")
    place = root.get("full-path", "")
    package = ET.fromstring(archive.read(place))  # noqa: S314  # no entities: `opened`
    files = {item.get("id"): item.get("href", "") for item in package.iterfind(".//{*}item")}
    spine = [files[item.get("idref")] for item in package.iterfind(".//{*}itemref") if item.get("idref") in files]
    there = set(archive.namelist())
    names = [posixpath.normpath(posixpath.join(posixpath.dirname(place), unquote(name))) for name in spine]
    return [name for name in names if name in there]


def make(config: Epub, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Opens nothing."""
    return EpubReader(config)
