"""An embedder for tests, as somebody else's module (`[embedder] kind = "tests.meaning"`).

Every word of a text has a place of its own: what shares words is near; a few words mean the same. It fails while the
file `down` stands in the data folder.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import EmbedderError

MODEL: Final = "meaning"
SAME: Final = {"automobile": "car", "feline": "cat", "physician": "doctor"}
"""Words that keywords do not find and meaning does."""


class Config(msgspec.Struct, frozen=True):
    dimension: int = 256


class Meaning:
    model = MODEL
    most_texts = 64
    most_tokens = 100_000

    def __init__(self, dimension: int, folder: Path) -> None:
        self.dimension: int | None = dimension
        self._folder = folder
        self._size = dimension

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        if (self._folder / "down").exists():
            raise EmbedderError("The embedding model 'meaning' is down.", transient=False)
        return Vectors(self._size, b"".join(self._vector(text) for text in texts))

    async def close(self) -> None:
        """Nothing to release."""

    def _vector(self, text: str) -> bytes:
        numbers = [0.01] * self._size
        words: list[str] = re.findall(r"\w+", text.lower())
        for word in words:
            meant = SAME.get(word, word)
            numbers[int.from_bytes(sha256(meant.encode()).digest()[:4]) % self._size] += 1.0
        return array("f", numbers).tobytes()


def make(config: Config, parts: Parts) -> Meaning:
    return Meaning(config.dimension, parts.folder)
