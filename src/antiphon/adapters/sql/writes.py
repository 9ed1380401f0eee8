"""What is changed in the SQLite database. Functions of a connection, run by the writer inside its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from antiphon.adapters.sql import reads, responses
from antiphon.adapters.sql.items import Appended, Items
from antiphon.adapters.sql.rows import Row
from antiphon.core.effects import Entry
from antiphon.wire.codec import encode
from antiphon.wire.conversations import Conversation
from antiphon.wire.responses import Response

_END: Final = 2**62
"""Behind every position."""


class Save(msgspec.Struct, frozen=True):
    """A terminal response, encoded: its packed `body`, and rows for what its turn added."""

    response: Response
    body: str
    input: tuple[Row, ...]
    output: tuple[Row, ...]
    conversation_id: str | None
    append: bool
    expires_at: float | None


class Saved(msgspec.Struct, frozen=True):
    """What a save left: the entries as stored, input first; the project's deletions as of it; `linked` when the
    response before it was there; the append, if there was one."""

    entries: tuple[Entry, ...]
    deletions: int
    linked: bool
    appended: Appended | None


class Writes:
    """Changes of the project that the items belong to."""

    def __init__(self, items: Items) -> None:
        self._project = items.project
        self._now = items.now
        self._items = items

    # responses

    def save(self, save: Save) -> Callable[[sqlite3.Connection], Saved]:
        """Store the response; append its entries to its conversation, if that still exists, and unlock that."""
        return lambda db: self._save(db, save)

    def _save(self, db: sqlite3.Connection, save: Save) -> Saved:
        conversation = None if save.conversation_id is None else reads.stamp(db, self._project, save.conversation_id)
        link = responses.link(db, self._project, save.response.previous_response_id)
        at = None if conversation is None else conversation.key
        record = responses.Record(save.response, save.body, link.previous, at, save.expires_at)
        key = responses.insert(db, self._project, record)
        appended_to = conversation if save.append else None
        placed = self._items.place(db, (*save.input, *save.output), appended_to, uses=1 if appended_to is None else 2)
        inputs = len(save.input)
        self._items.enlist(db, key, 0, {place: item for place, (item, _) in enumerate(placed[:inputs])})
        self._items.enlist(db, key, 1, {place: item for place, (item, _) in enumerate(placed[inputs:])})
        appended = None if appended_to is None else self._items.attach(db, appended_to.key, placed)
        if conversation is not None:
            responses.unlock(db, conversation.key)
        return Saved(tuple([stored for _, stored in placed]), link.deletions, link.previous != 0, appended)

    def delete_response(self, response_id: str) -> Callable[[sqlite3.Connection], int | None]:
        """Delete the response; the project's deletions after it, None when there is none."""

        def run(db: sqlite3.Connection) -> int | None:
            row = db.execute(
                "SELECT key FROM response WHERE project_id = ? AND id = ?", (self._project, response_id)
            ).fetchone()
            if row is None:
                return None
            responses.drop(db, self._items, row[0])
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
                self._items.attach(db, key, self._items.place(db, rows, None))

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
            self._items.release(db, held)
            return True

        return run

    def fork_conversation(
        self, source_id: str, fork: Conversation, last_item: str | None
    ) -> Callable[[sqlite3.Connection], Conversation | None]:
        """Store `fork`, with the items of the source up to the last one."""

        def run(db: sqlite3.Connection) -> Conversation | None:
            source = reads.stamp(db, self._project, source_id)
            if source is None:
                return None
            last = _END if last_item is None else reads.place(db, self._project, source.key, last_item)
            if last is None:
                return None
            key = db.execute(
                """INSERT INTO conversation (project_id, id, created_at, metadata, next_position, version)
                SELECT ?, ?, ?, ?, min(next_position, ? + 1), 1 FROM conversation WHERE key = ?""",
                (
                    self._project,
                    fork.id,
                    fork.created_at,
                    encode(fork.metadata).decode(),
                    last,
                    source.key,
                ),
            ).lastrowid
            db.execute(
                """INSERT INTO conversation_item (project_id, conversation_id, position, item_id)
                SELECT project_id, ?, position, item_id FROM conversation_item
                WHERE project_id = ? AND conversation_id = ? AND position <= ?""",
                (key, self._project, source.key, last),
            )
            db.execute(
                """UPDATE item SET uses = uses + 1 WHERE key IN (
                    SELECT item_id FROM conversation_item WHERE project_id = ? AND conversation_id = ?
                )""",
                (self._project, key),
            )
            return fork

        return run

    def append_items(
        self, conversation_id: str, rows: Sequence[Row]
    ) -> Callable[[sqlite3.Connection], Appended | None]:
        """Append to the conversation."""

        def run(db: sqlite3.Connection) -> Appended | None:
            found = reads.stamp(db, self._project, conversation_id)
            return None if found is None else self._items.attach(db, found.key, self._items.place(db, rows, found))

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
            self._items.release(db, [item] * gone)
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
