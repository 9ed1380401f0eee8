"""The stores that are in memory: loaded when they are searched, let go when there are too many bytes of others."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from antiphon.adapters.indexing.graph import Graph
from antiphon.adapters.indexing.reading import matches
from antiphon.adapters.indexing.shelf import Found, Question, Shelf, Version, Wanted
from antiphon.adapters.indexing.writes import unit
from antiphon.core.terms import asked
from antiphon.ports.index import DimensionError, Lookup, Match

_Name: TypeAlias = tuple[int, str]


_SEAT: Final = 16 * 1024
"""Bytes that the smallest store takes in memory."""


class _Seat:
    """Where a store is searched, by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shelf: Shelf | None = None
        self.bytes = 0
        """As it was counted last."""


class Shelves:
    """Searches stores. Its methods are called in threads."""

    def __init__(self, folder: Path, most_bytes: int, many: int) -> None:
        """`folder` is where graphs are. `most_bytes`: what all stores together may take; the one that is searched stays
        whatever it takes. `many`: vectors of a store that are too many to compare one by one."""
        self._folder = folder
        self._most = most_bytes
        self._many = many
        self._lock = threading.Lock()
        self._seats: OrderedDict[_Name, _Seat] = OrderedDict()
        self._bytes = 0
        self._wanted: dict[int, Wanted] = {}
        """By store."""

    @property
    def bytes(self) -> int:
        """Memory that the stores take."""
        return self._bytes

    @property
    def graphs(self) -> int:
        """How many of the stores are searched through a graph."""
        with self._lock:
            return sum(seat.shelf is not None and seat.shelf.graphed for seat in self._seats.values())

    def search(self, db: sqlite3.Connection, project_id: int, store_id: str, lookup: Lookup) -> Sequence[Match]:
        """Search one store; `db` has not begun to read."""
        name = (project_id, store_id)
        seat = self._seat(name)
        with seat.lock:  # first: what is read afterwards is no older than what the last search left in memory
            now = _version(db, project_id, store_id)
            try:
                found = self._search(db, project_id, now, seat, lookup) if now is not None else []
            finally:
                self._settle(name, seat, known=now is not None)
        return matches(db, (project_id, now.key), found) if now is not None else []

    def _search(
        self, db: sqlite3.Connection, project_id: int, now: Version, seat: _Seat, lookup: Lookup
    ) -> list[Found]:
        given = lookup.vector if lookup.mode != "keyword" else None
        if given is not None and now.dimension is not None and given.dimension != now.dimension:
            raise DimensionError(given.dimension, now.dimension)
        if seat.shelf is None or seat.shelf.store != now.key:
            seat.shelf = Shelf(project_id, now.key, self._folder)
        try:
            seat.shelf.follow(db, now)
        except BaseException:  # half a store must not be searched
            seat.shelf = None
            raise
        vector = unit(np.frombuffer(given.packed, "<f4")[None, :])[0] if given is not None else None
        words = asked(lookup.text) if lookup.mode != "vector" else ()
        question = Question(vector=vector, words=words, limit=lookup.limit, filter=lookup.filter)
        return seat.shelf.search(db, question)

    def wanted(self) -> Wanted | None:
        """A graph that some store should have; told once for each search of it."""
        with self._lock:
            return self._wanted.popitem()[1] if self._wanted else None

    def adopt(self, store: Wanted, graph: Graph) -> None:
        """Search this store through this graph from now on."""
        with self._lock:
            seats = list(self._seats.items())
        for name, seat in seats:
            with seat.lock:
                if seat.shelf is not None and seat.shelf.store == store.store:
                    if not seat.shelf.adopt(graph):
                        seat.shelf = None  # the next search reads the store anew, with what the graph lacks
                    self._settle(name, seat, known=True)

    def _seat(self, name: _Name) -> _Seat:
        with self._lock:
            seat = self._seats.setdefault(name, _Seat())
            self._seats.move_to_end(name)
            return seat

    def _settle(self, name: _Name, seat: _Seat, *, known: bool) -> None:
        """Count what the store takes now, and let others go if that is too much. Its lock is held."""
        taken = _SEAT + seat.shelf.bytes if seat.shelf is not None else _SEAT
        wanted = seat.shelf.wants(self._many) if seat.shelf is not None and known else None
        with self._lock:
            if seat.shelf is not None:
                self._wanted.pop(seat.shelf.store, None)
            if self._seats.get(name) is not seat:
                return  # it was let go meanwhile
            if wanted is not None:
                self._wanted[wanted.store] = wanted
            self._bytes += taken - seat.bytes
            seat.bytes = taken
            if not known:
                self._bytes -= self._seats.pop(name).bytes
            while self._bytes > self._most and len(self._seats) > 1:
                self._bytes -= self._seats.popitem(last=False)[1].bytes


def _version(db: sqlite3.Connection, project_id: int, store_id: str) -> Version | None:
    found = db.execute(
        "SELECT key, dimension, version, removed FROM store WHERE project_id = ? AND id = ?", (project_id, store_id)
    ).fetchone()
    return Version(*found) if found is not None else None
