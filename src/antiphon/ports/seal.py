"""What clients carry for us and cannot read: sealed text, opened again only by the server that made it."""

from __future__ import annotations

from typing import Protocol


class SealError(Exception):
    """The text was not sealed here: it is forged, cut, of another project, of another purpose, or of a key that this
    server does not have."""


class Seal(Protocol):
    """Contract: `open` gives what `seal` was given, for the same project and purpose; for anything else it raises
    SealError. Sealing twice gives two different texts; both open."""

    def seal(self, project: str, purpose: str, text: str, /) -> str:
        """The text, encrypted and authenticated, as ASCII."""
        ...

    def open(self, project: str, purpose: str, sealed: str, /) -> str:
        """The text; SealError."""
        ...
