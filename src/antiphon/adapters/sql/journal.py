"""The journals of background runs: batches of whole events, each compressed, kept until their response is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from antiphon.adapters.sql.press import Press, unpressed
from antiphon.ports.runs import Batch

_ENOUGH: Final = 1_000_000
"""Bytes of frames behind which a call stops."""


def add(db: sqlite3.Connection, project_id: int, response: int, batch: Batch, press: Press) -> None:
    """Append to the journal; a batch that begins where the last one does takes its place."""
    db.execute(
        """INSERT INTO journal (project_id, response_id, first, last, events) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (project_id, response_id, first) DO UPDATE SET last = excluded.last, events = excluded.events""",
        (project_id, response, batch.first, batch.last, press(batch.frames)),
    )


def batches(db: sqlite3.Connection, project_id: int, response_id: str, after: int) -> list[Batch] | None:
    """The batches with events behind `after`, 1 MB of frames or the first alone; None: there is no journal."""
    row = db.execute(
        """SELECT key, EXISTS (SELECT 1 FROM run WHERE response_id = key AND streamed)
            OR EXISTS (SELECT 1 FROM journal WHERE journal.project_id = response.project_id AND response_id = key)
        FROM response WHERE project_id = ? AND id = ?""",
        (project_id, response_id),
    ).fetchone()
    if row is None or not row[1]:
        return None
    # numbers rise, so the first batch wanted is the last one that begins at or before the first event wanted
    found = db.execute(
        """SELECT first, last, events FROM journal
        WHERE project_id = :project AND response_id = :response AND last > :after AND first >= coalesce((
            SELECT max(first) FROM journal
            WHERE project_id = :project AND response_id = :response AND first <= :after + 1
        ), 0) ORDER BY first""",
        {"project": project_id, "response": row[0], "after": after},
    )
    return bounded(Batch(first, last, unpressed(events)) for first, last, events in found)


def bounded(batches: Iterable[Batch]) -> list[Batch]:
    """The first batches: those that fit in 1 MB, or one."""
    found: list[Batch] = []
    size = 0
    for batch in batches:
        size += len(batch.frames)
        if found and size > _ENOUGH:
            break
        found.append(batch)
    return found
