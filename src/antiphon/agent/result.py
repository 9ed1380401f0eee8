"""What is left of a turn when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from antiphon.agent.events import Approval, StepResult, StopReason, Usage


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A finished turn, or one that waits for approvals.

    `output` is the parsed output when the turn has an `output_type`; `responses` are the objects of the client's
    library, the last one last; `state` is set where `approvals` are awaited: text that `resume` takes, today or in
    another process.
    """

    turn_id: str
    session_id: str
    final_text: str = ""
    output: Any = None
    stop_reason: StopReason = "end_of_turn"
    usage: Usage = field(default_factory=Usage)
    responses: tuple[Any, ...] = ()
    response_ids: tuple[str, ...] = ()
    steps: tuple[StepResult, ...] = ()
    approvals: tuple[Approval, ...] = ()
    state: str | None = None
