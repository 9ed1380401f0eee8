"""What is changed in the SQLite database. Functions of a connection, run by the writer inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence

import msgspec

from antiphon.adapters.sql import reads
from antiphon.adapters.sql.contexts import Stamp
from antiphon.adapters.sql.rows import Row, entry, renamed, same
from antiphon.core.effects import Entry
from antiphon.wire.codec import encode
from antiphon.wire.conversations import Conversation
from antiphon.wire.responses import Response


class Save(msgspec.Struct, frozen=True):
    """A terminal response, encoded: its packed `body`, and rows for what its turn added."""

    response: Response
    body: str
    input: tuple[Row, ...]
    output: tuple[Row, ...]
    conversation_id: str | None
    append: bool


class Appended(msgspec.Struct, frozen=True):
    """What an append left: the entries as stored, and the state of the conversation after it."""

    stamp: Stamp
    entries: tuple[Entry, ...]


class Saved(msgspec.Struct, frozen=True):
    """What a save left: the entries as stored, input first; the project's deletions as of it; `linked` when the
    response before it was there; the append, if there was one."""

    entries: tuple[Entry, ...]
    deletions: int
    linked: bool
    appended: Appended | None


class Writes:
    """Changes of one project, at the time `now` (epoch seconds). `new_id` makes ids for items whose id is taken."""

    def __init__(self, project_id: int, now: float, new_id: Callable[[str], str]) -> None:
        self._project = project_id
        self._now = now
        self._new_id = new_id

    # responses

    def save(self, save: Save) -> Callable[[sqlite3.Connection], Saved]:
        """Store the response; append its entries to its conversation, if that still exists, and unlock that."""
        return lambda db: self._save(db, save)

    def _save(self, db: sqlite3.Connection, save: Save) -> Saved:
        response = save.response
        conversation = None if save.conversation_id is None else reads.stamp(db, self._project, save.conversation_id)
        deletions, previous = self._previous(db, response.previous_response_id)
        key = db.execute(
            """INSERT INTO response (project_id, id, created_at, status, model, previous_response_id, conversation_id,
            background, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                self._project,
                response.id,
                response.created_at,
                response.status,
                response.model,
                previous,
                None if conversation is None else conversation.key,
                response.background,
                save.body,
            ),
        ).lastrowid
        appended_to = conversation if save.append else None
        placed = self._place(db, (*save.input, *save.output), appended_to, uses=1 if appended_to is None else 2)
        inputs = len(save.input)
        db.executemany(
            "INSERT INTO response_item (project_id, response_id, side, position, item_id) VALUES (?, ?, ?, ?, ?)",
            [(self._project, key, int(at >= inputs), at, item) for at, (item, _) in enumerate(placed)],
        )
        appended = None if appended_to is None else self._attach(db, appended_to.key, placed)
        if conversation is not None:
            db.execute(
                "UPDATE conversation SET lock_owner = NULL, lock_until = NULL WHERE key = ?", (conversation.key,)
            )
        return Saved(tuple([stored for _, stored in placed]), deletions, previous != 0, appended)

    def _previous(self, db: sqlite3.Connection, response_id: str | None) -> tuple[int, int | None]:
        """The project's deletions, and the link to the response before: None at a chain's start, 0 when it is gone."""
        if response_id is None:
            return reads.deletions(db, self._project), None
        deletions, key = db.execute(
            """SELECT deletions, (SELECT key FROM response WHERE project_id = project.id AND id = ?)
            FROM project WHERE id = ?""",
            (response_id, self._project),
        ).fetchone()
        return deletions, key or 0

    def delete_response(self, response_id: str) -> Callable[[sqlite3.Connection], int | None]:
        """Delete the response; the project's deletions after it, None when there is none."""

        def run(db: sqlite3.Connection) -> int | None:
            row = db.execute(
                "SELECT key FROM response WHERE project_id = ? AND id = ?", (self._project, response_id)
            ).fetchone()
            if row is None:
                return None
            held = db.execute(
                "SELECT item_id FROM response_item WHERE project_id = ? AND response_id = ?", (self._project, row[0])
            ).fetchall()
            db.execute("DELETE FROM response_item WHERE project_id = ? AND response_id = ?", (self._project, row[0]))
            db.execute("DELETE FROM response WHERE key = ?", row)
            db.execute("UPDATE project SET deletions = deletions + 1 WHERE id = ?", (self._project,))
            self._release(db, held)
            return reads.deletions(db, self._project)

        return run

    # conversations

    def create_conversation(
        self, conversation: Conversation, rows: Sequence[Row]
    ) -> Callable[[sqlite3.Connection], None]:
        """Store the conversation with its first items."""

        def run(db: sqlite3.Connection) -> None:
            key = db.execute(
                "INSERT INTO conversation (project_id, id, created_at, metadata) VALUES (?, ?, ?, ?)",
                (self._project, conversation.id, conversation.created_at, encode(conversation.metadata).decode()),
            ).lastrowid
            if rows and key is not None:
                self._attach(db, key, self._place(db, rows, None))

        return run

    def update_conversation(
        self, conversation_id: str, metadata: dict[str, str]
    ) -> Callable[[sqlite3.Connection], Conversation | None]:
        """Replace the metadata."""

        def run(db: sqlite3.Connection) -> Conversation | None:
            db.execute(
                "UPDATE conversation SET metadata = ? WHERE project_id = ? AND id = ?",
                (encode(metadata).decode(), self._project, conversation_id),
            )
            return reads.conversation(db, self._project, conversation_id)

        return run

    def delete_conversation(self, conversation_id: str) -> Callable[[sqlite3.Connection], bool]:
        """Delete the conversation and its memberships."""

        def run(db: sqlite3.Connection) -> bool:
            found = reads.stamp(db, self._project, conversation_id)
            if found is None:
                return False
            where = (self._project, found.key)
            held = db.execute(
                "SELECT item_id FROM conversation_item WHERE project_id = ? AND conversation_id = ?", where
            ).fetchall()
            db.execute("DELETE FROM conversation_item WHERE project_id = ? AND conversation_id = ?", where)
            db.execute("DELETE FROM conversation WHERE key = ?", (found.key,))
            self._release(db, held)
            return True

        return run

    def append_items(
        self, conversation_id: str, rows: Sequence[Row]
    ) -> Callable[[sqlite3.Connection], Appended | None]:
        """Append to the conversation."""

        def run(db: sqlite3.Connection) -> Appended | None:
            found = reads.stamp(db, self._project, conversation_id)
            return None if found is None else self._attach(db, found.key, self._place(db, rows, found))

        return run

    def delete_conversation_item(
        self, conversation_id: str, item_id: str
    ) -> Callable[[sqlite3.Connection], Conversation | None]:
        """Take the item out of the conversation."""

        def run(db: sqlite3.Connection) -> Conversation | None:
            found = reads.stamp(db, self._project, conversation_id)
            item = db.execute(
                "SELECT key FROM item WHERE project_id = ? AND id = ?", (self._project, item_id)
            ).fetchone()
            if found is None or item is None:
                return None
            gone = db.execute(
                "DELETE FROM conversation_item WHERE project_id = ? AND item_id = ? AND conversation_id = ?",
                (self._project, item[0], found.key),
            ).rowcount
            if not gone:
                return None
            db.execute("UPDATE conversation SET version = version + 1 WHERE key = ?", (found.key,))
            self._release(db, [item] * gone)
            return reads.conversation(db, self._project, conversation_id)

        return run

    def lock_conversation(
        self, conversation_id: str, owner: str, until: float
    ) -> Callable[[sqlite3.Connection], bool | None]:
        """Take the lock, or release it when `until` <= 0; False when another owner holds it."""

        def run(db: sqlite3.Connection) -> bool | None:
            row = db.execute(
                "SELECT key, lock_owner, lock_until FROM conversation WHERE project_id = ? AND id = ?",
                (self._project, conversation_id),
            ).fetchone()
            if row is None:
                return None
            key, holder, held_until = row
            if holder not in {None, owner} and held_until > self._now:
                return False
            locked = (owner, until) if until > 0 else (None, None)
            db.execute("UPDATE conversation SET lock_owner = ?, lock_until = ? WHERE key = ?", (*locked, key))
            return True

        return run

    # items

    def _place(
        self, db: sqlite3.Connection, rows: Iterable[Row], conversation: Stamp | None, *, uses: int = 1
    ) -> list[tuple[int, Entry]]:
        """Store the items, or find them stored: their keys and entries as stored. An id stands for one item in a list,
        so an item that comes again in `rows`, or is in the conversation already, gets a fresh id. `uses`: how many
        lists each is about to join."""
        placed: dict[int, Entry] = {}
        for row in rows:
            key = self._insert(db, row, uses)
            if key is not None:
                placed[key] = row.entry
                continue
            key, body, exchange = db.execute(
                "SELECT key, body, exchange FROM item WHERE project_id = ? AND id = ?", (self._project, row.id)
            ).fetchone()
            taken = key in placed or (conversation is not None and self._member(db, conversation.key, key))
            if same(body, row.body) and not taken:
                db.execute("UPDATE item SET uses = uses + ? WHERE key = ?", (uses, key))
                placed[key] = entry(body, exchange)
                continue
            fresh = renamed(row, self._new_id)
            key = self._insert(db, fresh, uses)
            assert key is not None, "a clock gave the same id twice"
            placed[key] = fresh.entry
        return list(placed.items())

    def _insert(self, db: sqlite3.Connection, row: Row, uses: int) -> int | None:
        """The key of the new item; None when the id is taken."""
        cursor = db.execute(
            """INSERT INTO item (project_id, id, type, status, created_at, uses, body, exchange)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project_id, id) DO NOTHING""",
            (self._project, row.id, row.type, row.status, int(self._now), uses, row.body, row.exchange),
        )
        return cursor.lastrowid if cursor.rowcount == 1 else None

    def _member(self, db: sqlite3.Connection, conversation: int, item: int) -> bool:
        found = db.execute(
            "SELECT 1 FROM conversation_item WHERE project_id = ? AND item_id = ? AND conversation_id = ?",
            (self._project, item, conversation),
        ).fetchone()
        return found is not None

    def _attach(self, db: sqlite3.Connection, conversation: int, placed: Sequence[tuple[int, Entry]]) -> Appended:
        """Make the items the conversation's last ones."""
        first, version = db.execute(
            "SELECT next_position, version FROM conversation WHERE key = ?", (conversation,)
        ).fetchone()
        db.executemany(
            "INSERT INTO conversation_item (project_id, conversation_id, position, item_id) VALUES (?, ?, ?, ?)",
            [(self._project, conversation, first + at, item) for at, (item, _) in enumerate(placed)],
        )
        db.execute(
            "UPDATE conversation SET next_position = ?, version = ? WHERE key = ?",
            (first + len(placed), version + 1, conversation),
        )
        return Appended(Stamp(conversation, version + 1), tuple([stored for _, stored in placed]))

    def _release(self, db: sqlite3.Connection, items: Sequence[Sequence[int]]) -> None:
        """Take away one use of each item; what nothing refers to is deleted. Rows of an item's key."""
        db.executemany("UPDATE item SET uses = uses - 1 WHERE key = ?", items)
        db.executemany("DELETE FROM item WHERE key = ? AND uses <= 0", items)


def add_project(db: sqlite3.Connection, name: str, now: float) -> int:
    """The project's integer; the project is made when there is none."""
    db.execute("INSERT INTO project (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, int(now)))
    found = reads.project(db, name)
    assert found is not None
    return found
