"""An extractor: INI files as lines of `section: key is value`, which are found better than `key=value`.

Settings: `extraction.extractors = ["lamplight.ini"]`. It runs in the processes that read documents.
"""

from __future__ import annotations

from configparser import ConfigParser, Error

from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, ExtractionError


class Ini:
    """Keeps the contract of `antiphon.ports.extractor.Extractor`."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of file names that it reads."""
        return (".ini",)

    @property
    def media(self) -> tuple[str, ...]:
        """No media type is its own."""
        return ()

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """The values; ExtractionError for what is no such file."""
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(content.decode(), filename)
        except (UnicodeDecodeError, Error):
            raise ExtractionError("invalid_file", "The file is no INI file.") from None
        lines = [f"{name}: {key} is {value}." for name in parser.sections() for key, value in parser.items(name)]
        return Extracted("\n".join(lines))


def make(config: Plain, parts: Parts) -> Ini:
    """The convention of every adapter; `Plain` takes no keys."""
    del config, parts
    return Ini()
