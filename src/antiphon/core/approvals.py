"""Calls that need the client's approval: which of them were approved, and what the model is told of the others.

Law: an approval runs the call that was asked for, once. A request is answered once; its answer is the client's, and is
taken from the input of the turn that it comes with.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.core.effects import Entry, Exchange
from antiphon.core.recall import as_object, flattened
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import McpApprovalRequest, McpApprovalResponse, McpCall, Message, Reasoning

UNANSWERED = "Not run: the user has not approved this call."
UNDONE = "Not run: the user approved this call, but the turn was stopped before it."


class Past(msgspec.Struct, frozen=True):
    """What a tool is told of a turn when it is declared: history and input, and the requests that the client approves
    with it."""

    context: Sequence[Entry] = ()
    approved: tuple[McpApprovalRequest, ...] = ()


def approved(history: Sequence[Entry], given: Sequence[Entry]) -> tuple[McpApprovalRequest, ...]:
    """The requests that the input approves and whose calls have not been run, in order. InvalidRequestError for answers
    to nothing, and for a second answer that says something else."""
    whole = [*history, *given]
    requests = {item.id: item for entry in whole if isinstance(item := entry.item, McpApprovalRequest)}
    run = {item.approval_request_id for entry in whole if isinstance(item := entry.item, McpCall)}
    answers: dict[str, bool] = {}
    found: list[McpApprovalRequest] = []
    passed = _passed(given)
    for place, entry in enumerate(whole, -len(history)):
        item = entry.item
        if not isinstance(item, McpApprovalResponse):
            continue
        request = requests.get(item.approval_request_id)
        if request is None:
            raise InvalidRequestError(f"No approval request with id '{item.approval_request_id}' found.", param="input")
        before = answers.setdefault(item.approval_request_id, item.approve)
        if before is not item.approve:
            words = f"The approval request '{item.approval_request_id}' has been answered already."
            raise InvalidRequestError(words, param="input", code="invalid_value")
        if item.approve and place >= passed and request.id not in run and request not in found:
            found.append(request)
    return tuple(found)


def settled(context: Sequence[Entry], now: Sequence[McpApprovalRequest]) -> tuple[Entry, ...]:
    """The context as the model is to see it: a request whose call has been run (or is, `now`) is told by the call; any
    other is a call that was not run, and why."""
    if not any(isinstance(entry.item, McpApprovalRequest | McpApprovalResponse) for entry in context):
        return tuple(context)
    run = {item.approval_request_id for entry in context if isinstance(item := entry.item, McpCall)}
    run |= {request.id for request in now if request.id}
    answers = {
        item.approval_request_id: item for entry in context if isinstance(item := entry.item, McpApprovalResponse)
    }
    told: list[Entry] = []
    round_ = -1  # requests that nothing was answered between were made together
    for entry in context:
        item = entry.item
        if isinstance(item, McpApprovalResponse):
            round_ -= 1
        elif not isinstance(item, McpApprovalRequest):
            told.append(entry)
        elif item.id not in run:
            told.append(Entry(item, _unrun(item, answers.get(item.id or ""), round_)))
    return tuple(told)


def _unrun(request: McpApprovalRequest, answer: McpApprovalResponse | None, round_: int) -> Exchange:
    """A call that was not run, as the model is told of it."""
    words = UNANSWERED
    if answer is not None and answer.approve:
        words = UNDONE
    elif answer is not None:
        words = f"The user denied this call. {f'Their reason: {answer.reason}' if answer.reason else ''}".strip()
    name = flattened(request.server_label, request.name)
    return Exchange(request.id or "", name, as_object(request.arguments), words, round_)


def _passed(given: Sequence[Entry]) -> int:
    """The place in the input from which on the model has not been asked: it may hold earlier turns."""
    made = (
        place
        for place, entry in enumerate(given)
        if isinstance(entry.item, Reasoning) or (isinstance(entry.item, Message) and entry.item.role == "assistant")
    )
    return max(made, default=-1) + 1
