"""The ingestion of documents in the SQLite database: claims under leases, as for runs (`adapters.sql.runs`).

Functions of a connection; those that change anything are run by the writer. What waits and what is leased have indexes
of their own, which hold nothing that has ended: a claim costs the same whatever the number of files.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import structs

from antiphon.adapters.sql import members, vector_stores
from antiphon.adapters.sql.runs import Claim
from antiphon.ports.vector_stores import ClaimedFile, Ingested
from antiphon.wire.codec import encode

_WAITING: Final = "status = 'in_progress' AND owner IS NULL"
_LEASED: Final = "status = 'in_progress' AND owner IS NOT NULL"


def claim(db: sqlite3.Connection, claim: Claim, most: int, per_project: int) -> list[ClaimedFile]:
    """Claim the oldest documents that are free."""
    held: Counter[int] = Counter()
    for project_id, count in db.execute(
        f"SELECT project_id, count(*) FROM vector_store_file WHERE {_LEASED} AND until >= ? GROUP BY project_id",  # noqa: S608  # ours
        (claim.now,),
    ):
        held[project_id] = count
    free = _left(db, claim.now)
    for project_id in _waited(db):
        free += _waiting(db, project_id, min(most, per_project - held[project_id]))
    chosen: list[int] = []
    for key, project_id in sorted(free):
        if len(chosen) == most:
            break
        if held[project_id] < per_project:
            held[project_id] += 1
            chosen.append(key)
    return [_claimed(db, claim, key) for key in chosen]


def _left(db: sqlite3.Connection, now: float) -> list[tuple[int, int]]:
    """Key and project of the documents whose lease has passed."""
    return db.execute(
        f"""SELECT member.key, member.project_id FROM vector_store_file AS member
        CROSS JOIN vector_store ON vector_store.key = store_id AND deleted = 0
        WHERE {_LEASED} AND until < ?""",  # noqa: S608  # ours
        (now,),
    ).fetchall()


def _waited(db: sqlite3.Connection) -> list[int]:
    """The projects that have waiting documents; one look into the index for each of them."""
    found: list[tuple[int | None]] = db.execute(
        f"""WITH RECURSIVE waited (own) AS (
            SELECT min(project_id) FROM vector_store_file WHERE {_WAITING}
            UNION ALL
            SELECT (SELECT min(project_id) FROM vector_store_file WHERE {_WAITING} AND project_id > own)
            FROM waited WHERE own IS NOT NULL
        ) SELECT own FROM waited"""  # noqa: S608  # ours
    ).fetchall()
    return [own for (own,) in found if own is not None]


def _waiting(db: sqlite3.Connection, project_id: int, room: int) -> list[tuple[int, int]]:
    """Key and project of the project's documents that wait longest."""
    if room <= 0:
        return []
    return db.execute(
        f"""SELECT member.key, member.project_id FROM vector_store_file AS member
        INDEXED BY vector_store_file_waiting
        CROSS JOIN vector_store ON vector_store.key = store_id AND deleted = 0
        WHERE {_WAITING} AND member.project_id = ? ORDER BY member.key LIMIT ?""",  # noqa: S608  # ours
        (project_id, room),
    ).fetchall()


def _claimed(db: sqlite3.Connection, claim: Claim, key: int) -> ClaimedFile:
    db.execute(
        """UPDATE vector_store_file SET owner = ?, until = ?, fence = fence + 1,
        recoveries = recoveries + (owner IS NOT NULL) WHERE key = ?""",
        (claim.owner, claim.until, key),
    )
    project_id, project, fence, recoveries, *row = db.execute(
        f"""SELECT project.id, project.name, fence, recoveries, {members.COLUMNS} FROM vector_store_file AS member
        JOIN project ON project.id = member.project_id
        JOIN file ON file.key = member.file_id
        JOIN vector_store ON vector_store.key = member.store_id WHERE member.key = ?""",  # noqa: S608  # ours
        (key,),
    ).fetchone()
    member = members.read(row)
    store = vector_stores.store(db, project_id, member.file.vector_store_id, claim.now)
    assert store is not None
    return ClaimedFile(
        project=project,
        document=member.document,
        file=member.file,
        store=store,
        fence=fence,
        recoveries=recoveries,
    )


def renew(db: sqlite3.Connection, owner: str, documents: Sequence[tuple[str, int]], until: float) -> list[str]:
    """Extend these leases, or give them back; the documents that are still the owner's."""
    held = {
        (document, fence): key
        for key, document, fence in db.execute(
            f"""SELECT member.key, document, fence FROM vector_store_file AS member
            CROSS JOIN vector_store ON vector_store.key = store_id AND deleted = 0
            WHERE {_LEASED} AND owner = ?""",  # noqa: S608  # ours
            (owner,),
        )
    }
    ours = [one for one in documents if one in held]
    db.executemany(
        "UPDATE vector_store_file SET owner = CASE WHEN :until > 0 THEN owner END, until = :until WHERE key = :key",
        [{"until": until, "key": held[one]} for one in ours],
    )
    return [document for document, _ in ours]


def finish(db: sqlite3.Connection, ended: Ingested) -> bool:
    """Commit the end; False when the document is no longer its claimant's."""
    row = db.execute(
        f"""SELECT member.key, store_id, body FROM vector_store_file AS member
        CROSS JOIN vector_store ON vector_store.key = store_id AND deleted = 0
        WHERE {_LEASED} AND document = ? AND fence = ?""",  # noqa: S608  # ours
        (ended.document, ended.fence),
    ).fetchone()
    if row is None:
        return False
    key, store, body = row
    error = None if ended.last_error is None else encode(ended.last_error).decode()
    db.execute(
        """UPDATE vector_store_file SET status = ?, usage_bytes = ?, last_error = ?, owner = NULL, until = 0
        WHERE key = ?""",
        (ended.status, ended.usage_bytes, error, key),
    )
    given = vector_stores.decoded(body)
    if ended.dimension is not None and given.embedding_dimension is None:
        vector_stores.put(db, store, structs.replace(given, embedding_dimension=ended.dimension))
    return True


def orphans(db: sqlite3.Connection, documents: Sequence[str]) -> list[str]:
    """Those of these documents whose chunks are nobody's."""
    found = db.execute(
        """SELECT value FROM json_each(?) AS asked WHERE NOT EXISTS (
            SELECT 1 FROM project
            CROSS JOIN vector_store_file AS member ON member.project_id = project.id AND document = asked.value
            CROSS JOIN vector_store ON vector_store.key = store_id AND deleted = 0 AND emptied = 0
            WHERE status IN ('in_progress', 'completed')
        )""",
        (encode(documents).decode(),),
    )
    return [document for (document,) in found]
