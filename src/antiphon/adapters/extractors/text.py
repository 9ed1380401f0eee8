"""Plain text, as it is."""

from __future__ import annotations

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, Extractor


class Text:
    """Reads plain text in any encoding that `decode` knows."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is plain text by name."""
        return (".txt", ".text", ".log", ".srt", ".vtt", ".eml", ".po", ".diff", ".patch")

    @property
    def media(self) -> tuple[str, ...]:
        """Any kind of text that nobody else reads."""
        return ("text/",)

    def extract(self, content: bytes, filename: str, /) -> Extracted:  # noqa: ARG002 - the port's signature
        """The text; raises ExtractionError."""
        return Extracted(decode(content))


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return Text()
