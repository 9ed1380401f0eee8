"""What clients and the store give back to us sealed is opened here, on its way into the context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from antiphon.core.effects import Entry
from antiphon.core.sealed import closed, opened
from antiphon.ports.seal import Seal, SealError
from antiphon.wire.codec import decode, encode
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import Compaction, CompactionTrigger, Item
from antiphon.wire.responses import CreateResponse
from antiphon.wire.tools import confidential

REQUEST: Final = "request"
"""The purpose for which requests are sealed that wait for their turn."""


def given_open(entries: Sequence[Entry], seal: Seal, project: str, offset: int) -> tuple[Entry, ...]:
    """The client's input with what its sealed items hold; the entry at place `i` stands at `input[i + offset]`. One
    that was not sealed here for this project is an InvalidRequestError."""
    found: list[Entry] = []
    for place, entry in enumerate(entries):
        try:
            found.append(opened(entry, partial(seal.open, project)))
        except SealError:
            raise _unreadable(f"input[{place + offset}].encrypted_content") from None
    return tuple(found)


def known_open(entries: Sequence[Entry], seal: Seal, project: str, request: CreateResponse) -> tuple[Entry, ...]:
    """What is stored, with what its sealed items hold. Reasoning whose key is gone is left as it is; a conversation
    cannot go on without the summary that it starts from."""
    if not any(map(closed, entries)):
        return tuple(entries)
    return tuple(_known(entry, seal, project, request) if closed(entry) else entry for entry in entries)


def _known(entry: Entry, seal: Seal, project: str, request: CreateResponse) -> Entry:
    try:
        return opened(entry, partial(seal.open, project))
    except SealError:
        if isinstance(entry.item, Compaction):
            named = "input" if request.conversation is None else "conversation"
            raise _unreadable("previous_response_id" if request.previous_response_id else named) from None
        return entry


def kept(request: CreateResponse, seal: Seal, project: str) -> bytes:
    """The request for a row. One whose tools may hold credentials is sealed."""
    body = encode(request)
    if not any(map(confidential, request.tools)):
        return body
    return encode(seal.seal(project, REQUEST, body.decode()))


def taken(body: bytes, seal: Seal, project: str) -> CreateResponse:
    """The request that `kept` made a row of. SealError: its key is gone."""
    if body.startswith(b'"'):
        body = seal.open(project, REQUEST, decode(body, str)).encode()
    return decode(body, CreateResponse)


def triggered(items: Sequence[Item]) -> bool:
    """Whether the input asks for compaction. InvalidRequestError when something follows that."""
    for place, item in enumerate(items):
        if isinstance(item, CompactionTrigger):
            if place + 1 < len(items):
                raise InvalidRequestError(
                    "An item of type 'compaction_trigger' must be the last one of the input.",
                    param=f"input[{place}]",
                    code="invalid_value",
                )
            return True
    return False


def untriggered(items: Sequence[Item]) -> Sequence[Item]:
    """The input without a trigger, which is never stored."""
    return items[:-1] if triggered(items) else items


def _unreadable(param: str) -> InvalidRequestError:
    return InvalidRequestError(
        "The encrypted content could not be verified: it was not made by this server for this project, or was changed.",
        param=param,
        code="invalid_encrypted_content",
    )
