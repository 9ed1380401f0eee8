"""A turn that waits for approvals, as text: JSON with a version, for today or for another process.

It holds what the session remembers (in the stateless mode all of its items) and the request options of the turn; the
agent that takes it up brings its own client, tools and callbacks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from antiphon.agent.continuity import CONTINUITIES, Session
from antiphon.agent.errors import AgentError
from antiphon.agent.events import Approval, Usage
from antiphon.agent.fields import Json

VERSION: Final = 1


class StateError(AgentError, ValueError):
    """A text is not the state of a turn, or a turn cannot be written as one."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A turn at rest. `rounds`: the requests that it has used, `steps`: the number of its next step."""

    turn_id: str
    session: Session
    approvals: tuple[Approval, ...]
    rounds: int
    steps: int
    response_ids: tuple[str, ...]
    usage: Usage
    options: Json


_KEPT: Final = ("id", "mode", "name", "conversation", "previous", "items", "answers")


def written(paused: Paused) -> str:
    """The turn as text. StateError when its options are not JSON."""
    whole = {
        "antiphon_turn": VERSION,
        "turn_id": paused.turn_id,
        "session": {name: getattr(paused.session, name) for name in _KEPT},
        "approvals": [asdict(approval) for approval in paused.approvals],
        "rounds": paused.rounds,
        "steps": paused.steps,
        "response_ids": list(paused.response_ids),
        "usage": asdict(paused.usage),
        "options": paused.options,
    }
    try:
        return json.dumps(whole, ensure_ascii=False)
    except TypeError as error:
        raise StateError(f"The options of a turn that waits for approvals must be JSON: {error}.") from error


def read(state: str) -> Paused:
    """The turn that `written` wrote. StateError when it did not."""
    try:
        whole: Any = json.loads(state)
        version = whole["antiphon_turn"]
        if version != VERSION:
            raise StateError(f"The state of the turn has version {version}; this library reads version {VERSION}.")
        return Paused(
            turn_id=str(whole["turn_id"]),
            session=_session(whole["session"]),
            approvals=tuple(Approval(**approval) for approval in whole["approvals"]),
            rounds=int(whole["rounds"]),
            steps=int(whole["steps"]),
            response_ids=tuple(whole["response_ids"]),
            usage=Usage(**whole["usage"]),
            options=dict(whole["options"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(f"This is not the state of a turn: {error!r}.") from error


def _session(kept: dict[str, Any]) -> Session:
    if kept["mode"] not in CONTINUITIES:
        raise StateError(f"The state of the turn has no continuity that is known: {kept['mode']!r}.")
    return Session(**{name: kept[name] for name in _KEPT})
