"""The parts of the embedded index that bring numpy, behind one import that waits until an index is used."""

from __future__ import annotations

from pathlib import Path

from antiphon.adapters.indexing import growth, removal, writes
from antiphon.adapters.indexing.shelves import Shelves
from antiphon.adapters.sql.database import Database


class Engine:
    """Commands and queries for the threads of a database; see the functions of their names."""

    prepared = staticmethod(writes.prepared)
    add = staticmethod(writes.add)
    publish = staticmethod(writes.publish)
    label = staticmethod(writes.label)
    remove = staticmethod(removal.remove)
    purge = staticmethod(removal.purge)

    swept = staticmethod(growth.swept)

    def __init__(self, db: Database, folder: Path, most_bytes: int, many: int) -> None:
        """`most_bytes` and `many`: see `Shelves`."""
        self.shelves = Shelves(folder, most_bytes, many)
        self.growth = growth.Growth(db, self.shelves, folder)
