"""A store in plain dicts, for tests and for servers that need not remember. Nothing survives `close`.

Law: no method awaits, so each is one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count

from msgspec import structs

from antiphon.adapters.memory.files import MemoryFiles
from antiphon.adapters.memory.library import Library
from antiphon.adapters.memory.state import Lease, Project, Prompt, Talk, Turn, expired, moved
from antiphon.adapters.memory.vector_stores import MemoryVectorStores
from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.sql.journal import bounded
from antiphon.adapters.sql.window import page as paged
from antiphon.adapters.sql.window import pick
from antiphon.core.effects import Entry
from antiphon.ports.clock import Clock
from antiphon.ports.completions import StoredCompletion
from antiphon.ports.idempotency import FirstAnswer
from antiphon.ports.runs import Batch, Checkpoint, ClaimedRun, FenceError, QueuedRun
from antiphon.ports.store import Finished, PageQuery, Slice
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import StoreError
from antiphon.wire.items import Item
from antiphon.wire.prompts import PromptVersion
from antiphon.wire.responses import ConversationRef, Response, ResponseStatus


class MemoryStore:
    """The port `Storage`, not on any disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._projects: dict[str, Project] | None = None
        self._numbers = count()
        self._files = MemoryFiles(self._library, self._libraries)
        self._vector_stores = MemoryVectorStores(self._library, self._libraries)

    @property
    def files(self) -> MemoryFiles:
        """Files and uploads."""
        return self._files

    @property
    def vector_stores(self) -> MemoryVectorStores:
        """Vector stores and their files."""
        return self._vector_stores

    async def open(self) -> None:
        """Begin empty."""
        self._projects = {}

    async def close(self) -> None:
        """Forget everything."""
        self._projects = None

    async def check(self) -> None:
        """Raise StoreError unless the store is open."""
        self._project("default")

    # responses

    async def save_response(self, project: str, finished: Finished, /) -> None:
        """Store a terminal response, append its entries to its conversation and release the conversation's lock."""
        state = self._project(project)
        inputs, outputs = state.rows(finished.input), state.rows(finished.output)
        turn = state.begin(finished.response)
        talk = None if finished.conversation_id is None else state.talks.get(finished.conversation_id)
        appended_to = talk if finished.append else None
        ids = state.place((*inputs, *outputs), () if appended_to is None else appended_to.items)
        turn.input = ids[: len(inputs)]
        turn.output = dict(enumerate(ids[len(inputs) :]))
        turn.expires_at = finished.expires_at
        if appended_to is not None:
            state.join(ids, appended_to)
        if talk is not None:
            talk.owner = None

    async def response(self, project: str, response_id: str, /) -> Response | None:
        """The stored response with its whole output, equal to the one saved."""
        state = self._project(project)
        found = state.turns.get(response_id)
        return None if found is None else state.shown(found)

    async def status(self, project: str, response_id: str, /) -> ResponseStatus | None:
        """The status that `response` would tell."""
        found = self._project(project).turns.get(response_id)
        return None if found is None or found.response is None else found.response.status

    async def delete_response(self, project: str, response_id: str, /) -> bool:
        """Delete the response and its memberships; False when there is none. Conversations keep their items."""
        return self._project(project).drop(response_id)

    async def chain(self, project: str, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it or one that it builds on does not exist, or it is not
        terminal."""
        state = self._project(project)
        found = state.chain(response_id)
        return state.entries(found.ids) if found is not None and found.done else None

    async def input_items(self, project: str, response_id: str, page: PageQuery, /) -> Slice | None:
        """The full resolved input of the response (the chain before it, then its own input), paged."""
        state = self._project(project)
        found = state.chain(response_id)
        if found is None:
            return None
        return paged([state.items[item_id].item for item_id in found.ids[: len(found.ids) - found.outputs]], page)

    async def items(self, project: str, item_ids: Sequence[str], /) -> dict[str, Entry]:
        """The stored items with these ids; unknown ids are absent from the result."""
        held = self._project(project).items
        return {item_id: held[item_id].entry for item_id in item_ids if item_id in held}

    async def responses(self, project: str, page: PageQuery, /) -> tuple[Sequence[Response], bool]:
        """A page of stored responses by creation, each with its output; whether there are more."""
        state = self._project(project)
        found, more = pick(list(state.turns), page, str)
        return [state.shown(state.turns[response_id]) for response_id in found], more

    async def expire(self, now: float, /) -> int:
        """Delete every response, chat completion and first answer whose time has passed; how many."""
        return sum([expired(state, now) for state in self._open().values()])

    # conversations

    async def create_conversation(self, project: str, conversation: Conversation, items: Sequence[Entry], /) -> None:
        """Store a new conversation with its first items."""
        state = self._project(project)
        if conversation.id in state.talks:
            raise StoreError("The store already holds an object with this id.")
        state.talks[conversation.id] = Talk(conversation)
        self._append(state, state.talks[conversation.id], items)

    async def conversation(self, project: str, conversation_id: str, /) -> Conversation | None:
        """The conversation, or None."""
        talk = self._project(project).talks.get(conversation_id)
        return None if talk is None else talk.conversation

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: dict[str, str], /
    ) -> Conversation | None:
        """Replace the metadata; None when there is no such conversation."""
        talk = self._project(project).talks.get(conversation_id)
        if talk is None:
            return None
        talk.conversation = structs.replace(talk.conversation, metadata=metadata)
        return talk.conversation

    async def delete_conversation(self, project: str, conversation_id: str, /) -> bool:
        """Delete the conversation and its memberships; False when there is none."""
        state = self._project(project)
        talk = state.talks.pop(conversation_id, None)
        if talk is None:
            return False
        state.release(talk.items)
        return True

    async def fork_conversation(
        self, project: str, source_id: str, fork: Conversation, last_item: str | None, /
    ) -> Conversation | None:
        """Store `fork` with the items of the source up to `last_item`; None when either does not exist."""
        state = self._project(project)
        source = state.talks.get(source_id)
        if source is None or (last_item is not None and last_item not in source.items):
            return None
        if fork.id in state.talks:
            raise StoreError("The store already holds an object with this id.")
        talk = state.talks[fork.id] = Talk(fork)
        end = len(source.items) if last_item is None else source.items.index(last_item) + 1
        talk.items = source.items[:end]
        state.uses.update(talk.items)
        return fork

    async def append_items(
        self, project: str, conversation_id: str, items: Sequence[Entry], /
    ) -> tuple[Item, ...] | None:
        """Append; the items as stored, in order; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        if talk is None:
            return None
        return tuple([state.items[item_id].item for item_id in self._append(state, talk, items)])

    def _append(self, state: Project, talk: Talk, items: Sequence[Entry]) -> list[str]:
        ids = state.place(state.rows(items), talk.items)
        talk.items.extend(ids)
        return ids

    async def conversation_items(self, project: str, conversation_id: str, page: PageQuery, /) -> Slice | None:
        """A page of the conversation's items by position; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return None if talk is None else paged([state.items[item_id].item for item_id in talk.items], page)

    async def conversation_entries(self, project: str, conversation_id: str, /) -> Sequence[Entry] | None:
        """All of the conversation, oldest first, as context of a turn; None: no such conversation."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return None if talk is None else state.entries(talk.items)

    async def conversation_item(self, project: str, conversation_id: str, item_id: str, /) -> Item | None:
        """One item of the conversation; None when it is not in it."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        return state.items[item_id].item if talk is not None and item_id in talk.items else None

    async def delete_conversation_item(
        self, project: str, conversation_id: str, item_id: str, /
    ) -> Conversation | None:
        """Remove the item from the conversation; the conversation, or None when either does not exist."""
        state = self._project(project)
        talk = state.talks.get(conversation_id)
        if talk is None or item_id not in talk.items:
            return None
        talk.items.remove(item_id)
        state.release([item_id])
        return talk.conversation

    async def lock_conversation(self, project: str, conversation_id: str, owner: str, until: float, /) -> bool | None:
        """Take the lock for `owner` until that time, or release it; False: another owner holds it; None: no such
        conversation."""
        talk = self._project(project).talks.get(conversation_id)
        if talk is None:
            return None
        if talk.owner not in {None, owner} and talk.until > self._clock.now():
            return False
        talk.owner, talk.until = (owner, until) if until > 0 else (None, 0.0)
        return True

    # background runs

    async def queue_run(self, project: str, run: QueuedRun, /) -> None:
        """Store the accepted run; it can be claimed, retrieved, listed and deleted from now on."""
        state = self._project(project)
        given = state.rows(run.input)
        turn = state.begin(run.response)
        turn.input = state.place(given)
        turn.lease = Lease(next(self._numbers), run.request)
        turn.journal = [] if run.streamed else None
        turn.expires_at = run.expires_at
        named = run.response.conversation
        talk = state.talks.get(named.id) if isinstance(named, ConversationRef) else None
        if talk is not None and talk.owner == run.response.id and run.locked_until is not None:
            talk.until = run.locked_until

    async def claim_runs(
        self, owner: str, now: float, until: float, most: int, per_project: int, /
    ) -> list[ClaimedRun]:
        """Claim at most `most` runs, oldest first, of each project so many that it holds at most `per_project`."""
        held = Counter(state.name for state, _, lease in self._runs() if not lease.free(now))
        claimed: list[ClaimedRun] = []
        for state, turn, lease in self._runs():
            if len(claimed) < most and lease.free(now) and held[state.name] < per_project:
                held[state.name] += 1
                claimed.append(_claimed(state, turn, lease, owner, until))
        return claimed

    async def claim_run(
        self, project: str, response_id: str, owner: str, now: float, until: float, /
    ) -> ClaimedRun | None:
        """Claim this run; None when it is terminal, unknown, or held under a lease that has not passed."""
        state = self._project(project)
        turn = state.turns.get(response_id)
        if turn is None or turn.lease is None or not turn.lease.free(now):
            return None
        return _claimed(state, turn, turn.lease, owner, until)

    async def checkpoint(self, project: str, checkpoint: Checkpoint, /) -> bool:
        """Commit progress; whether a cancel has been asked. FenceError when the run is lost or deleted."""
        state = self._project(project)
        turn, lease = _held(state, checkpoint)
        state.put(turn, checkpoint.entries)
        lease.until, lease.state = checkpoint.until, checkpoint.state
        lease.owner = lease.owner if checkpoint.until > 0 else None
        _journal(turn, checkpoint.batch)
        if checkpoint.batch is not None:
            lease.last = checkpoint.batch.last
        return lease.cancel

    async def finish_run(self, project: str, checkpoint: Checkpoint, finished: Finished, /) -> None:
        """Commit the end: the last events and the terminal response, as save_response does it. FenceError."""
        state = self._project(project)
        turn, _ = _held(state, checkpoint)
        outputs = state.rows(finished.output)
        _journal(turn, checkpoint.batch)
        former = list(turn.output.values())
        turn.output = dict(enumerate(state.place(outputs)))
        state.release(former)
        turn.response, turn.expires_at, turn.lease = finished.response, finished.expires_at, None
        talk = None if finished.conversation_id is None else state.talks.get(finished.conversation_id)
        if talk is not None:
            talk.owner = None
            if finished.append:
                state.join([*turn.input, *turn.made()], talk)

    async def cancel_run(self, project: str, response_id: str, /) -> bool:
        """Ask for a cancel; False when there is no background run of this id that is not terminal."""
        turn = self._project(project).turns.get(response_id)
        if turn is None or turn.lease is None:
            return False
        turn.lease.cancel = True
        return True

    async def batches(self, project: str, response_id: str, after: int, /) -> Sequence[Batch] | None:
        """The journaled batches that hold events behind `after`, in order, at most 1 MB of frames a call."""
        turn = self._project(project).turns.get(response_id)
        if turn is None or turn.journal is None:
            return None
        return bounded(batch for batch in turn.journal if batch.last > after)

    def _runs(self) -> list[tuple[Project, Turn, Lease]]:
        """The runs that have not ended, oldest first."""
        projects = self._open().values()
        found = [(state, turn, turn.lease) for state in projects for turn in state.turns.values() if turn.lease]
        return sorted(found, key=lambda run: run[2].number)

    # prompts

    async def save_prompt(self, project: str, prompt: PromptVersion, /) -> PromptVersion | None:
        """Store a new prompt, or the next version of one; None when there is none of which it could be the next."""
        held = self._project(project).prompts
        if prompt.id not in held and prompt.version != "1":
            return None
        found = held.setdefault(prompt.id, Prompt())
        found.versions.append(structs.replace(prompt, version=str(len(found.versions) + 1)))
        return found.shown(found.versions[-1].version)

    async def prompt(self, project: str, prompt_id: str, version: str | None, /) -> PromptVersion | None:
        """That version, or the default one (None)."""
        found = self._project(project).prompts.get(prompt_id)
        return None if found is None else found.shown(version)

    async def prompts(self, project: str, page: PageQuery, /) -> tuple[Sequence[PromptVersion], bool]:
        """A page of prompts in their default versions, by creation; whether there are more."""
        defaults = [prompt for held in self._project(project).prompts.values() if (prompt := held.shown())]
        return pick(defaults, page, lambda prompt: prompt.id)

    async def prompt_versions(self, project: str, prompt_id: str, /) -> Sequence[PromptVersion]:
        """All versions, oldest first; empty when there is none."""
        found = self._project(project).prompts.get(prompt_id)
        if found is None:
            return ()
        return [shown for one in found.versions if (shown := found.shown(one.version))]

    async def set_default_prompt(self, project: str, prompt_id: str, version: str, /) -> PromptVersion | None:
        """Make this version the default; None when it does not exist."""
        found = self._project(project).prompts.get(prompt_id)
        if found is None or found.shown(version) is None:
            return None
        found.default = version
        return found.shown(version)

    async def delete_prompt(self, project: str, prompt_id: str, /) -> bool:
        """Delete all versions; False when there is none."""
        return self._project(project).prompts.pop(prompt_id, None) is not None

    # chat completions

    async def save_completion(self, project: str, completion: StoredCompletion, /) -> None:
        """Store it."""
        if self._project(project).completions.setdefault(completion.id, completion) is not completion:
            raise StoreError("The store already holds an object with this id.")

    async def completion(self, project: str, completion_id: str, /) -> StoredCompletion | None:
        """The stored one, or None."""
        return self._project(project).completions.get(completion_id)

    async def completions(
        self, project: str, page: PageQuery, model: str | None, metadata: Mapping[str, str], /
    ) -> tuple[Sequence[StoredCompletion], bool]:
        """A page by creation, of this model and with all these metadata; whether there are more."""
        held = list(self._project(project).completions.values())
        wanted = {one.id for one in held if model in {None, one.model} and metadata.items() <= one.metadata.items()}
        return pick(held, page, lambda one: one.id, lambda one: one.id in wanted)

    async def update_completion(
        self, project: str, completion_id: str, metadata: dict[str, str], /
    ) -> StoredCompletion | None:
        """Replace the metadata; None when there is none."""
        held = self._project(project).completions
        if completion_id not in held:
            return None
        held[completion_id] = structs.replace(held[completion_id], metadata=metadata)
        return held[completion_id]

    async def delete_completion(self, project: str, completion_id: str, /) -> bool:
        """Delete it; False when there is none."""
        return self._project(project).completions.pop(completion_id, None) is not None

    # first answers

    async def begin(self, project: str, answer: FirstAnswer, now: float, /) -> FirstAnswer | None:
        """Take the key for this request; None when it was free, otherwise what it stands for."""
        held = self._project(project).answers
        found = held.get(answer.key)
        if found is not None and found.until > now:
            return found
        held[answer.key] = answer
        return None

    async def complete(self, project: str, answer: FirstAnswer, /) -> None:
        """Keep the answer, or the key for longer."""
        held = self._project(project).answers
        found = held.get(answer.key)
        if found is None or (found.status == 0 and found.digest == answer.digest):
            held[answer.key] = answer

    async def forget(self, project: str, key: str, /) -> None:
        """Free a key whose request was not done."""
        held = self._project(project).answers
        if key in held and held[key].status == 0:
            del held[key]

    # what the methods share

    def _open(self) -> dict[str, Project]:
        if self._projects is None:
            raise StoreError("The store is closed.")
        return self._projects

    def _project(self, name: str) -> Project:
        return self._open().setdefault(name, Project(name, self._clock.id))

    def _library(self, name: str) -> Library:
        return self._project(name).library

    def _libraries(self) -> dict[str, Library]:
        return {name: project.library for name, project in self._open().items()}


def _held(state: Project, checkpoint: Checkpoint) -> tuple[Turn, Lease]:
    """The run, if it is still its claimant's; FenceError otherwise."""
    turn = state.turns.get(checkpoint.response_id)
    if turn is None or turn.lease is None or turn.lease.fence != checkpoint.fence:
        raise FenceError
    return turn, turn.lease


def _journal(turn: Turn, batch: Batch | None) -> None:
    if batch is not None:
        turn.journal = [*(one for one in turn.journal or () if one.first < batch.first), batch]


def _claimed(state: Project, turn: Turn, lease: Lease, owner: str, until: float) -> ClaimedRun:
    assert turn.response is not None
    lease.recoveries += lease.owner is not None
    lease.owner, lease.until = owner, until
    lease.fence += 1
    turn.response = moved(turn.response, "in_progress")
    return ClaimedRun(
        project=state.name,
        response=turn.response,
        request=lease.request,
        input=state.entries(turn.input),
        output=tuple([(position, state.items[turn.output[position]].entry) for position in sorted(turn.output)]),
        state=lease.state,
        last=lease.last,
        fence=lease.fence,
        recoveries=lease.recoveries,
        cancel=lease.cancel,
    )


def make(config: Plain, parts: Parts) -> MemoryStore:
    """An empty store."""
    del config
    return MemoryStore(parts.clock)
