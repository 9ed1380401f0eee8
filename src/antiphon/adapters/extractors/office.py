"""Documents of Word, PowerPoint and Excel (docx, pptx, xlsx), by the libraries of the extra `documents`.

Documents and slides become Markdown, sheets become `header: value` lines as in `csv`; slides are pages. The parts of
markitdown that fetch, guess types or load plugins are not used: only its converters of a stream.
"""

from __future__ import annotations

import importlib.util
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Final
from xml.parsers.expat import ExpatError
from xml.sax import SAXException

import msgspec

from antiphon.adapters.extracting.archive import BROKEN, opened
from antiphon.adapters.extractors.csv import written
from antiphon.adapters.extractors.markdown import headings
from antiphon.adapters.parts import Parts
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

_MAIN: Final = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
_NEEDS: Final = {"docx": ("markitdown", "mammoth"), "pptx": ("markitdown", "pptx"), "xlsx": ("openpyxl",)}
_SLIDE: Final = re.compile(r"(?:\n\n)?<!-- Slide number: (\d+) -->\n?")
_IMAGE: Final = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_FAILED: Final = (*BROKEN, ArithmeticError, AssertionError, AttributeError, LookupError, SyntaxError, TypeError,
                  ExpatError, SAXException)  # fmt: skip
"""What the libraries raise for a broken document: whatever their code meets there. Neither MemoryError nor
RecursionError, which are said otherwise."""


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of documents of Word, PowerPoint and Excel."""

    unpacked_mb: Annotated[int, msgspec.Meta(ge=1)] = 256
    """Size that a document may unpack to, MB."""


class OfficeReader:
    """Reads documents by what they hold, whatever they are called."""

    def __init__(self, config: Office) -> None:
        self._most = config.unpacked_mb * 1024 * 1024

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Today's formats, also as templates and with macros, which are not run."""
        return (".docx", ".docm", ".dotx", ".pptx", ".pptm", ".ppsx", ".potx", ".xlsx", ".xlsm", ".xltx")

    @property
    def media(self) -> tuple[str, ...]:
        """The types of the three."""
        office = "application/vnd.openxmlformats-officedocument."
        return (
            f"{office}wordprocessingml.document",
            f"{office}presentationml.presentation",
            f"{office}spreadsheetml.sheet",
        )

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """The text; raises ExtractionError."""
        if not content.strip():
            raise ExtractionError("invalid_file", "The file is empty.")
        with opened(content, self._most) as archive:
            kind = _kind(archive)
        missing = [name for name in _NEEDS[kind] if importlib.util.find_spec(name) is None]
        if missing:
            words = f"This server cannot read {kind}: it is installed without the extra `documents`"
            raise ExtractionError("unsupported_file", f"{words} (pip install 'antiphon[documents]').")
        try:
            extracted = _READERS[kind](content)
        except _FAILED:
            raise ExtractionError("invalid_file", f"The {kind} document is broken and could not be read.") from None
        if not extracted.text.strip():
            raise ExtractionError("invalid_file", f"The {kind} document has no text.")
        return extracted


def _kind(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    for prefix, kind in _MAIN.items():
        if any(name.lower().startswith(prefix) for name in names):
            return kind
    if "[Content_Types].xml" in names:
        raise ExtractionError("invalid_file", "The document is broken: its main part is missing.")
    raise ExtractionError("unsupported_file", "The file is an archive, and no document: upload what it holds.")


def _docx(content: bytes) -> Extracted:
    # half a second and 100 MB, and only the process that reads documents needs it
    from markitdown import StreamInfo  # noqa: PLC0415
    from markitdown.converters import DocxConverter  # noqa: PLC0415

    plain = {"escape_asterisks": False, "escape_underscores": False, "escape_misc": False}
    markdown = DocxConverter().convert(io.BytesIO(content), StreamInfo(extension=".docx"), **plain).markdown
    text = _IMAGE.sub(r"\1", markdown).strip()
    return Extracted(text, headings=tuple(headings(text)))


def _pptx(content: bytes) -> Extracted:
    from markitdown import StreamInfo  # noqa: PLC0415  # as above
    from markitdown.converters import PptxConverter  # noqa: PLC0415
    from pptx.exc import PythonPptxError  # noqa: PLC0415

    try:
        markdown = PptxConverter().convert(io.BytesIO(content), StreamInfo(extension=".pptx")).markdown
    except PythonPptxError:
        raise ValueError("not as python-pptx wants it") from None
    texts: list[str] = []
    last = 0
    for found in _SLIDE.finditer(markdown):
        if int(found[1]) == len(texts) + 1:
            texts.append(markdown[last : found.start()])
            last = found.end()
    slides = [_IMAGE.sub(r"\1", text).strip() for text in [*texts, markdown[last:]][1:]]
    text, starts = _joined(slides)
    if not text.strip():
        return Extracted("")
    return Extracted(text, starts, tuple(headings(text)))


def _xlsx(content: bytes) -> Extracted:
    from openpyxl import load_workbook  # noqa: PLC0415  # as above

    book = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    texts: list[str] = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what it says of its size is not believed
        rows = written(_cells(row) for row in sheet.iter_rows(values_only=True))
        if rows:
            texts.append(f"{sheet.title}\n\n{rows}")
    book.close()
    text, starts = _joined(texts)
    return Extracted(text, headings=starts if text else ())


def _cells(row: Sequence[object]) -> list[str]:
    return ["" if cell is None else _cell(cell) for cell in row]


def _cell(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).removesuffix(" 00:00:00") if isinstance(cell, datetime) else str(cell)


def _joined(texts: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """Texts with an empty line between, and where each begins."""

    def starts() -> Iterator[int]:
        at = 0
        for text in texts:
            yield at
            at += len(text) + 2

    return "\n\n".join(texts), tuple(starts())


_READERS: Final = {"docx": _docx, "pptx": _pptx, "xlsx": _xlsx}


def make(config: Office, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Opens nothing."""
    return OfficeReader(config)
