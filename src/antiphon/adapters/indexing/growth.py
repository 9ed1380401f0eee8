"""The making of graphs, in the background, one at a time.

Law: searches go on meanwhile, exact. A graph is written whole into a new file, then named by its row, then used; the
old file is deleted last. Several processes may make the same graph: the later one wins, and each uses what it finds.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from antiphon.adapters.indexing import graph as graphs
from antiphon.adapters.indexing.graph import SUFFIX, Building, Saved
from antiphon.adapters.indexing.shelf import Wanted
from antiphon.adapters.indexing.shelves import Shelves
from antiphon.adapters.sql.database import Database
from antiphon.wire.errors import StoreError

_BATCH: Final = 16
"""Segments that are added at once: some 0.2 seconds, after which it can stop."""
_AGAIN: Final = 600.0
"""Seconds after a failure before the next try, and after which a file that no row names is nobody's."""
_LACKING: Final = """
    SELECT segment.key, slot
    FROM segment JOIN document ON document.key = document_id JOIN vector ON segment_id = segment.key
    WHERE segment.project_id = ? AND segment.store_id = ? AND state = 1 ORDER BY slot
"""
_VECTORS: Final = """
    SELECT slot, count, vector.body
    FROM json_each(?) CROSS JOIN segment ON segment.key = json_each.value CROSS JOIN vector ON segment_id = segment.key
    WHERE segment.project_id = ?
"""

LOGGER: Final = logging.getLogger(__name__)


class Growth:
    """Makes graphs. Its methods are called on the event loop."""

    def __init__(self, db: Database, shelves: Shelves, folder: Path) -> None:
        self._db = db
        self._shelves = shelves
        self._folder = folder
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._rest = 0.0

    def look(self) -> None:
        """Begin to make a graph, if one is wanted and none is being made."""
        idle = self._task is None or self._task.done()
        if not idle or self._stopped or time.monotonic() < self._rest:
            return
        if (wanted := self._shelves.wanted()) is not None:
            self._task = asyncio.get_running_loop().create_task(self._make(wanted))

    async def close(self) -> None:
        """Stop; what was not finished is begun again by the next process."""
        self._stopped = True
        if self._task is not None:
            await self._task

    async def _make(self, wanted: Wanted) -> None:
        try:
            if not await self._found(wanted):
                await self._made(wanted)
        except (StoreError, OSError) as error:
            LOGGER.warning("a graph of vectors cannot be made, searches stay exact: %s", error)
            self._rest = time.monotonic() + _AGAIN

    async def _found(self, wanted: Wanted) -> bool:
        """Whether another process has made one."""
        store = (wanted.project_id, wanted.store)
        saved = await self._db.far(lambda db: graphs.recorded(db, store))
        return saved is not None and saved != wanted.old and await self._adopted(wanted, saved)

    async def _adopted(self, wanted: Wanted, saved: Saved) -> bool:
        graph = await asyncio.to_thread(graphs.opened, self._folder, saved, wanted.dimension)
        if graph is None:
            return False
        await asyncio.to_thread(self._shelves.adopt, wanted, graph)
        return True

    async def _made(self, wanted: Wanted) -> None:
        building = await asyncio.to_thread(Building, self._folder, wanted.dimension, wanted.begun)
        there = set((await asyncio.to_thread(lambda: building.slots)).tolist())
        lacking = [key for key, slot in await self._db.far(_lacking(wanted)) if slot not in there]
        for at in range(0, len(lacking), _BATCH):
            segments = await self._db.far(_vectors(wanted, lacking[at : at + _BATCH]))
            await asyncio.to_thread(_add, building, segments, wanted.dimension)
            if self._stopped:
                return
        saved = await asyncio.to_thread(building.save, f"index-{wanted.store}")
        await self._keep(wanted, saved)

    async def _keep(self, wanted: Wanted, saved: Saved) -> None:
        """Use the new file, and delete the old one."""
        store = (wanted.project_id, wanted.store)
        last = await self._db.submit(lambda db: graphs.record(db, store, saved))
        if last != saved and not await self._adopted(wanted, saved):
            raise StoreError("What was written cannot be read.")
        if last is not None:
            await asyncio.to_thread((self._folder / last.file).unlink, missing_ok=True)


def _lacking(wanted: Wanted) -> Callable[[sqlite3.Connection], list[tuple[int, int]]]:
    return lambda db: db.execute(_LACKING, (wanted.project_id, wanted.store)).fetchall()


def _vectors(wanted: Wanted, keys: Sequence[int]) -> Callable[[sqlite3.Connection], list[tuple[int, int, bytes]]]:
    listed = msgspec.json.encode(keys).decode()
    return lambda db: db.execute(_VECTORS, (listed, wanted.project_id)).fetchall()


def _add(building: Building, segments: Sequence[tuple[int, int, bytes]], dimension: int) -> None:
    if segments:
        slots = np.concatenate([np.arange(slot, slot + count, dtype=np.int32) for slot, count, _ in segments])
        halves = np.frombuffer(b"".join(body for _, _, body in segments), "<f2").reshape(-1, dimension)
        building.add(slots, halves)


def swept(db: sqlite3.Connection, folder: Path) -> None:
    """Delete the files of graphs that no row names, unless they are young: those may be just being made."""
    named = {file for (file,) in db.execute("SELECT file FROM graph")}
    for path in folder.glob(f"index-*{SUFFIX}"):
        if path.name not in named and time.time() - path.stat().st_mtime > _AGAIN:
            path.unlink(missing_ok=True)
