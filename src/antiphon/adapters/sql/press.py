"""How larger texts are kept: zstd, each by itself."""

from __future__ import annotations

from typing import Final

import zstandard

_LEVEL: Final = 1


class Press:
    """Compresses; belongs to one thread."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL)

    def __call__(self, text: bytes) -> bytes:
        """The compressed text; it knows its own size."""
        return self._zstd.compress(text)


def unpressed(found: bytes) -> bytes:
    """What `Press` was given. In any thread."""
    return zstandard.ZstdDecompressor().decompress(found)
