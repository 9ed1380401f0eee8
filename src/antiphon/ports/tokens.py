"""Counting the tokens of texts."""

from __future__ import annotations

from typing import Protocol

from antiphon.core.chunking import Ruler


class Tokens(Protocol):
    """Contract: the same text and model give the same count; "" has none; any string can be counted. May be called
    from several threads; the first call may take long."""

    def count(self, text: str, model: str, /) -> int:
        """The tokens of the text for the model of this name (any name, also one that nobody knows)."""
        ...

    def ruler(self, model: str, /) -> Ruler:
        """What measures texts for chunking, in the tokens of the model of this name."""
        ...
