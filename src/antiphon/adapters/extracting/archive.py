"""Documents that are zip archives, opened with care. Law: nothing is unpacked before what it unpacks to is bounded, and
what a document's XML declares as entities is never expanded.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Final

from antiphon.ports.extractor import ExtractionError

ENTRIES: Final = 20_000
"""Files that a document may hold."""
STEP: Final = 1024 * 1024
_MARKUP: Final = frozenset(".xml .rels .vml .xhtml .html .htm .opf .ncx .svg".split())
_ENTITY: Final = ("<!ENTITY", "<!entity")
_BOMBS: Final = tuple(word.encode(name) for word in _ENTITY for name in ("utf-8", "utf-16-le", "utf-16-be"))
BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, KeyError)
"""What zipfile raises for archives that are broken."""


def opened(content: bytes, most: int) -> zipfile.ZipFile:
    """The archive, of which all unpacks to at most `most` bytes. Raises ExtractionError."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        _declared(archive, most)
        _actual(archive, most)
    except RuntimeError:  # zipfile's word for an entry with a password
        raise ExtractionError("invalid_file", "The document is encrypted: a password is needed.") from None
    except BROKEN:
        raise ExtractionError("invalid_file", "The document is broken: its zip archive could not be read.") from None
    return archive


def _declared(archive: zipfile.ZipFile, most: int) -> None:
    entries = archive.infolist()
    if len(entries) > ENTRIES:
        raise ExtractionError("invalid_file", f"The document holds {len(entries)} files; at most {ENTRIES} are read.")
    if sum(entry.file_size for entry in entries) > most:
        raise _large(most)


def _actual(archive: zipfile.ZipFile, most: int) -> None:
    """Unpack the markup once, in steps: sizes can lie, checksums can fail, entities can be bombs."""
    left = most
    for entry in archive.infolist():
        if PurePosixPath(entry.filename).suffix.lower() not in _MARKUP:
            continue
        with archive.open(entry) as file:
            before = b""
            while step := file.read(STEP):
                left -= len(step)
                if left < 0:
                    raise _large(most)
                if any(bomb in before + step[:32] or bomb in step for bomb in _BOMBS):
                    raise ExtractionError("invalid_file", "The document declares XML entities, which are not read.")
                before = step[-32:]


def _large(most: int) -> ExtractionError:
    return ExtractionError("invalid_file", f"The document unpacks to more than {most // (1024 * 1024)} MB.")
