"""PDF documents by pypdfium2: the text in the order that the page's content has, with page numbers.

A document made of pictures (a scan) has no text; that is said, it is not read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, cast

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_CUT: Final = re.compile(r"(?<![\w-])([^\W\d_][\w-]*)(?:[\ufffe\x02\xad]\n?|[-\u2010]\n)(?=([^\W\d_]))")
"""A word that a line's end has cut; pdfium marks the hyphens that it knows."""
_STRAY: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\xad]|[\ud800-\udfff]")
_OWN: Final = re.compile(
    r"[•●○▪◦‣∙·*\u2022\u2013\u2014-]\s|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)]\s|\d+(?:\.\d+)+\s"
)
"""How the lines begin that belong to no line before them: items of lists."""
_ENDED: Final = re.compile(r"[.!?:;\u3002][\"')\]\u201d\u2019]*$")
_FULL: Final = 0.7
"""Share of the usual length of lines from which a line is taken to have been broken by the margin."""


class Pdf(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of PDF documents."""

    pages: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Pages that a document may have."""


class PdfReader:
    """Reads PDF documents."""

    def __init__(self, config: Pdf) -> None:
        self._most = config.pages

    @property
    def suffixes(self) -> tuple[str, ...]:
        """One."""
        return (".pdf",)

    @property
    def media(self) -> tuple[str, ...]:
        """The type, and an old name of it."""
        return ("application/pdf", "application/x-pdf")

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """The text; raises ExtractionError."""
        # 40 ms, and only the process that reads documents needs it
        import pypdfium2  # noqa: PLC0415
        from pypdfium2 import raw  # noqa: PLC0415

        if not content.strip():
            raise ExtractionError("invalid_file", "The file is empty.")
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            if cast("int | None", error.err_code) == raw.FPDF_ERR_PASSWORD:
                raise ExtractionError("invalid_file", "The PDF is encrypted: a password is needed.") from None
            raise ExtractionError("invalid_file", "The PDF is broken: it could not be opened.") from None
        try:
            return self._read(document)
        finally:
            document.close()

    def _read(self, document: PdfDocument) -> Extracted:
        number = len(document)
        if number > self._most:
            raise ExtractionError("invalid_file", f"The PDF has {number} pages; at most {self._most} are read.")
        starts: list[int] = []
        texts: list[str] = []
        broken = 0
        at = 0
        for index in range(number):
            page = _page(document, index)
            if page is None:
                broken += 1
                page = f"[Page {index + 1} of the PDF is broken and could not be read.]"
            text = mended(page)
            starts.append(at)
            texts.append(text)
            at += len(text) + 2
        if broken == number:
            raise ExtractionError("invalid_file", "The PDF is broken: none of its pages could be read.")
        whole = "\n\n".join(texts)
        if not whole.strip():
            raise ExtractionError(
                "invalid_file",
                "The PDF has no text: its pages may be pictures, as of a scan. Make text of them (OCR) first.",
            )
        return Extracted(whole, tuple(starts))


def _page(document: PdfDocument, index: int) -> str | None:
    """The text of a page as pdfium gives it; None when the page is broken."""
    import pypdfium2  # noqa: PLC0415

    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return None
    try:
        text = page.get_textpage()
        try:
            return text.get_text_bounded()  # pyright: ignore[reportUnknownMemberType] - its arguments are untyped
        finally:
            text.close()
    except pypdfium2.PdfiumError:
        return None
    finally:
        page.close()


def mended(text: str) -> str:
    """A page with its words and paragraphs whole: lines that the margin broke are joined, all others stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _STRAY.sub("", _CUT.sub(_whole, text))
    lines = [line.strip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return ""
    full = max(30.0, lengths[len(lengths) * 9 // 10 if len(lengths) > 9 else -1] * _FULL)
    made: list[str] = []
    before = ""
    for line in lines:
        if before and line and _broken(before, line, full):
            made[-1] = f"{made[-1]} {line}"
        else:
            made.append(line)
        before = line
    return "\n".join(made).strip("\n")


def _whole(found: re.Match[str]) -> str:
    """A cut word; the hyphen stays where it is likely to be its own."""
    head = found[1]
    return head if found[2].islower() and "-" not in head else f"{head}-"


def _broken(before: str, line: str, full: float) -> bool:
    """Whether a line goes on what the one before began."""
    if len(before) < full or _OWN.match(line):
        return False
    return line[0].islower() or not _ENDED.search(before)


def make(config: Pdf, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Opens nothing."""
    return PdfReader(config)
