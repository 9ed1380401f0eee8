"""Errors of a request on a WebSocket, and messages that are answered and not served."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.wire.errors import AuthenticationError, InvalidRequestError, OverloadedError
from antiphon.wire.events import Completed, Created
from antiphon.wire.frames import documents, encode_event, encode_frames
from antiphon.wire.responses import Response
from antiphon.wire.sockets import Inject, Reference, Steer, envelope, parse_other, reference, unserved

RESPONSE = Response(id="resp_1", created_at=1, status="completed", model="m", user="a\n\nb\ndata: c")
MESSAGE = {"role": "user", "content": "Wait"}
STEER = {"type": "response.steer", "previous_response_id": "resp_1", "input": [MESSAGE]}
INJECT = {"type": "response.inject", "response_id": "resp_1", "input": [MESSAGE]}


def body(fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_documents_are_what_frames_hold() -> None:
    events = [Created(response=RESPONSE), Completed(response=RESPONSE)]
    found = documents(encode_frames(events, 0))
    assert found == [encode_event(event).decode() for event in events]
    assert documents(b"") == []


def test_the_code_of_an_error_is_never_null() -> None:
    found = json.loads(envelope(InvalidRequestError("No.", param="input")))
    assert found == {
        "type": "error",
        "status": 400,
        "error": {
            "type": "invalid_request_error",
            "code": "invalid_request_error",
            "message": "No.",
            "param": "input",
        },
    }
    assert json.loads(envelope(AuthenticationError("No."), "a"))["stream_id"] == "a"


def test_an_error_says_when_to_try_again() -> None:
    found = json.loads(envelope(OverloadedError("Later.", retry_after=5)))
    assert (found["status"], found["error"]["headers"]) == (503, {"retry-after": "5"})


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"stream_id": "a", "previous_response_id": "resp_1"}, Reference("a", "resp_1")),
        ({"stream_id": "a b", "previous_response_id": 7}, Reference()),
        ({"stream_id": ["a"]}, Reference()),
        ({"stream_id": "x" * 257}, Reference()),
        ([], Reference()),
        ("x", Reference()),
    ],
)
def test_a_message_that_cannot_be_served_is_told_by_what_can_be_read(fields: Any, found: Reference) -> None:
    assert reference(body(fields)) == found
    assert reference(b"{") == Reference()
    assert reference(b"\xff") == Reference()


def test_other_messages_are_known_by_their_type() -> None:
    assert isinstance(parse_other(body(STEER)), Steer)
    assert isinstance(parse_other(body(INJECT)), Inject)
    assert parse_other(body({"type": "response.create"})) is None
    assert parse_other(body({})) is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "response.steer"}, "previous_response_id"),
        ({**STEER, "previous_response_id": None}, "previous_response_id"),
        ({**INJECT, "input": "x"}, "input"),
    ],
)
def test_other_messages_are_checked(fields: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_other(body(fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("active", "ended", "code"),
    [
        (True, False, "steering_not_supported"),
        (False, True, "response_already_completed"),
        (False, False, "response_not_found"),
    ],
)
def test_input_that_is_not_taken_is_given_back(active: bool, ended: bool, code: str) -> None:
    steer = parse_other(body(STEER))
    assert steer is not None
    found = json.loads(unserved(steer, active=active, ended=ended, stream_id="a"))
    assert found["type"] == "response.steer.failed"
    assert found["steer"] == {"input": [MESSAGE], "previous_response_id": "resp_1"}
    assert (found["error"]["code"], found["stream_id"]) == (code, "a")
    inject = parse_other(body(INJECT))
    assert inject is not None
    found = json.loads(unserved(inject, active=active, ended=ended, stream_id=None))
    assert (found["type"], found["input"], found["response_id"]) == ("response.inject.failed", [MESSAGE], "resp_1")
    assert found["error"]["code"] in {"response_already_completed", "response_not_found"}
    assert "stream_id" not in found
