"""The schema of `index.db`, as append-only steps (see `adapters.sql.schema`, whose laws hold here).

A chunk of a store has a *slot*, a number that is given once and never again. Sixteen chunks or fewer, of one document
and one behind the other, make a segment; their text is kept once, although they overlap. Postings are kept by parts of
2,048 slots, so that a part is complete at some time and what is added touches the newest part only.
"""

from __future__ import annotations

from typing import Final

from antiphon.adapters.sql.database import Layout

_FIRST: Final = (
    """CREATE TABLE project (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL
    )""",
    # `version` grows with every change that a search can see, `removed` is the version of the last removal: so a
    # process knows what to read again. `next` is the slot of the next chunk; `dimension` is NULL without vectors
    """CREATE TABLE store (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        project_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        dimension INTEGER,
        version INTEGER NOT NULL DEFAULT 0,
        removed INTEGER NOT NULL DEFAULT 0,
        next INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX store_by_id ON store (project_id, id)",
    # `state`: 0 being made, 1 published, 2 removed, its chunks still to be deleted. `changed` is the version of the
    # store that its last change made; `size` counts bytes of text and vectors
    """CREATE TABLE document (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        file_id TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        attributes TEXT NOT NULL DEFAULT '{}',
        changed INTEGER NOT NULL DEFAULT 0,
        count INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE UNIQUE INDEX document_by_id ON document (project_id, store_id, id) WHERE state < 2",
    "CREATE INDEX document_by_change ON document (project_id, store_id, changed)",
    "CREATE INDEX document_removed ON document (project_id, store_id) WHERE state = 2",
    # `sizes`: how many words each chunk has, 16 bits each
    """CREATE TABLE segment (
        key INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        document_id INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        position INTEGER NOT NULL,
        count INTEGER NOT NULL,
        sizes BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX segment_by_slot ON segment (project_id, store_id, slot)",
    "CREATE UNIQUE INDEX segment_by_document ON segment (project_id, document_id, position)",
    # texts and places of the chunks, zstd
    """CREATE TABLE passage (
        segment_id INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        body BLOB NOT NULL
    )""",
    # of length 1, as float16; a segment without vectors has no row
    """CREATE TABLE vector (
        segment_id INTEGER PRIMARY KEY,
        project_id INTEGER NOT NULL,
        body BLOB NOT NULL
    )""",
    # `body`: 16 bits for each chunk of the part that has the term; the upper 11 are its place in the part, the others
    # how often it has it
    """CREATE TABLE posting (
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        part INTEGER NOT NULL,
        term TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (project_id, store_id, part, term)
    ) WITHOUT ROWID""",
    # the file beside the database that holds the graph of a large store; what it lacks is added when it is loaded
    """CREATE TABLE graph (
        project_id INTEGER NOT NULL,
        store_id INTEGER NOT NULL,
        file TEXT NOT NULL,
        size INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (project_id, store_id)
    ) WITHOUT ROWID""",
)

LAYOUT: Final = Layout(steps=(_FIRST,), page_size=4096)
