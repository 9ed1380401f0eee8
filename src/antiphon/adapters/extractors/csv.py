"""Tables in CSV and TSV: every row as `header: value` lines, so that a piece of a table says what its values are."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor

SAMPLE: Final = 64 * 1024
"""Characters by which the delimiter is found."""
FIELD: Final = 16 * 1024 * 1024
"""Characters of the longest cell."""
_NUMBER: Final = re.compile(r"\s*[-+$€£]?\d[\d.,:/ -]*%?\s*$")


class Csv:
    """Reads CSV and TSV; the delimiter of a CSV is the one of `,` `;` tab and `|` that the first lines agree on."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Both."""
        return (".csv", ".tsv", ".tab")

    @property
    def media(self) -> tuple[str, ...]:
        """Both."""
        return ("text/csv", "application/csv", "text/tab-separated-values", "text/tsv")

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """The rows; raises ExtractionError."""
        text = decode(content)
        delimiter = "\t" if PurePath(filename.lower()).suffix in {".tsv", ".tab"} else _delimiter(text[:SAMPLE])
        csv.field_size_limit(FIELD)
        try:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            return Extracted(written(rows))
        except csv.Error as error:
            raise ExtractionError("invalid_file", f"The table could not be read: {error}.") from None


def _delimiter(sample: str) -> str:
    """The one that most rows have as often; a comma when none is."""
    best, found = 0, ","
    for delimiter in ",;\t|":
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        counts = [len(row) - 1 for row in itertools.islice(rows, 20) if row]
        counts = counts[:-1] if len(counts) > 2 else counts  # the last one may be cut
        least = min(counts, default=0)
        agree = sum(count == least for count in counts)
        if least and agree * 2 > len(counts) and least * agree > best:
            best, found = least * agree, delimiter
    return found


def written(rows: Iterable[Sequence[str]]) -> str:
    """Rows as paragraphs of `header: value` lines; empty cells are left out. The first row is the header when its cells
    are words and all different, otherwise the columns are numbered. A lone column is one line a row."""
    header: Sequence[str] | None = None
    made: list[str] = []
    for row in rows:
        cells = [" ".join(cell.split()) if "\n" in cell else cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            named = _names(cells)
            header = cells if named else []
            if named:
                continue
        made.append(_paragraph(header, cells))
    if not made and header:
        return "\n".join(name for name in header if name)  # a table without rows
    return ("\n" if header is not None and len(header) == 1 else "\n\n").join(made)


def _paragraph(header: Sequence[str], cells: Sequence[str]) -> str:
    return "\n".join(
        f"{header[place] if place < len(header) and header[place] else f'column {place + 1}'}: {cell}"
        for place, cell in enumerate(cells)
        if cell
    )


def _names(cells: Sequence[str]) -> bool:
    """Whether a first row names the columns."""
    names = [cell for cell in cells if cell]
    return len(set(names)) == len(names) and not any(len(name) > 100 or _NUMBER.match(name) for name in names)


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return Csv()
