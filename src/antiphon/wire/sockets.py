"""What crosses a WebSocket besides the creation of responses and their events: errors of a request, and the client's
messages that would change a response while it is made, which are answered and not served."""

from __future__ import annotations

import re
from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from antiphon.wire.codec import encode
from antiphon.wire.errors import AntiphonError, InvalidRequestError
from antiphon.wire.events import ErrorDetail, NestedErrorEvent
from antiphon.wire.invalid import plain, read


class Steer(Struct, frozen=True, kw_only=True, tag_field="type", tag="response.steer"):
    """Input of the user for a response that is being made."""

    previous_response_id: str
    input: Raw


class Inject(Struct, frozen=True, kw_only=True, tag_field="type", tag="response.inject"):
    """Input items for a response that is being made."""

    response_id: str
    input: list[Raw]


class SteerError(Struct, frozen=True, kw_only=True):
    """Why steering failed."""

    type: str = "invalid_request_error"
    code: str
    message: str


class SteerTarget(Struct, frozen=True, kw_only=True):
    """The input as it came, and the response that it was for."""

    input: Raw
    previous_response_id: str


class SteerFailed(Struct, kw_only=True, tag_field="type", tag="response.steer.failed"):
    """The input was not taken; the client has it back."""

    sequence_number: int = 0
    error: SteerError
    steer: SteerTarget
    stream_id: str | UnsetType = UNSET


class InjectError(Struct, frozen=True, kw_only=True):
    """Why nothing was injected."""

    code: str
    message: str


class InjectFailed(Struct, kw_only=True, tag_field="type", tag="response.inject.failed"):
    """The items were not taken; the client has them back."""

    sequence_number: int = 0
    response_id: str
    input: list[Raw]
    error: InjectError
    stream_id: str | UnsetType = UNSET


class Reference(Struct, frozen=True):
    """What a message refers to, as far as it can be read: its lane and the response it continues."""

    stream_id: str | None = None
    previous_response_id: str | None = None


_FIELDS: Final = Decoder(dict[str, Raw])
_OTHER: Final = Decoder[Steer | Inject](Steer | Inject)
_OTHERS: Final = frozenset({"response.steer", "response.inject"})
_LANE: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def parse_other(body: bytes) -> Steer | Inject | None:
    """A message that is no `response.create`; None when it is of no known type. Raises InvalidRequestError."""
    return read(body, _OTHER) if _texts(body).get("type") in _OTHERS else None


def reference(body: bytes) -> Reference:
    """What a message that cannot be served refers to; raises nothing."""
    try:
        found = _texts(body)
    except InvalidRequestError:
        return Reference()
    lane = found.get("stream_id")
    return Reference(lane if lane and _LANE.fullmatch(lane) else None, found.get("previous_response_id"))


def envelope(error: AntiphonError, stream_id: str | None = None) -> bytes:
    """The error of a request as a frame: `{type: "error", status, error: {type, code, message, param}}`; `code` is
    never null."""
    detail = ErrorDetail(
        type=error.type,
        code=error.code or error.type,
        message=error.message,
        param=error.param,
        headers=UNSET if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"},
    )
    return encode(NestedErrorEvent(status=error.http_status, error=detail, stream_id=_or_unset(stream_id)))


def unserved(asked: Steer | Inject, *, active: bool, ended: bool, stream_id: str | None) -> bytes:
    """The answer to input for a response that is being made (`active`), has `ended`, or is not known: the client gets
    it back. Here such input goes with the next `response.create`."""
    code = "response_already_completed" if ended else "response_not_found"
    words = "This response has ended." if ended else "No such response is being made on this connection."
    if active:
        words = "Responses take no input here while they are made; send it with the next response.create."
    lane = _or_unset(stream_id)
    if isinstance(asked, Inject):
        error = InjectError(code=code, message=words)
        return encode(InjectFailed(response_id=asked.response_id, input=asked.input, error=error, stream_id=lane))
    target = SteerTarget(input=asked.input, previous_response_id=asked.previous_response_id)
    reason = SteerError(code="steering_not_supported" if active else code, message=words)
    return encode(SteerFailed(error=reason, steer=target, stream_id=lane))


def _texts(body: bytes) -> dict[str, str]:
    """The texts among the fields that say what a message is for. Raises InvalidRequestError."""
    found = {name: plain(raw) for name, raw in read(body, _FIELDS).items() if name in _ADDRESS}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _or_unset(value: str | None) -> str | UnsetType:
    return UNSET if value is None else value


_ADDRESS: Final = frozenset({"type", "stream_id", "previous_response_id"})
