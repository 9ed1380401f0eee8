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

_RETRIEVAL: Final = (
    # `body` is the File; its bytes are a blob of the name `id`
    """CREATE TABLE file (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        purpose TEXT NOT NULL,
        expires_at INTEGER,
        media TEXT NOT NULL,
        body TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX file_by_id ON file (project_id, id)",
    "CREATE INDEX file_by_project ON file (project_id)",
    "CREATE INDEX file_by_purpose ON file (project_id, purpose)",
    "CREATE INDEX file_by_expiry ON file (project_id, expires_at) WHERE expires_at IS NOT NULL",
    # `body` is the Upload as it was left, `seconds` the lifetime of the file that it becomes
    """CREATE TABLE upload (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        status TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        media TEXT NOT NULL,
        seconds INTEGER,
        body TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX upload_by_id ON upload (project_id, id)",
    "CREATE INDEX upload_by_status ON upload (project_id, status, expires_at)",
    """CREATE TABLE upload_part (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        upload_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    )""",
    "CREATE UNIQUE INDEX upload_part_by_id ON upload_part (project_id, id)",
    "CREATE INDEX upload_part_by_upload ON upload_part (project_id, upload_id)",
    # the counts and `usage_bytes` are kept by the triggers below, so that a store of any size is read at once; `body`
    # is the rest of it; `emptied`: expired and no longer indexed; `deleted`: for clients it is gone, its memberships
    # and batches are being deleted in parts, and then the row
    """CREATE TABLE vector_store (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        in_progress INTEGER NOT NULL DEFAULT 0,
        completed INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0,
        usage_bytes INTEGER NOT NULL DEFAULT 0,
        expires_at INTEGER,
        emptied INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0,
        body TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX vector_store_by_id ON vector_store (project_id, id)",
    "CREATE INDEX vector_store_by_project ON vector_store (project_id) WHERE deleted = 0",
    "CREATE INDEX vector_store_to_delete ON vector_store (project_id) WHERE deleted = 1",
    """CREATE INDEX vector_store_by_expiry ON vector_store (project_id, expires_at)
    WHERE expires_at IS NOT NULL AND emptied = 0 AND deleted = 0""",
    # a row for each document, which is what the index knows the file by; `strategy` and `last_error` are JSON. The
    # lease is as that of a run: `owner` is NULL while the document waits
    """CREATE TABLE vector_store_file (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        file_id INTEGER NOT NULL,
        document TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        usage_bytes INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        until REAL NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        recoveries INTEGER NOT NULL DEFAULT 0,
        attributes TEXT NOT NULL,
        strategy TEXT NOT NULL,
        last_error TEXT
    )""",
    "CREATE UNIQUE INDEX vector_store_file_by_file ON vector_store_file (project_id, file_id, store_id)",
    "CREATE UNIQUE INDEX vector_store_file_by_document ON vector_store_file (project_id, document)",
    "CREATE INDEX vector_store_file_by_store ON vector_store_file (project_id, store_id)",
    "CREATE INDEX vector_store_file_by_status ON vector_store_file (project_id, store_id, status)",
    # what can be claimed, and what is; both hold only what has not ended
    """CREATE INDEX vector_store_file_waiting ON vector_store_file (project_id)
    WHERE status = 'in_progress' AND owner IS NULL""",
    """CREATE INDEX vector_store_file_leased ON vector_store_file (project_id, until, document)
    WHERE status = 'in_progress' AND owner IS NOT NULL""",
    """CREATE TABLE file_batch (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        cancelled INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX file_batch_by_id ON file_batch (project_id, id)",
    "CREATE INDEX file_batch_by_store ON file_batch (project_id, store_id)",
    # `member_id` is the key of a vector_store_file
    """CREATE TABLE file_batch_member (
        project_id INTEGER NOT NULL,
        batch_id INTEGER NOT NULL,
        member_id INTEGER NOT NULL,
        PRIMARY KEY (project_id, batch_id, member_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX file_batch_member_by_member ON file_batch_member (project_id, member_id)",
    """CREATE TRIGGER vector_store_file_added AFTER INSERT ON vector_store_file BEGIN
        UPDATE vector_store SET
            in_progress = in_progress + (NEW.status = 'in_progress'),
            completed = completed + (NEW.status = 'completed'),
            failed = failed + (NEW.status = 'failed'),
            cancelled = cancelled + (NEW.status = 'cancelled'),
            usage_bytes = usage_bytes + NEW.usage_bytes
        WHERE key = NEW.store_id;
    END""",
    """CREATE TRIGGER vector_store_file_moved AFTER UPDATE OF status, usage_bytes ON vector_store_file BEGIN
        UPDATE vector_store SET
            in_progress = in_progress + (NEW.status = 'in_progress') - (OLD.status = 'in_progress'),
            completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
            failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
            cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
            usage_bytes = usage_bytes + NEW.usage_bytes - OLD.usage_bytes
        WHERE key = NEW.store_id;
    END""",
    """CREATE TRIGGER vector_store_file_gone AFTER DELETE ON vector_store_file BEGIN
        UPDATE vector_store SET
            in_progress = in_progress - (OLD.status = 'in_progress'),
            completed = completed - (OLD.status = 'completed'),
            failed = failed - (OLD.status = 'failed'),
            cancelled = cancelled - (OLD.status = 'cancelled'),
            usage_bytes = usage_bytes - OLD.usage_bytes
        WHERE key = OLD.store_id;
        DELETE FROM file_batch_member WHERE project_id = OLD.project_id AND member_id = OLD.key;
    END""",
)

STEPS: Final[tuple[tuple[str, ...], ...]] = (_FRAME, _WIRE, _RETRIEVAL)


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
