"""Lines of context that a model wrote for chunks, kept so that it is not asked for the same ones twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Lines(Protocol):
    """Contract: a key stands for all that a line depends on. The number of lines is bounded: the oldest go first, so
    that any of them may be gone. Raises StoreError. May be called concurrently, also by several processes."""

    async def known(self, project: str, keys: Sequence[bytes], /) -> dict[bytes, str]:
        """The lines of those keys that have one."""
        ...

    async def keep(self, project: str, key: bytes, line: str, /) -> None:
        """Keep a line."""
        ...

    async def close(self) -> None:
        """Release the place."""
        ...
