"""Bytes of files in memory, for tests that are about something else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Sequence

from antiphon.ports.blobs import Blob, NoBlobError
from antiphon.wire.errors import StoreError


class MemoryBlobs:
    """The port over a dict. `broken`: it refuses everything."""

    def __init__(self) -> None:
        self.held: dict[Blob, bytes] = {}
        self.broken = False

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> None:
        if self.broken:
            raise StoreError("The files are not there.")

    async def put(self, project: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        await self.check()
        content = b"".join([piece async for piece in pieces])
        self.held[Blob(project, name)] = content
        return len(content)

    async def join(self, project: str, name: str, parts: Sequence[str], /) -> int:
        await self.check()
        content = b"".join([self._found(project, part) for part in parts])
        self.held[Blob(project, name)] = content
        return len(content)

    async def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        await self.check()
        if content := self._found(project, name)[start:]:
            yield content

    async def delete(self, project: str, name: str, /) -> bool:
        await self.check()
        return self.held.pop(Blob(project, name), None) is not None

    async def stored(self, before: float, /) -> AsyncGenerator[Sequence[Blob]]:
        del before  # all of it is old
        await self.check()
        yield list(self.held)

    def _found(self, project: str, name: str) -> bytes:
        try:
            return self.held[Blob(project, name)]
        except KeyError:
            raise NoBlobError(name) from None
