"""What one project owns, in plain dicts: items once, and lists of their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import msgspec
from msgspec import structs

from antiphon.adapters.memory.library import Library
from antiphon.adapters.sql.rows import Row, renamed, rows, same
from antiphon.core.effects import Entry
from antiphon.core.status import RESPONSE, final
from antiphon.ports.completions import StoredCompletion
from antiphon.ports.idempotency import FirstAnswer
from antiphon.ports.runs import Batch
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import StoreError
from antiphon.wire.prompts import PromptVersion
from antiphon.wire.responses import Response, ResponseStatus


class Lease:
    """A background run that has not ended, the `number`-th of the store. `until` is epoch seconds."""

    def __init__(self, number: int, request: bytes) -> None:
        self.number = number
        self.request = request
        self.owner: str | None = None
        self.until = 0.0
        self.fence = 0
        self.recoveries = 0
        self.cancel = False
        self.last = -1
        self.state: bytes | None = None

    def free(self, now: float) -> bool:
        """Whether it may be claimed."""
        return self.owner is None or self.until < now


class Turn:
    """A stored response. `previous` is None at a chain's start; `gone` when it was deleted, or never was stored. Output
    goes by position."""

    def __init__(self, response: Response | None, previous: Turn | None = None) -> None:
        self.response = response
        self.previous = previous
        self.input: list[str] = []
        self.output: dict[int, str] = {}
        self.gone = response is None
        self.expires_at: float | None = None
        self.lease: Lease | None = None
        self.journal: list[Batch] | None = None

    @property
    def done(self) -> bool:
        """Whether it is terminal."""
        return self.response is not None and final(RESPONSE, self.response.status)

    def made(self) -> list[str]:
        """The ids of its output, in order."""
        return [self.output[position] for position in sorted(self.output)]

    def walk(self) -> Iterator[Turn]:
        """This turn and those before it, newest first."""
        found: Turn | None = self
        while found is not None:
            yield found
            found = found.previous


class Talk:
    """A stored conversation: the ids of its items in order, and its lock."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.items: list[str] = []
        self.owner: str | None = None
        self.until = 0.0


class Prompt:
    """A stored prompt: its versions, oldest first, and the number of the one that was set as default."""

    def __init__(self) -> None:
        self.versions: list[PromptVersion] = []
        self.default: str | None = None

    def shown(self, wanted: str | None = None) -> PromptVersion | None:
        """That version, or the default one."""
        default = self.default or self.versions[-1].version
        number = default if wanted is None else wanted
        found = next((one for one in self.versions if one.version == number), None)
        return None if found is None else structs.replace(found, is_default=found.version == default)


class Chain(msgspec.Struct, frozen=True):
    """The ids of a chain's items; the last `outputs` of them are the last response's output."""

    ids: list[str]
    outputs: int
    done: bool


class Project:
    """What one project owns. `uses` counts the memberships of an item; `new_id` makes ids for items."""

    def __init__(self, name: str, new_id: Callable[[str], str]) -> None:
        self.name = name
        self.turns: dict[str, Turn] = {}
        self.talks: dict[str, Talk] = {}
        self.items: dict[str, Row] = {}
        self.uses: Counter[str] = Counter()
        self.prompts: dict[str, Prompt] = {}
        self.completions: dict[str, StoredCompletion] = {}
        self.answers: dict[str, FirstAnswer] = {}
        self.library = Library()
        self._new_id = new_id

    # items

    def rows(self, entries: Iterable[Entry]) -> tuple[Row, ...]:
        """The entries that hold an item, encoded; what cannot be encoded raises here, before anything is changed."""
        return rows(entries, self._new_id)

    def join(self, ids: Sequence[str], talk: Talk) -> list[str]:
        """Append items that are held to the conversation; one that is in it already is appended under a fresh id."""
        placed = self.place([self.items[item_id] for item_id in ids], talk.items)
        talk.items.extend(placed)
        return placed

    def place(self, given: Iterable[Row], taken: Iterable[str] = ()) -> list[str]:
        """Store the items for one list, or find them stored; their ids. None of `taken` and no id twice."""
        seen = set(taken)
        placed: list[str] = []
        for row in given:
            held = self.items.setdefault(row.id, row)
            if row.id in seen or not same(held.body, row.body):
                held = renamed(row, self._new_id)
                self.items[held.id] = held
            seen.add(held.id)
            placed.append(held.id)
        self.uses.update(placed)
        return placed

    def release(self, ids: Iterable[str]) -> None:
        """Take away one use of each; what nothing refers to is deleted."""
        for item_id in ids:
            self.uses[item_id] -= 1
            if self.uses[item_id] <= 0:
                del self.uses[item_id], self.items[item_id]

    def entries(self, ids: Iterable[str]) -> tuple[Entry, ...]:
        """The items as context."""
        return tuple([self.items[item_id].entry for item_id in ids])

    # responses

    def begin(self, response: Response) -> Turn:
        """A new turn, after the one that it names. StoreError when the id is taken."""
        if response.id in self.turns:
            raise StoreError("The store already holds an object with this id.")
        previous = None
        if response.previous_response_id is not None:
            previous = self.turns.get(response.previous_response_id) or Turn(None)
        turn = self.turns[response.id] = Turn(response, previous)
        return turn

    def drop(self, response_id: str) -> bool:
        """Delete the response; False when there is none."""
        found = self.turns.pop(response_id, None)
        if found is None:
            return False
        found.gone = True
        self.release([*found.input, *found.output.values()])
        return True

    def chain(self, response_id: str) -> Chain | None:
        """The chain that ends with the response; None when one is missing, or a former one is not terminal."""
        last = self.turns.get(response_id)
        turns = [] if last is None else list(last.walk())
        if last is None or any(turn.gone for turn in turns) or not all(turn.done for turn in turns[1:]):
            return None
        ids = [item_id for turn in reversed(turns) for item_id in (*turn.input, *turn.made())]
        return Chain(ids, len(last.output), last.done)

    def shown(self, turn: Turn) -> Response:
        """The response with its output, so far as it is finished."""
        assert turn.response is not None
        if turn.lease is None:
            return turn.response
        made = [item for entry in self.entries(turn.made()) if (item := entry.item) is not None]
        return structs.replace(turn.response, output=tuple(made))

    def put(self, turn: Turn, entries: Iterable[tuple[int, Entry]]) -> None:
        """Store the entries as output, each in its position's place."""
        given = {position: entry for position, entry in entries if entry.item is not None}
        encoded = self.rows(given.values())
        self.release([turn.output.pop(position) for position in given if position in turn.output])
        turn.output.update(zip(given, self.place(encoded), strict=True))


def expired(state: Project, now: float) -> int:
    """Delete what has expired, but for responses whose run has not ended; how many."""
    turns = [own for own, turn in state.turns.items() if not turn.lease and _passed(turn.expires_at, now)]
    completions = [own for own, one in state.completions.items() if _passed(one.expires_at, now)]
    answers = [key for key, answer in state.answers.items() if answer.until <= now]
    for own in turns:
        state.drop(own)
    for own in completions:
        del state.completions[own]
    for key in answers:
        del state.answers[key]
    return len(turns) + len(completions) + len(answers)


def _passed(until: float | None, now: float) -> bool:
    return until is not None and until <= now


def moved(response: Response, status: str) -> Response:
    """The response in that status."""
    return structs.replace(response, status=cast("ResponseStatus", status))
