"""The graph (HNSW) of a large store: a file beside the database that is mapped into memory and never changed.

Law: it is a shortcut and no more. What it lacks is compared one by one, what it has too much is passed over, and a file
that is not as its row in the database says is ignored, and made anew.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import sqlite3
import zlib
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from antiphon.adapters.indexing.arrays import Booleans, Floats, Halves, Integers

SUFFIX: Final = ".graph"
_NEIGHBOURS: Final = 16
_ADDING: Final = 128
"""Candidates that are looked at for each vector that is added."""
SEARCHING: Final = 128
"""Candidates that are looked at in a search, at least."""
_PIECE: Final = 4 * 1024 * 1024
_THREADS: Final = max(1, (os.cpu_count() or 1) // 2)
"""Threads that build, so that searches have the other half."""


class Saved(msgspec.Struct, frozen=True):
    """A graph's file, by its name in the folder, as its row describes it."""

    file: str
    size: int
    checksum: int


def recorded(db: sqlite3.Connection, store: tuple[int, int]) -> Saved | None:
    """The graph of the store."""
    found = db.execute("SELECT file, size, checksum FROM graph WHERE project_id = ? AND store_id = ?", store).fetchone()
    return Saved(*found) if found is not None else None


def record(db: sqlite3.Connection, store: tuple[int, int], saved: Saved) -> Saved | None:
    """Let this be the graph of the store; what is not any more: the last one, or this one when the store is gone."""
    last = recorded(db, store)
    changed = db.execute(
        "INSERT INTO graph (project_id, store_id, file, size, checksum)"
        " SELECT ?, ?, ?, ?, ? FROM store WHERE project_id = ? AND key = ?"
        " ON CONFLICT DO UPDATE SET file = excluded.file, size = excluded.size, checksum = excluded.checksum",
        (*store, saved.file, saved.size, saved.checksum, *store),
    )
    return last if changed.rowcount > 0 else saved


class _Matches(Protocol):
    keys: NDArray[np.uint64]
    distances: Floats


class _Index(Protocol):
    """What is used of `usearch.index.Index`, which has no types of its own."""

    keys: object
    expansion_search: int
    ndim: int
    serialized_length: int

    def __len__(self) -> int: ...
    def add(self, keys: NDArray[np.uint64], vectors: Halves, *, threads: int) -> object: ...
    def search(self, vectors: Halves, count: int) -> _Matches: ...
    def save(self, path_or_buffer: str) -> object: ...
    def load(self, path_or_buffer: str) -> object: ...
    def view(self, path_or_buffer: str) -> object: ...


def _index(dimension: int) -> _Index:
    with contextlib.suppress(ImportError):
        importlib.import_module("onnxruntime")  # imported after usearch, it ends the process (both bring an OpenMP)
    made = importlib.import_module("usearch.index").Index(
        ndim=dimension, metric="ip", dtype="f16", connectivity=_NEIGHBOURS, expansion_add=_ADDING
    )
    return cast("_Index", made)


class Graph:
    """A graph that is searched. Not for two threads at once."""

    def __init__(self, index: _Index, saved: Saved) -> None:
        self._index = index
        self.saved = saved
        self.slots: Integers = np.sort(np.asarray(index.keys).astype(np.int32))
        """What it has, ascending."""

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def bytes(self) -> int:
        """Memory that it takes: the file is mapped."""
        return self.saved.size + self.slots.nbytes

    def has(self, slots: Integers) -> Booleans:
        """Which of these slots it has."""
        at = np.searchsorted(self.slots, slots)
        return self.slots[np.minimum(at, len(self.slots) - 1)] == slots if len(self.slots) else np.zeros(0, np.bool_)

    def nearest(self, vector: Floats, count: int) -> tuple[Integers, Floats]:
        """Slots near the vector, and their cosines."""
        self._index.expansion_search = max(SEARCHING, count)
        found = self._index.search(vector.astype(np.float16), min(count, len(self)))
        return found.keys.astype(np.int32), np.clip(1 - found.distances, -1, 1)


def opened(folder: Path, saved: Saved, dimension: int) -> Graph | None:
    """The graph in this file; None when it is not there or not what was saved."""
    path = folder / saved.file
    if _read(path) != (saved.size, saved.checksum):
        return None
    index = _index(dimension)
    try:
        index.view(str(path))
    except (RuntimeError, ValueError):
        return None
    return Graph(index, saved) if index.ndim == dimension and len(index) else None


def _read(path: Path) -> tuple[int, int] | None:
    """Size and checksum of a file."""
    size, checksum = 0, 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                size += len(piece)
                checksum = zlib.crc32(piece, checksum)
    except OSError:
        return None
    return size, checksum


class Building:
    """A graph that grows, in memory, until it is saved."""

    def __init__(self, folder: Path, dimension: int, begun: Saved | None) -> None:
        """`begun`: what it goes on from, if that is still there."""
        self._folder = folder
        self._index = _index(dimension)
        if begun is not None and _read(folder / begun.file) == (begun.size, begun.checksum):
            self._index.load(str(folder / begun.file))

    @property
    def slots(self) -> Integers:
        """What it has."""
        return np.asarray(self._index.keys).astype(np.int32)

    def add(self, slots: Integers, vectors: Halves) -> None:
        """Add vectors of length 1; a millisecond each, or less."""
        self._index.add(slots.astype(np.uint64), vectors, threads=_THREADS)

    def save(self, stem: str) -> Saved:
        """Write it into a new file whose name begins with `stem`. Raises OSError."""
        path = self._folder / f"{stem}-{secrets.token_hex(8)}{SUFFIX}"
        try:
            path.touch(mode=0o600)
            self._index.save(str(path))
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            size, checksum = _read(path) or (0, 0)
            if size != self._index.serialized_length:
                raise OSError("a part of it is missing")
        except (OSError, RuntimeError) as error:
            path.unlink(missing_ok=True)
            raise OSError(f"The graph cannot be written: {error}") from error
        return Saved(path.name, size, checksum)
