"""A store in one SQLite file: one thread writes, readers never wait for it.

Law: nothing is answered before it is on the disk (`adapters.sql.writer`); a turn reads and decodes only what it adds
(`adapters.sql.contexts`). Several processes may use the same file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from antiphon.adapters.parts import Parts
from antiphon.adapters.sql import connection, reads
from antiphon.adapters.sql.contexts import Context, Contexts, Turn, context
from antiphon.adapters.sql.readers import Readers
from antiphon.adapters.sql.rows import Row, rows
from antiphon.adapters.sql.schema import migrate
from antiphon.adapters.sql.window import page as paged
from antiphon.adapters.sql.writer import Writer
from antiphon.adapters.sql.writes import Appended, Save, Saved, Writes, add_project
from antiphon.core.effects import Entry
from antiphon.ports.clock import Clock
from antiphon.ports.store import Finished, PageQuery, Slice
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import StoreError
from antiphon.wire.items import Item
from antiphon.wire.responses import Response, pack

FILE: Final = "antiphon.sqlite3"
"""The name of the database in the data folder; `-wal` and `-shm` stand beside it while it is in use."""


class _Open(msgspec.Struct, frozen=True):
    writer: Writer
    readers: Readers


class SqliteFile(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the store."""

    cache_mb: Annotated[int, Meta(ge=0)] = 64
    """Decoded contexts of recent turns kept in memory, by estimate."""
    patience: Annotated[float, Meta(ge=0.0)] = 5.0
    """Seconds to wait while another process writes; then the request is refused."""


class SqliteStore:
    """The port `Store` on the file `antiphon.sqlite3` in the folder `data`, which is made when it is not there."""

    def __init__(self, clock: Clock, data: Path, *, cache_bytes: int = 64 * 1024 * 1024, patience: float = 5.0) -> None:
        """`cache_bytes` bounds the decoded contexts; `patience`: seconds to wait while another process writes."""
        self._clock = clock
        self._path = data / FILE
        self._patience = patience
        self._contexts = Contexts(cache_bytes)
        self._projects: dict[str, int] = {}
        self._files: _Open | None = None

    async def open(self) -> None:
        """Open, migrate to the newest schema, and make the `default` project."""
        db = await asyncio.to_thread(self._prepared)
        try:
            readers = Readers(self._path, self._patience)
        except sqlite3.Error as error:
            db.close()
            raise connection.refused(error) from error
        self._files = _Open(Writer(self._path, db), readers)

    def _prepared(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # what users say is for the owner only; -wal and -shm follow
            db = connection.writer(self._path, self._patience)
        except sqlite3.Error as error:
            raise connection.refused(error) from error
        except OSError as error:
            raise StoreError(f"The data folder cannot be used: {error.strerror}.") from error
        try:
            migrate(db)
        except (sqlite3.Error, StoreError) as error:
            db.close()
            raise connection.refused(error) if isinstance(error, sqlite3.Error) else error from error
        return db

    async def close(self) -> None:
        """Finish what was accepted, then release the files."""
        if self._files is None:
            return
        files, self._files = self._files, None
        await files.writer.close()
        await asyncio.to_thread(files.readers.close)

    async def check(self) -> None:
        """Raise StoreError unless the store answers and could write."""
        await self._open().writer.submit(lambda db: reads.project(db, "default"))

    # responses

    async def save_response(self, project: str, finished: Finished, /) -> None:
        """Store a terminal response, append its entries to its conversation and release the conversation's lock."""
        project_id, writes = await self._writes(project)
        save = Save(
            response=finished.response,
            body=pack(finished.response).decode(),
            input=rows(finished.input, self._clock.id),
            output=rows(finished.output, self._clock.id),
            conversation_id=finished.conversation_id,
            append=finished.append,
        )
        await self._open().writer.submit(writes.save(save), partial(self._keep, project_id, save))

    def _keep(self, project_id: int, save: Save, saved: Saved) -> None:
        """What was saved is the context of the next turn."""
        response = save.response
        if saved.linked and save.conversation_id is None:
            weight = sum(row.weight for row in (*save.input, *save.output))
            turn = Turn(response.id, response.previous_response_id, saved.entries, len(save.input), weight)
            self._contexts.add(project_id, (turn,), saved.deletions)
        if saved.appended is not None and save.conversation_id is not None:
            self._extend(project_id, save.conversation_id, (*save.input, *save.output), saved.appended)

    async def response(self, project: str, response_id: str, /) -> Response | None:
        """The stored response with its whole output, equal to the one saved."""
        project_id = await self._project(project)
        if project_id is None:
            return None
        return await self._open().readers.far(lambda db: reads.response(db, project_id, response_id))

    async def delete_response(self, project: str, response_id: str, /) -> bool:
        """Delete the response and its memberships; False when there is none. Conversations keep their items."""
        project_id, writes = await self._writes(project)

        def landed(deletions: int | None) -> None:
            if deletions is not None:
                self._contexts.deleted(project_id, response_id, deletions)

        return await self._open().writer.submit(writes.delete_response(response_id), landed) is not None

    async def chain(self, project: str, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it or one that it builds on does not exist."""
        found = await self._context(project, response_id)
        return None if found is None else found.entries

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice | None:
        """The full resolved input of the response (the chain before it, then its own input), paged."""
        found = await self._context(project, response_id)
        if found is None:
            return None
        given = found.entries[: len(found.entries) - found.outputs]
        return paged([entry.item for entry in given if entry.item is not None], page)

    async def _context(self, project: str, response_id: str) -> Context | None:
        project_id = await self._project(project)
        if project_id is None:
            return None
        readers = self._open().readers
        if self._contexts.turn(project_id, response_id) is not None:
            deletions = await readers.point(lambda db: reads.deletions(db, project_id))
            if self._contexts.current(project_id, deletions):
                node = self._contexts.turn(project_id, response_id)
                if node is not None:
                    return node.context()
        deletions, turns = await readers.far(
            lambda db: (reads.deletions(db, project_id), reads.chain(db, project_id, response_id))
        )
        if turns is None:
            return None
        self._contexts.add(project_id, turns, deletions)
        return context(turns)

    async def items(self, project: str, item_ids: Sequence[str], /) -> dict[str, Entry]:
        """The stored items with these ids; unknown ids are absent from the result."""
        project_id = await self._project(project)
        if project_id is None:
            return {}
        return await self._open().readers.far(lambda db: reads.items(db, project_id, item_ids))

    # conversations

    async def create_conversation(self, project: str, conversation: Conversation, items: Sequence[Entry], /) -> None:
        """Store a new conversation with its first items."""
        _, writes = await self._writes(project)
        given = rows(items, self._clock.id)
        await self._open().writer.submit(writes.create_conversation(conversation, given))

    async def conversation(self, project: str, conversation_id: str, /) -> Conversation | None:
        """The conversation, or None."""
        project_id = await self._project(project)
        if project_id is None:
            return None
        return await self._open().readers.point(lambda db: reads.conversation(db, project_id, conversation_id))

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: dict[str, str], /
    ) -> Conversation | None:
        """Replace the metadata; None when there is no such conversation."""
        _, writes = await self._writes(project)
        return await self._open().writer.submit(writes.update_conversation(conversation_id, metadata))

    async def delete_conversation(self, project: str, conversation_id: str, /) -> bool:
        """Delete the conversation and its memberships; False when there is none."""
        project_id, writes = await self._writes(project)

        def landed(_: bool) -> None:
            self._contexts.forget(project_id, conversation_id)

        return await self._open().writer.submit(writes.delete_conversation(conversation_id), landed)

    async def append_items(
        self, project: str, conversation_id: str, items: Sequence[Entry], /
    ) -> tuple[Item, ...] | None:
        """Append; the items as stored, in order; None: no such conversation."""
        project_id, writes = await self._writes(project)
        given = rows(items, self._clock.id)

        def landed(appended: Appended | None) -> None:
            if appended is not None:
                self._extend(project_id, conversation_id, given, appended)

        appended = await self._open().writer.submit(writes.append_items(conversation_id, given), landed)
        if appended is None:
            return None
        return tuple([entry.item for entry in appended.entries if entry.item is not None])

    async def conversation_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice | None:
        """A page of the conversation's items by position; None: no such conversation."""
        project_id = await self._project(project)
        if project_id is None:
            return None
        return await self._open().readers.far(lambda db: reads.conversation_page(db, project_id, conversation_id, page))

    async def conversation_entries(self, project: str, conversation_id: str, /) -> Sequence[Entry] | None:
        """All of the conversation, oldest first, as context of a turn; None: no such conversation."""
        project_id = await self._project(project)
        if project_id is None:
            return None
        readers = self._open().readers
        stamp = await readers.point(lambda db: reads.stamp(db, project_id, conversation_id))
        if stamp is None:
            return None
        held = self._contexts.conversation(project_id, conversation_id, stamp)
        if held is not None:
            return held
        found = await readers.far(lambda db: reads.conversation_turn(db, project_id, conversation_id))
        if found is None:
            return None
        stamp, entries, weight = found
        self._contexts.hold(project_id, conversation_id, stamp, entries, weight)
        return entries

    async def conversation_item(self, project: str, conversation_id: str, item_id: str, /) -> Item | None:
        """One item of the conversation; None when it is not in it."""
        project_id = await self._project(project)
        if project_id is None:
            return None
        found = await self._open().readers.point(
            lambda db: reads.conversation_entry(db, project_id, conversation_id, item_id)
        )
        return None if found is None else found.item

    async def delete_conversation_item(
        self, project: str, conversation_id: str, item_id: str, /
    ) -> Conversation | None:
        """Remove the item from the conversation; the conversation, or None when either does not exist."""
        _, writes = await self._writes(project)
        return await self._open().writer.submit(writes.delete_conversation_item(conversation_id, item_id))

    async def lock_conversation(self, project: str, conversation_id: str, owner: str, until: float, /) -> bool | None:
        """Take the lock for `owner` until that time, or release it; False: another owner holds it; None: no such
        conversation."""
        _, writes = await self._writes(project)
        return await self._open().writer.submit(writes.lock_conversation(conversation_id, owner, until))

    # what the methods share

    def _open(self) -> _Open:
        if self._files is None:
            raise StoreError("The store is closed.")
        return self._files

    async def _project(self, name: str) -> int | None:
        """The project's integer; None when nothing was ever written for it."""
        known = self._projects.get(name)
        if known is not None:
            return known
        found = await self._open().readers.point(lambda db: reads.project(db, name))
        if found is not None:
            self._projects[name] = found
        return found

    async def _writes(self, name: str) -> tuple[int, Writes]:
        """The project's integer and its changes; a project is made when it is first written to."""
        now = self._clock.now()
        project_id = await self._project(name)
        if project_id is None:
            project_id = await self._open().writer.submit(lambda db: add_project(db, name, now))
            self._projects[name] = project_id
        return project_id, Writes(project_id, now, self._clock.id)

    def _extend(self, project_id: int, conversation_id: str, given: Sequence[Row], appended: Appended) -> None:
        weight = sum(row.weight for row in given)
        self._contexts.extend(project_id, conversation_id, appended.stamp, appended.entries, weight)


def make(config: SqliteFile, parts: Parts) -> SqliteStore:
    """The store in the data folder."""
    return SqliteStore(parts.clock, parts.folder, cache_bytes=config.cache_mb * 1024 * 1024, patience=config.patience)
