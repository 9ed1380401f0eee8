"""What of files is over or nobody's: expired rows with their bytes, and bytes that have no row.

Law: a row goes before its bytes. A process that dies in between leaves bytes without a row, as one does that dies
between the bytes and the row of a new file. Such bytes are collected when they are a day old: no request lasts that
long, so that nobody is about to make a row for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from antiphon.engine.files import PREFIX, discard
from antiphon.ports.blobs import Blob, Blobs
from antiphon.ports.files import Files

AGE: Final = 86_400.0
"""Seconds after which bytes without a row are nobody's. The parts of an upload live for an hour."""


class Expired:
    """Files whose time has passed, and parts of uploads that are over."""

    def __init__(self, rows: Files, blobs: Blobs) -> None:
        self._rows = rows
        self._blobs = blobs

    async def expire(self, now: float, /) -> int:
        """Delete some of them; how many, 0 when nothing is left."""
        gone = await self._rows.expire_files(now)
        for each in gone:
            await discard(self._blobs, each.project, each.name)
        return len(gone)


class Leftovers:
    """Bytes that no row stands for. They are looked for at the start, and once a day."""

    def __init__(self, rows: Files, blobs: Blobs) -> None:
        self._rows = rows
        self._blobs = blobs
        self._next = 0.0

    async def expire(self, now: float, /) -> int:
        """Delete all of them, when it is time to; how many."""
        if now < self._next:
            return 0
        deleted = 0
        async with aclosing(self._blobs.stored(now - AGE)) as batches:
            async for batch in batches:
                for blob in await self._nobodys(batch, now):
                    await discard(self._blobs, blob.project, blob.name)
                    deleted += 1
        self._next = now + AGE
        return deleted

    async def _nobodys(self, batch: Sequence[Blob], now: float) -> Sequence[Blob]:
        projects: defaultdict[str, list[str]] = defaultdict(list)
        for blob in batch:
            if blob.name.startswith(PREFIX):
                projects[blob.project].append(blob.name)
        kept = {
            Blob(project, name)
            for project, names in projects.items()
            for name in await self._rows.files(project, names, now)
        }
        return [blob for blob in batch if blob not in kept]
