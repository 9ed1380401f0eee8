"""Background runs in the SQLite database: every write of a claimant names its fence, and is undone when another one is
the run's.

Functions of a connection, run by the writer inside its transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from antiphon.adapters.sql import journal, reads, responses
from antiphon.adapters.sql.contexts import Turn
from antiphon.adapters.sql.items import Appended, Items
from antiphon.adapters.sql.press import Press
from antiphon.adapters.sql.rows import Row, rows
from antiphon.core.effects import Entry
from antiphon.ports.runs import Checkpoint, ClaimedRun, FenceError
from antiphon.ports.store import Finished
from antiphon.wire.items import item_id
from antiphon.wire.responses import Response

INPUT, OUTPUT = 0, 1
"""Sides of a response."""


class Queue(msgspec.Struct, frozen=True):
    """An accepted run, encoded: the response's packed `body`, and rows for its input."""

    response: Response
    body: str
    input: tuple[Row, ...]
    request: bytes
    expires_at: float | None
    streamed: bool
    locked_until: float | None


class Ended(msgspec.Struct, frozen=True):
    """What the end of a run left: its turn (None when its entries are not those that were given), the project's
    deletions as of it, the append, if there was one, and about how many bytes of memory the entries take."""

    turn: Turn | None
    deletions: int
    appended: Appended | None
    weight: int


class Claim(msgspec.Struct, frozen=True):
    """Who claims, until when (both epoch seconds)."""

    owner: str
    now: float
    until: float


def claim_some(claim: Claim, most: int, per_project: int) -> Callable[[sqlite3.Connection], list[ClaimedRun]]:
    """Claim the oldest runs that are free."""

    def run(db: sqlite3.Connection) -> list[ClaimedRun]:
        held: Counter[int] = Counter()
        for project_id, count in db.execute(
            "SELECT project_id, count(*) FROM run WHERE owner IS NOT NULL AND until >= ? GROUP BY project_id",
            (claim.now,),
        ):
            held[project_id] = count
        chosen: list[tuple[int, int]] = []
        for key, project_id in db.execute(
            "SELECT response_id, project_id FROM run WHERE owner IS NULL OR until < ? ORDER BY response_id",
            (claim.now,),
        ):
            if len(chosen) == most:
                break
            if held[project_id] < per_project:
                held[project_id] += 1
                chosen.append((key, project_id))
        return [_claimed(db, claim, key, project_id) for key, project_id in chosen]

    return run


def claim_one(project_id: int, response_id: str, claim: Claim) -> Callable[[sqlite3.Connection], ClaimedRun | None]:
    """Claim this run, if nobody else holds it."""

    def run(db: sqlite3.Connection) -> ClaimedRun | None:
        row = db.execute(
            """SELECT key FROM response JOIN run ON run.response_id = response.key
            WHERE response.project_id = ? AND response.id = ? AND (owner IS NULL OR until < ?)""",
            (project_id, response_id, claim.now),
        ).fetchone()
        return None if row is None else _claimed(db, claim, row[0], project_id)

    return run


def _claimed(db: sqlite3.Connection, claim: Claim, key: int, project_id: int) -> ClaimedRun:
    db.execute(
        """UPDATE run SET owner = ?, until = ?, fence = fence + 1, recoveries = recoveries + (owner IS NOT NULL)
        WHERE response_id = ?""",
        (claim.owner, claim.until, key),
    )
    db.execute("UPDATE response SET status = 'in_progress' WHERE key = ?", (key,))
    project, body, request, state, last, fence, recoveries, cancel = db.execute(
        """SELECT project.name, response.body, run_request.body, state, last, run.fence, recoveries, cancel FROM run
        JOIN response ON response.key = run.response_id
        JOIN run_request ON run_request.response_id = run.response_id
        JOIN project ON project.id = run.project_id WHERE run.response_id = ?""",
        (key,),
    ).fetchone()
    given, made = reads.sides(db, project_id, key)
    return ClaimedRun(
        project=project,
        response=reads.unpacked(body, "in_progress", ()),
        request=request,
        input=given,
        output=made,
        state=state,
        last=last,
        fence=fence,
        recoveries=recoveries,
        cancel=bool(cancel),
    )


class RunWrites:
    """Changes of one project's runs. `press` belongs to the writer's thread."""

    def __init__(self, items: Items, press: Press) -> None:
        self._project = items.project
        self._items = items
        self._press = press

    def queue(self, queue: Queue) -> Callable[[sqlite3.Connection], None]:
        """Store the run, waiting."""

        def run(db: sqlite3.Connection) -> None:
            response = queue.response
            link = responses.link(db, self._project, response.previous_response_id)
            talk = response.conversation
            found = reads.stamp(db, self._project, talk.id) if isinstance(talk, msgspec.Struct) else None
            at = None if found is None else found.key
            record = responses.Record(response, queue.body, link.previous, at, queue.expires_at)
            key = responses.insert(db, self._project, record)
            placed = self._items.place(db, queue.input)
            self._items.enlist(db, key, INPUT, {place: item for place, (item, _) in enumerate(placed)})
            where = (key, self._project)
            db.execute("INSERT INTO run (response_id, project_id, streamed) VALUES (?, ?, ?)", (*where, queue.streamed))
            db.execute(
                "INSERT INTO run_request (response_id, project_id, body) VALUES (?, ?, ?)", (*where, queue.request)
            )
            if queue.locked_until is not None:
                db.execute(
                    "UPDATE conversation SET lock_until = ? WHERE key = ? AND lock_owner = ?",
                    (queue.locked_until, at, response.id),
                )

        return run

    def cancel(self, response_id: str) -> Callable[[sqlite3.Connection], bool]:
        """Ask for a cancel; False when there is no such run."""

        def run(db: sqlite3.Connection) -> bool:
            return (
                db.execute(
                    """UPDATE run SET cancel = 1
                WHERE response_id = (SELECT key FROM response WHERE project_id = ? AND id = ?)""",
                    (self._project, response_id),
                ).rowcount
                > 0
            )

        return run

    def checkpoint(self, checkpoint: Checkpoint, entries: Mapping[int, Row]) -> Callable[[sqlite3.Connection], bool]:
        """Commit progress; whether a cancel was asked. FenceError when the run is lost."""

        def run(db: sqlite3.Connection) -> bool:
            key, cancel, last = self._held(db, checkpoint)
            batch = checkpoint.batch
            db.execute(
                """UPDATE run SET owner = CASE WHEN :until > 0 THEN owner END, until = :until, state = :state,
                last = :last WHERE response_id = :key""",
                {
                    "until": checkpoint.until,
                    "state": checkpoint.state,
                    "last": last if batch is None else batch.last,
                    "key": key,
                },
            )
            if batch is not None:
                journal.add(db, self._project, key, batch, self._press)
            if entries:
                self._put(db, key, entries)
            return bool(cancel)

        return run

    def finish(self, checkpoint: Checkpoint, finished: Finished, body: str) -> Callable[[sqlite3.Connection], Ended]:
        """Commit the end. FenceError when the run is lost."""
        return lambda db: self._finish(db, checkpoint, finished, body)

    def _finish(self, db: sqlite3.Connection, checkpoint: Checkpoint, finished: Finished, body: str) -> Ended:
        key, _, _ = self._held(db, checkpoint)
        if checkpoint.batch is not None:
            journal.add(db, self._project, key, checkpoint.batch, self._press)
        self._settle(db, key, checkpoint, finished)
        response = finished.response
        db.execute(
            "UPDATE response SET status = ?, body = ?, expires_at = ? WHERE key = ?",
            (response.status, body, finished.expires_at, key),
        )
        responses.end(db, key)
        deletions, previous = db.execute(
            "SELECT deletions, previous_response_id FROM project, response WHERE project.id = ? AND response.key = ?",
            (self._project, key),
        ).fetchone()
        listed = self._listed(db, key)
        appended = None
        if finished.conversation_id is not None:
            conversation = reads.stamp(db, self._project, finished.conversation_id)
            if conversation is not None and finished.append:
                appended = self._items.join(db, [item for item, _, _ in listed], conversation)
            if conversation is not None:
                responses.unlock(db, conversation.key)
        weight = sum(1000 + size for _, _, size in listed)
        linked = previous != 0 and finished.conversation_id is None
        return Ended(_turn(finished, listed, weight) if linked else None, deletions, appended, weight)

    def _held(self, db: sqlite3.Connection, checkpoint: Checkpoint) -> tuple[int, int, int]:
        """The run's key, whether a cancel was asked, its last event; FenceError when the run is not its claimant's."""
        row = db.execute(
            """SELECT key, cancel, last FROM response JOIN run ON run.response_id = response.key
            WHERE response.project_id = ? AND response.id = ? AND run.fence = ?""",
            (self._project, checkpoint.response_id, checkpoint.fence),
        ).fetchone()
        if row is None:
            raise FenceError
        return row

    def _put(self, db: sqlite3.Connection, key: int, entries: Mapping[int, Row]) -> None:
        """Store the entries as output, each in its position's place."""
        if not entries:
            return
        held = self._outputs(db, key, min(entries))
        self._take(db, key, {position: item for position, (item, _) in held.items() if position in entries})
        placed = self._items.place(db, entries.values())
        self._items.enlist(
            db, key, OUTPUT, {position: item for position, (item, _) in zip(entries, placed, strict=True)}
        )

    def _take(self, db: sqlite3.Connection, key: int, items: Mapping[int, int]) -> None:
        """Remove these positions of the output."""
        db.executemany(
            "DELETE FROM response_item WHERE project_id = ? AND response_id = ? AND side = 1 AND position = ?",
            [(self._project, key, position) for position in items],
        )
        self._items.release(db, [(item,) for item in items.values()])

    def _outputs(self, db: sqlite3.Connection, key: int, first: int) -> dict[int, tuple[int, str]]:
        """The key and id of every stored output item from position `first` on."""
        found = db.execute(
            """SELECT position, item.key, item.id FROM response_item JOIN item ON item.key = item_id
            WHERE response_item.project_id = ? AND response_id = ? AND side = 1 AND position >= ?""",
            (self._project, key, first),
        )
        return {position: (item, own) for position, item, own in found}

    def _settle(self, db: sqlite3.Connection, key: int, checkpoint: Checkpoint, finished: Finished) -> None:
        """Make the stored output what the finished response's is; what checkpoints stored already is not written
        again."""
        held = self._outputs(db, key, 0)
        again = {position for position, _ in checkpoint.entries}
        entries = dict(enumerate(entry for entry in finished.output if entry.item is not None))
        self._take(db, key, {position: item for position, (item, _) in held.items() if position not in entries})
        missing = {
            position: entry
            for position, entry in entries.items()
            if position in again or position not in held or _own(entry) not in {None, held[position][1]}
        }
        self._put(db, key, dict(zip(missing, rows(missing.values(), self._items.new_id), strict=True)))

    def _listed(self, db: sqlite3.Connection, key: int) -> list[tuple[int, str, int]]:
        """The key, id and weight of every item of the response, input first."""
        return db.execute(
            """SELECT item.key, item.id, length(body) + coalesce(length(exchange), 0)
            FROM response_item JOIN item ON item.key = item_id
            WHERE response_item.project_id = ? AND response_id = ? ORDER BY side, position""",
            (self._project, key),
        ).fetchall()


def _turn(finished: Finished, listed: Sequence[tuple[int, str, int]], weight: int) -> Turn | None:
    """The turn, when the entries given are those that are stored."""
    inputs, outputs = ([entry for entry in side if entry.item] for side in (finished.input, finished.output))
    if [_own(entry) for entry in (*inputs, *outputs)] != [own for _, own, _ in listed]:
        return None
    response = finished.response
    return Turn(response.id, response.previous_response_id, (*inputs, *outputs), len(inputs), weight)


def _own(entry: Entry) -> str | None:
    return None if entry.item is None else item_id(entry.item)
