"""The SQLite schema as an append-only list of numbered steps; the number of the last one is `PRAGMA user_version`.

Law: a step that was released is never edited; a change is a new step. Columns: `id` is what clients see, `key` is the
row's integer; every `*_id` column holds the integer of the row it points to. `project_id` is in every table and first
in every index (law 8).
"""

from __future__ import annotations

import sqlite3
from typing import Final

from antiphon.wire.errors import StoreError

_FRAME: Final = (
    # `deletions` counts deleted responses, so that a process notices what another one deleted
    """CREATE TABLE project (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        settings TEXT NOT NULL DEFAULT '{}',
        deletions INTEGER NOT NULL DEFAULT 0
    )""",
    # a link to a deleted response stays broken: a new key is the highest + 1, and whoever holds the link is newer,
    # with a higher key, than what it points to. `previous_response_id` is NULL at the start of a chain and 0 when the
    # parent was gone already; `body` is the packed response without its output
    """CREATE TABLE response (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        model TEXT NOT NULL,
        previous_response_id INTEGER,
        conversation_id INTEGER,
        background INTEGER NOT NULL DEFAULT 0,
        body TEXT NOT NULL,
        lease_owner TEXT,
        lease_until REAL,
        fence INTEGER NOT NULL DEFAULT 0,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        expires_at INTEGER
    )""",
    "CREATE UNIQUE INDEX response_by_id ON response (project_id, id)",
    # `uses` counts the rows of response_item and conversation_item that refer to the item: at 0 it is deleted (an index
    # for the same question would cost every response a page). `exchange`: what a server-side tool call asked and told
    # the model, where the item does not show it
    """CREATE TABLE item (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        status TEXT,
        created_at INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        body TEXT NOT NULL,
        exchange TEXT
    )""",
    "CREATE UNIQUE INDEX item_by_id ON item (project_id, id)",
    # `side`: 0 input, 1 output
    """CREATE TABLE response_item (
        project_id INTEGER NOT NULL,
        response_id INTEGER NOT NULL,
        side INTEGER NOT NULL,
        position INTEGER NOT NULL,
        item_id INTEGER NOT NULL,
        PRIMARY KEY (project_id, response_id, side, position)
    ) WITHOUT ROWID""",
    # AUTOINCREMENT: responses may keep the key of a conversation that is gone. `version` grows with every change of the
    # items, so that a process notices what another one changed
    """CREATE TABLE conversation (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        metadata TEXT NOT NULL DEFAULT '{}',
        next_position INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0,
        lock_owner TEXT,
        lock_until REAL
    )""",
    "CREATE UNIQUE INDEX conversation_by_id ON conversation (project_id, id)",
    """CREATE TABLE conversation_item (
        project_id INTEGER NOT NULL,
        conversation_id INTEGER NOT NULL,
        position INTEGER NOT NULL,
        item_id INTEGER NOT NULL,
        PRIMARY KEY (project_id, conversation_id, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX conversation_item_by_item ON conversation_item (project_id, item_id)",
    "INSERT INTO project (name, created_at) VALUES ('default', CAST(strftime('%s', 'now') AS INTEGER))",
)

_WIRE: Final = (
    # lists of responses; a sweep of what has expired
    "CREATE INDEX response_by_project ON response (project_id)",
    "CREATE INDEX response_by_expiry ON response (project_id, expires_at) WHERE expires_at IS NOT NULL",
    # a background response until it is terminal; `owner` is NULL while it waits, `last` the number of its last event.
    # The lease is kept here and not in `response`, whose columns for it stay empty (older SQLite cannot drop them)
    """CREATE TABLE run (
        response_id INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        owner TEXT,
        until REAL NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        recoveries INTEGER NOT NULL DEFAULT 0,
        cancel INTEGER NOT NULL DEFAULT 0,
        streamed INTEGER NOT NULL,
        last INTEGER NOT NULL DEFAULT -1,
        state BLOB
    )""",
    # apart from the run, whose row every checkpoint writes anew
    """CREATE TABLE run_request (
        response_id INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        body BLOB NOT NULL
    )""",
    # stays until the response is deleted; `events` is zstd
    """CREATE TABLE journal (
        project_id INTEGER NOT NULL,
        response_id INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        events BLOB NOT NULL,
        PRIMARY KEY (project_id, response_id, first)
    ) WITHOUT ROWID""",
    # `default_version` is NULL where none was set: then it is the newest
    """CREATE TABLE prompt (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        default_version INTEGER
    )""",
    "CREATE UNIQUE INDEX prompt_by_id ON prompt (project_id, id)",
    "CREATE INDEX prompt_by_project ON prompt (project_id)",
    """CREATE TABLE prompt_version (
        project_id INTEGER NOT NULL,
        prompt_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (project_id, prompt_id, version)
    ) WITHOUT ROWID""",
    # `body` and `messages` are zstd
    """CREATE TABLE chat_completion (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        created INTEGER NOT NULL,
        model TEXT NOT NULL,
        metadata TEXT NOT NULL,
        expires_at REAL,
        body BLOB NOT NULL,
        messages BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX chat_completion_by_id ON chat_completion (project_id, id)",
    "CREATE INDEX chat_completion_by_project ON chat_completion (project_id)",
    """CREATE INDEX chat_completion_by_expiry ON chat_completion (project_id, expires_at)
    WHERE expires_at IS NOT NULL""",
    # `status` is 0 until there is an answer; `key` is what the client sends
    """CREATE TABLE idempotency (
        project_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        digest BLOB NOT NULL,
        until REAL NOT NULL,
        status INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (project_id, key)
    )""",
    "CREATE INDEX idempotency_by_expiry ON idempotency (project_id, until)",
)

STEPS: Final[tuple[tuple[str, ...], ...]] = (_FRAME, _WIRE)


def migrate(db: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring the database to the last step, in one transaction; StoreError when a newer version wrote it. Safe while
    other processes do the same."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(steps):
            raise StoreError(
                f"The database was written by a newer version of Antiphon (its schema is {version}, this version knows"
                f" {len(steps)})."
            )
        for statement in (statement for step in steps[version:] for statement in step):
            db.execute(statement)
        if version < len(steps):
            db.execute(f"PRAGMA user_version = {len(steps)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
