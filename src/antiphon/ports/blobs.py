"""The bytes of files, apart from their rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Protocol

import msgspec


class NoBlobError(Exception):
    """There are no bytes under this name."""


class Blob(msgspec.Struct, frozen=True):
    """Where bytes are kept."""

    project: str
    name: str


class Blobs(Protocol):
    """Contract: names are ours (`file-...`, `part_...`), never a client's. `put` and `join` are whole and durable when
    they return, and leave nothing when they raise or are cancelled; what the pieces raise is raised as it is; one name
    is written once. Memory does not grow with the size of a file. What the place cannot do (disk full, no access, an
    endpoint that refuses) raises StoreError. All methods may be called concurrently, also by several processes."""

    async def open(self) -> None:
        """Make the place ready; StoreError when it cannot be used."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...

    async def check(self) -> None:
        """Raise StoreError unless the place answers."""
        ...

    async def put(self, project: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        """Store the pieces as one; how many bytes they have."""
        ...

    async def join(self, project: str, name: str, parts: Sequence[str], /) -> int:
        """Store what these names hold, in this order, under a new name; how many bytes. The parts stay. NoBlobError."""
        ...

    def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        """The bytes from `start` on, in pieces of at most 1 MB. NoBlobError."""
        ...

    async def delete(self, project: str, name: str, /) -> bool:
        """Delete; False when there is nothing of this name (or the place does not say)."""
        ...

    def stored(self, before: float, /) -> AsyncGenerator[Sequence[Blob]]:
        """What was stored before that time (epoch seconds, by the place's clock), of all projects, a batch at a time:
        for the collection of what nobody refers to."""
        ...
