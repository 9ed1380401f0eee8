"""What a turn is to do.

Law: nothing in it changes while the turn is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from antiphon.agent.continuity import Session
from antiphon.agent.fields import Json
from antiphon.agent.output import Output
from antiphon.agent.retries import Retries


@dataclass(frozen=True, slots=True)
class Plan:
    """What a turn is to do. `request`: the arguments of `responses.create` that every request has; `options`: those
    that were given for this turn, which a saved state holds; `asks`: whether approvals are put to somebody."""

    turn_id: str
    session: Session
    request: Json
    messages: Sequence[Json] = ()
    options: Json = field(default_factory=dict[str, Any])
    max_steps: int = 10
    usage_limit: int | None = None
    retries: Retries = field(default_factory=Retries)
    output: Output | None = None
    asks: bool = False
    collapse: bool = False
