"""Items as rows: stored once, counted by the lists that refer to them, deleted with the last one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from antiphon.adapters.sql.contexts import Stamp
from antiphon.adapters.sql.rows import Row, entry, renamed, same, stored
from antiphon.core.effects import Entry


class Appended(msgspec.Struct, frozen=True):
    """What an append left: the entries as stored, and the state of the conversation after it."""

    stamp: Stamp
    entries: tuple[Entry, ...]


Placed = Sequence[tuple[int, Entry]]
"""Keys of items, and their entries as stored."""


class Items:
    """The items of one project at the time `now` (epoch seconds). `new_id` makes ids for items whose id is taken."""

    def __init__(self, project_id: int, now: float, new_id: Callable[[str], str]) -> None:
        self.project = project_id
        self.now = now
        self.new_id = new_id

    def place(
        self, db: sqlite3.Connection, rows: Iterable[Row], conversation: Stamp | None = None, *, uses: int = 1
    ) -> list[tuple[int, Entry]]:
        """Store the items, or find them stored. An id stands for one item in a list, so an item that comes again in
        `rows`, or is in the conversation already, gets a fresh id. `uses`: how many lists each is about to join."""
        placed: dict[int, Entry] = {}
        for row in rows:
            key = self._insert(db, row, uses)
            if key is not None:
                placed[key] = row.entry
                continue
            key, body, exchange = db.execute(
                "SELECT key, body, exchange FROM item WHERE project_id = ? AND id = ?", (self.project, row.id)
            ).fetchone()
            taken = key in placed or (conversation is not None and self._member(db, conversation.key, key))
            if same(body, row.body) and not taken:
                db.execute("UPDATE item SET uses = uses + ? WHERE key = ?", (uses, key))
                placed[key] = entry(body, exchange)
                continue
            key, fresh = self._anew(db, row, uses)
            placed[key] = fresh
        return list(placed.items())

    def join(self, db: sqlite3.Connection, keys: Iterable[int], conversation: Stamp) -> Appended:
        """Append stored items to the conversation; one that is in it already is appended under a fresh id."""
        placed: dict[int, Entry] = {}
        for key in keys:
            item_id, body, exchange = db.execute("SELECT id, body, exchange FROM item WHERE key = ?", (key,)).fetchone()
            found = entry(body, exchange)
            if key in placed or self._member(db, conversation.key, key):
                fresh, found = self._anew(db, stored(item_id, found, body, exchange), 1)
                placed[fresh] = found
                continue
            db.execute("UPDATE item SET uses = uses + 1 WHERE key = ?", (key,))
            placed[key] = found
        return self.attach(db, conversation.key, list(placed.items()))

    def attach(self, db: sqlite3.Connection, conversation: int, placed: Placed) -> Appended:
        """Make the items the conversation's last ones; they were placed for it."""
        first, version = db.execute(
            "SELECT next_position, version FROM conversation WHERE key = ?", (conversation,)
        ).fetchone()
        db.executemany(
            "INSERT INTO conversation_item (project_id, conversation_id, position, item_id) VALUES (?, ?, ?, ?)",
            [(self.project, conversation, first + at, item) for at, (item, _) in enumerate(placed)],
        )
        db.execute(
            "UPDATE conversation SET next_position = ?, version = ? WHERE key = ?",
            (first + len(placed), version + 1, conversation),
        )
        return Appended(Stamp(conversation, version + 1), tuple([found for _, found in placed]))

    def enlist(self, db: sqlite3.Connection, response: int, side: int, items: Mapping[int, int]) -> None:
        """Make the items, by position, the response's input (side 0) or output (1); they were placed for it."""
        db.executemany(
            "INSERT INTO response_item (project_id, response_id, side, position, item_id) VALUES (?, ?, ?, ?, ?)",
            [(self.project, response, side, position, item) for position, item in items.items()],
        )

    def release(self, db: sqlite3.Connection, items: Sequence[Sequence[int]]) -> None:
        """Take away one use of each item; what nothing refers to is deleted. Rows of an item's key."""
        db.executemany("UPDATE item SET uses = uses - 1 WHERE key = ?", items)
        db.executemany("DELETE FROM item WHERE key = ? AND uses <= 0", items)

    def _anew(self, db: sqlite3.Connection, row: Row, uses: int) -> tuple[int, Entry]:
        """Store the item under a fresh id."""
        fresh = renamed(row, self.new_id)
        key = self._insert(db, fresh, uses)
        assert key is not None, "a clock gave the same id twice"
        return key, fresh.entry

    def _insert(self, db: sqlite3.Connection, row: Row, uses: int) -> int | None:
        """The key of the new item; None when the id is taken."""
        cursor = db.execute(
            """INSERT INTO item (project_id, id, type, status, created_at, uses, body, exchange)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, id) DO NOTHING""",
            (self.project, row.id, row.type, row.status, int(self.now), uses, row.body, row.exchange),
        )
        return cursor.lastrowid if cursor.rowcount == 1 else None

    def _member(self, db: sqlite3.Connection, conversation: int, item: int) -> bool:
        found = db.execute(
            "SELECT 1 FROM conversation_item WHERE project_id = ? AND item_id = ? AND conversation_id = ?",
            (self.project, item, conversation),
        ).fetchone()
        return found is not None
