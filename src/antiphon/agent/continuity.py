"""What a session remembers, and what each request holds of it.

Three modes. `conversation`: the server keeps the items of a conversation. `response`: each request names the response
before it. `stateless`: each request holds all items, and the server keeps none.

Law: what the server accepted is remembered, and nothing else: a request that failed leaves nothing behind. A call that
the accepted items leave open has its answer waiting here, the real one or one that says that nothing was done, and the
next request gives it; so no failure makes a session unusable. Where it is in doubt what a conversation holds, it is
read before it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from antiphon.agent.errors import SessionError
from antiphon.agent.fields import Json, mapped
from antiphon.agent.items import answered_by, unanswered

Continuity: TypeAlias = Literal["conversation", "response", "stateless"]
CONTINUITIES: Final = ("conversation", "response", "stateless")
_ENCRYPTED: Final = "reasoning.encrypted_content"


@dataclass
class Session:
    """A line of turns. `answers`: by call id, what the next request says to calls that are open. `doubt`: whether the
    conversation may hold something else than what is remembered. `paused`: the turn that waits for approvals."""

    id: str
    mode: Continuity
    name: str = ""
    conversation: str | None = None
    previous: str | None = None
    items: list[Json] = field(default_factory=list[Json])
    answers: dict[str, Json] = field(default_factory=dict[str, Json])
    doubt: bool = False
    paused: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def take(self) -> None:
        """Begin a turn. SessionError when another one has begun and not ended."""
        if not self._lock.acquire(blocking=False):
            raise SessionError(f"Session {self.id!r} is in the middle of another turn: end it, close it or cancel it.")

    def release(self) -> None:
        """End the turn."""
        self._lock.release()

    @property
    def missing(self) -> bool:
        """Whether a conversation has to be created first."""
        return self.mode == "conversation" and self.conversation is None

    @property
    def unread(self) -> bool:
        """Whether the conversation has to be read first."""
        return self.doubt and self.conversation is not None

    def input(self, messages: Sequence[Json]) -> list[Json]:
        """The input of a request: the answers that are owed, then the messages; an answer that these hold is not
        given twice."""
        given = {answered_by(message) for message in messages}
        return [*(item for key, item in self.answers.items() if key not in given), *messages]

    def request(self, fresh: Sequence[Json]) -> Json:
        """What a request with this input holds of the session."""
        if self.mode == "stateless":
            return {"input": [*self.items, *fresh]}
        if self.mode == "conversation":
            return {"conversation": self.conversation, "input": list(fresh)}
        return {"input": list(fresh)} | ({"previous_response_id": self.previous} if self.previous else {})

    # what comes of requests

    def commit(self, fresh: Sequence[Json], output: Iterable[object], response_id: str) -> None:
        """A response was accepted as part of the session, with the input it had."""
        made = [mapped(item) for item in output]
        self.paused = None
        self.answers = unanswered(made)
        if self.mode == "stateless":
            self.items += [*fresh, *made]
        elif self.mode == "response":
            self.previous = response_id or self.previous

    def lose(self) -> None:
        """A request went out and nobody knows what the server made of it."""
        self.doubt = self.mode == "conversation"

    def learn(self, latest: Iterable[object]) -> None:
        """What the conversation holds, its latest item first. Calls are open at its end only: no request is accepted
        that leaves one open."""
        found = unanswered(reversed([mapped(item) for item in latest]))
        self.answers = {key: self.answers.get(key, item) for key, item in found.items()}
        self.doubt = False

    def reply(self, key: str, item: Json) -> None:
        """The real answer to an open call or approval request."""
        self.answers[key] = item


def continued(request: Json, session: Session, fresh: Sequence[Json]) -> Json:
    """The request with what the session adds to it."""
    whole: dict[str, Any] = {**request, **session.request(fresh)}
    if session.mode == "stateless":
        whole.setdefault("store", False)
        include: list[str] = list(whole.get("include") or ())
        whole["include"] = include if _ENCRYPTED in include else [*include, _ENCRYPTED]
    return whole
