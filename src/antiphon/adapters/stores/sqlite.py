"""A store in one SQLite file: one thread writes, readers never wait for it.

Law: nothing is answered before it is on the disk (`adapters.sql.writer`); a turn reads and decodes only what it adds
(`adapters.sql.contexts`). Several processes may use the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from antiphon.adapters.parts import Parts
from antiphon.adapters.sql import completions, idempotency, journal, prompts, reads
from antiphon.adapters.sql.contexts import Context, Contexts, Turn, context
from antiphon.adapters.sql.database import Database
from antiphon.adapters.sql.expiry import Gone, expired_responses, expired_rest
from antiphon.adapters.sql.items import Appended
from antiphon.adapters.sql.press import Press
from antiphon.adapters.sql.rows import rows
from antiphon.adapters.sql.runs import Claim, Ended, Queue, RunWrites, claim_one, claim_some
from antiphon.adapters.sql.shelving import SqlFiles, SqlVectorStores
from antiphon.adapters.sql.window import page as paged
from antiphon.adapters.sql.writes import Save, Saved, Writes
from antiphon.core.effects import Entry
from antiphon.ports.clock import Clock
from antiphon.ports.completions import StoredCompletion
from antiphon.ports.idempotency import FirstAnswer
from antiphon.ports.runs import Batch, Checkpoint, ClaimedRun, QueuedRun
from antiphon.ports.store import Finished, PageQuery, Slice
from antiphon.wire.conversations import Conversation
from antiphon.wire.items import Item
from antiphon.wire.prompts import PromptVersion
from antiphon.wire.responses import Response, ResponseStatus, pack

FILE: Final = "antiphon.sqlite3"
"""The name of the database in the data folder; `-wal` and `-shm` stand beside it while it is in use."""


class SqliteFile(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the store."""

    cache_mb: Annotated[int, Meta(ge=0)] = 64
    """Decoded contexts of recent turns kept in memory, by estimate."""
    patience: Annotated[float, Meta(ge=0.0)] = 5.0
    """Seconds to wait while another process writes; then the request is refused."""


class SqliteStore:
    """The port `Storage` on the file `antiphon.sqlite3` in the folder `data`, which is made when it is not there."""

    def __init__(self, clock: Clock, data: Path, *, cache_bytes: int = 64 * 1024 * 1024, patience: float = 5.0) -> None:
        """`cache_bytes` bounds the decoded contexts; `patience`: seconds to wait while another process writes."""
        self._clock = clock
        self._db = Database(clock, data / FILE, patience)
        self._contexts = Contexts(cache_bytes)
        self._press = Press()
        self._files = SqlFiles(self._db)
        self._vector_stores = SqlVectorStores(self._db)

    @property
    def files(self) -> SqlFiles:
        """Files and uploads."""
        return self._files

    @property
    def vector_stores(self) -> SqlVectorStores:
        """Vector stores and their files."""
        return self._vector_stores

    async def open(self) -> None:
        """Open, migrate to the newest schema, and make the `default` project."""
        await self._db.open()

    async def close(self) -> None:
        """Finish what was accepted, then release the files."""
        await self._db.close()

    async def check(self) -> None:
        """Raise StoreError unless the store answers and could write."""
        await self._db.submit(lambda db: reads.project(db, "default"))

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
            expires_at=finished.expires_at,
        )
        await self._db.submit(writes.save(save), partial(self._keep, project_id, save))

    def _keep(self, project_id: int, save: Save, saved: Saved) -> None:
        """What was saved is the context of the next turn."""
        response = save.response
        weight = sum(row.weight for row in (*save.input, *save.output))
        if saved.linked and save.conversation_id is None:
            turn = Turn(response.id, response.previous_response_id, saved.entries, len(save.input), weight)
            self._contexts.add(project_id, (turn,), saved.deletions)
        if saved.appended is not None and save.conversation_id is not None:
            self._extend(project_id, save.conversation_id, saved.appended, weight)

    async def response(self, project: str, response_id: str, /) -> Response | None:
        """The stored response with its whole output, equal to the one saved."""
        return await self._db.read(project, lambda db, own: reads.response(db, own, response_id))

    async def status(self, project: str, response_id: str, /) -> ResponseStatus | None:
        """The status that `response` would tell."""
        return await self._db.read(project, lambda db, own: reads.status(db, own, response_id))

    async def delete_response(self, project: str, response_id: str, /) -> bool:
        """Delete the response and its memberships; False when there is none. Conversations keep their items."""
        project_id, writes = await self._writes(project)

        def landed(deletions: int | None) -> None:
            if deletions is not None:
                self._contexts.deleted(project_id, response_id, deletions)

        return await self._db.submit(writes.delete_response(response_id), landed) is not None

    async def chain(self, project: str, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it or one that it builds on does not exist."""
        found = await self._context(project, response_id, done=True)
        return None if found is None else found.entries

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice | None:
        """The full resolved input of the response (the chain before it, then its own input), paged."""
        found = await self._context(project, response_id)
        if found is None:
            return None
        given = found.entries[: len(found.entries) - found.outputs]
        return paged([entry.item for entry in given if entry.item is not None], page)

    async def _context(self, project: str, response_id: str, *, done: bool = False) -> Context | None:
        """The context that ends with the response; None when there is none, or `done` and it is not terminal."""
        project_id = await self._db.project(project)
        if project_id is None:
            return None
        if self._contexts.turn(project_id, response_id) is not None:
            deletions = await self._db.point(lambda db: reads.deletions(db, project_id))
            if self._contexts.current(project_id, deletions):
                node = self._contexts.turn(project_id, response_id)
                if node is not None:
                    return node.context()
        deletions, found = await self._db.far(
            lambda db: (reads.deletions(db, project_id), reads.chain(db, project_id, response_id))
        )
        if found is None or (done and not found.done):
            return None
        self._contexts.add(project_id, found.turns if found.done else found.turns[:-1], deletions)
        return context(found.turns)

    async def items(self, project: str, item_ids: Sequence[str], /) -> dict[str, Entry]:
        """The stored items with these ids; unknown ids are absent from the result."""
        return await self._db.read(project, lambda db, own: reads.items(db, own, item_ids))

    async def responses(self, project: str, page: PageQuery, /) -> tuple[Sequence[Response], bool]:
        """A page of stored responses by creation, each with its output; whether there are more."""
        return await self._db.read(project, lambda db, own: reads.response_page(db, own, page))

    async def expire(self, now: float, /) -> int:
        """Delete every response, chat completion and first answer whose time has passed; how many."""
        count = 0
        for project_id in await self._db.far(reads.projects):
            while gone := await self._expire(project_id, now):
                count += gone
            while gone := await self._db.submit(partial(expired_rest, project_id=project_id, now=now)):
                count += gone
        return count

    async def _expire(self, project_id: int, now: float) -> int:
        def landed(gone: Gone) -> None:
            for at, response_id in enumerate(reversed(gone.ids)):
                self._contexts.deleted(project_id, response_id, gone.deletions - at)

        items = self._db.items(project_id)
        gone = await self._db.submit(lambda db: expired_responses(db, items, now), landed)
        return len(gone.ids)

    # conversations

    async def create_conversation(self, project: str, conversation: Conversation, items: Sequence[Entry], /) -> None:
        """Store a new conversation with its first items."""
        _, writes = await self._writes(project)
        given = rows(items, self._clock.id)
        await self._db.submit(writes.create_conversation(conversation, given))

    async def conversation(self, project: str, conversation_id: str, /) -> Conversation | None:
        """The conversation, or None."""
        project_id = await self._db.project(project)
        if project_id is None:
            return None
        return await self._db.point(lambda db: reads.conversation(db, project_id, conversation_id))

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: dict[str, str], /
    ) -> Conversation | None:
        """Replace the metadata; None when there is no such conversation."""
        _, writes = await self._writes(project)
        return await self._db.submit(writes.update_conversation(conversation_id, metadata))

    async def delete_conversation(self, project: str, conversation_id: str, /) -> bool:
        """Delete the conversation and its memberships; False when there is none."""
        project_id, writes = await self._writes(project)

        def landed(_: bool) -> None:
            self._contexts.forget(project_id, conversation_id)

        return await self._db.submit(writes.delete_conversation(conversation_id), landed)

    async def fork_conversation(
        self, project: str, source_id: str, fork: Conversation, last_item: str | None, /
    ) -> Conversation | None:
        """Store `fork` with the items of the source up to `last_item`; None when either does not exist."""
        _, writes = await self._writes(project)
        return await self._db.submit(writes.fork_conversation(source_id, fork, last_item))

    async def append_items(
        self, project: str, conversation_id: str, items: Sequence[Entry], /
    ) -> tuple[Item, ...] | None:
        """Append; the items as stored, in order; None: no such conversation."""
        project_id, writes = await self._writes(project)
        given = rows(items, self._clock.id)

        def landed(appended: Appended | None) -> None:
            if appended is not None:
                self._extend(project_id, conversation_id, appended, sum(row.weight for row in given))

        appended = await self._db.submit(writes.append_items(conversation_id, given), landed)
        if appended is None:
            return None
        return tuple([entry.item for entry in appended.entries if entry.item is not None])

    async def conversation_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice | None:
        """A page of the conversation's items by position; None: no such conversation."""
        return await self._db.read(project, lambda db, own: reads.conversation_page(db, own, conversation_id, page))

    async def conversation_entries(self, project: str, conversation_id: str, /) -> Sequence[Entry] | None:
        """All of the conversation, oldest first, as context of a turn; None: no such conversation."""
        project_id = await self._db.project(project)
        if project_id is None:
            return None
        stamp = await self._db.point(lambda db: reads.stamp(db, project_id, conversation_id))
        if stamp is None:
            return None
        held = self._contexts.conversation(project_id, conversation_id, stamp)
        if held is not None:
            return held
        found = await self._db.far(lambda db: reads.conversation_turn(db, project_id, conversation_id))
        if found is None:
            return None
        stamp, entries, weight = found
        self._contexts.hold(project_id, conversation_id, stamp, entries, weight)
        return entries

    async def conversation_item(self, project: str, conversation_id: str, item_id: str, /) -> Item | None:
        """One item of the conversation; None when it is not in it."""
        project_id = await self._db.project(project)
        if project_id is None:
            return None
        found = await self._db.point(lambda db: reads.conversation_entry(db, project_id, conversation_id, item_id))
        return None if found is None else found.item

    async def delete_conversation_item(
        self, project: str, conversation_id: str, item_id: str, /
    ) -> Conversation | None:
        """Remove the item from the conversation; the conversation, or None when either does not exist."""
        _, writes = await self._writes(project)
        return await self._db.submit(writes.delete_conversation_item(conversation_id, item_id))

    async def lock_conversation(self, project: str, conversation_id: str, owner: str, until: float, /) -> bool | None:
        """Take the lock for `owner` until that time, or release it; False: another owner holds it; None: no such
        conversation."""
        _, writes = await self._writes(project)
        return await self._db.submit(writes.lock_conversation(conversation_id, owner, until))

    # background runs

    async def queue_run(self, project: str, run: QueuedRun, /) -> None:
        """Store the accepted run; it can be claimed, retrieved, listed and deleted from now on."""
        _, writes = await self._runs(project)
        queue = Queue(
            response=run.response,
            body=pack(run.response).decode(),
            input=rows(run.input, self._clock.id),
            request=run.request,
            expires_at=run.expires_at,
            streamed=run.streamed,
            locked_until=run.locked_until,
        )
        await self._db.submit(writes.queue(queue))

    async def claim_runs(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedRun]:
        """Claim at most `most` runs, oldest first, of each project so many that it holds at most `per_project`."""
        return await self._db.submit(claim_some(Claim(owner, now, until), most, per_project))

    async def claim_run(
        self, project: str, response_id: str, owner: str, now: float, until: float, /
    ) -> ClaimedRun | None:
        """Claim this run; None when it is terminal, unknown, or held under a lease that has not passed."""
        project_id = await self._db.project(project)
        if project_id is None:
            return None
        return await self._db.submit(claim_one(project_id, response_id, Claim(owner, now, until)))

    async def checkpoint(self, project: str, checkpoint: Checkpoint, /) -> bool:
        """Commit progress; whether a cancel has been asked. FenceError when the run is lost or deleted."""
        _, writes = await self._runs(project)
        entries = {position: entry for position, entry in checkpoint.entries if entry.item is not None}
        given = dict(zip(entries, rows(entries.values(), self._clock.id), strict=True))
        return await self._db.submit(writes.checkpoint(checkpoint, given))

    async def finish_run(self, project: str, checkpoint: Checkpoint, finished: Finished, /) -> None:
        """Commit the end: the last events and the terminal response, as save_response does it. FenceError."""
        project_id, writes = await self._runs(project)

        def landed(ended: Ended) -> None:
            if ended.turn is not None:
                self._contexts.add(project_id, (ended.turn,), ended.deletions)
            if ended.appended is not None and finished.conversation_id is not None:
                self._extend(project_id, finished.conversation_id, ended.appended, ended.weight)

        body = pack(finished.response).decode()
        await self._db.submit(writes.finish(checkpoint, finished, body), landed)

    async def cancel_run(self, project: str, response_id: str, /) -> bool:
        """Ask for a cancel; False when there is no background run of this id that is not terminal."""
        _, writes = await self._runs(project)
        return await self._db.submit(writes.cancel(response_id))

    async def batches(self, project: str, response_id: str, after: int, /) -> Sequence[Batch] | None:
        """The journaled batches that hold events behind `after`, in order, at most 1 MB of frames a call."""
        return await self._db.read(project, lambda db, own: journal.batches(db, own, response_id, after))

    # prompts

    async def save_prompt(self, project: str, prompt: PromptVersion, /) -> PromptVersion | None:
        """Store a new prompt, or the next version of one; None when there is none of which it could be the next."""
        return await self._db.write(project, lambda db, own: prompts.save(db, own, prompt))

    async def prompt(self, project: str, prompt_id: str, version: str | None, /) -> PromptVersion | None:
        """That version, or the default one (None)."""
        return await self._db.read(project, lambda db, own: prompts.version(db, own, prompt_id, version))

    async def prompts(self, project: str, page: PageQuery, /) -> tuple[Sequence[PromptVersion], bool]:
        """A page of prompts in their default versions, by creation; whether there are more."""
        return await self._db.read(project, lambda db, own: prompts.page(db, own, page))

    async def prompt_versions(self, project: str, prompt_id: str, /) -> Sequence[PromptVersion]:
        """All versions, oldest first; empty when there is none."""
        return await self._db.read(project, lambda db, own: prompts.versions(db, own, prompt_id))

    async def set_default_prompt(self, project: str, prompt_id: str, version: str, /) -> PromptVersion | None:
        """Make this version the default; None when it does not exist."""
        return await self._db.write(project, lambda db, own: prompts.set_default(db, own, prompt_id, version))

    async def delete_prompt(self, project: str, prompt_id: str, /) -> bool:
        """Delete all versions; False when there is none."""
        return await self._db.write(project, lambda db, own: prompts.delete(db, own, prompt_id))

    # chat completions

    async def save_completion(self, project: str, completion: StoredCompletion, /) -> None:
        """Store it."""
        await self._db.write(project, lambda db, own: completions.save(db, own, completion, self._press))

    async def completion(self, project: str, completion_id: str, /) -> StoredCompletion | None:
        """The stored one, or None."""
        return await self._db.read(project, lambda db, own: completions.completion(db, own, completion_id))

    async def completions(
        self, project: str, page: PageQuery, model: str | None, metadata: Mapping[str, str], /
    ) -> tuple[Sequence[StoredCompletion], bool]:
        """A page by creation, of this model and with all these metadata; whether there are more."""
        wanted = completions.Wanted(model, metadata)
        return await self._db.read(project, lambda db, own: completions.page(db, own, page, wanted))

    async def update_completion(
        self, project: str, completion_id: str, metadata: dict[str, str], /
    ) -> StoredCompletion | None:
        """Replace the metadata; None when there is none."""
        return await self._db.write(project, lambda db, own: completions.update(db, own, completion_id, metadata))

    async def delete_completion(self, project: str, completion_id: str, /) -> bool:
        """Delete it; False when there is none."""
        return await self._db.write(project, lambda db, own: completions.delete(db, own, completion_id))

    # first answers

    async def begin(self, project: str, answer: FirstAnswer, now: float, /) -> FirstAnswer | None:
        """Take the key for this request; None when it was free, otherwise what it stands for."""
        return await self._db.write(project, lambda db, own: idempotency.begin(db, own, answer, now))

    async def complete(self, project: str, answer: FirstAnswer, /) -> None:
        """Keep the answer, or the key for longer."""
        await self._db.write(project, lambda db, own: idempotency.complete(db, own, answer))

    async def forget(self, project: str, key: str, /) -> None:
        """Free a key whose request was not done."""
        await self._db.write(project, lambda db, own: idempotency.forget(db, own, key))

    # what the methods share

    async def _writes(self, name: str) -> tuple[int, Writes]:
        """The project's integer and its changes."""
        project_id = await self._db.made(name)
        return project_id, Writes(self._db.items(project_id))

    async def _runs(self, name: str) -> tuple[int, RunWrites]:
        """The project's integer and the changes of its runs."""
        project_id = await self._db.made(name)
        return project_id, RunWrites(self._db.items(project_id), self._press)

    def _extend(self, project_id: int, conversation_id: str, appended: Appended, weight: int) -> None:
        self._contexts.extend(project_id, conversation_id, appended.stamp, appended.entries, weight)


def make(config: SqliteFile, parts: Parts) -> SqliteStore:
    """The store in the data folder."""
    return SqliteStore(parts.clock, parts.folder, cache_bytes=config.cache_mb * 1024 * 1024, patience=config.patience)
