"""When a request is sent again, and what becomes of one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.agent import Agent, TurnFailedError
from antiphon.agent.retries import LOCKED, Fault, Retries, fault_of
from tests.agent.stub import APIConnectionError, StatusError, Step, Stub, call, message, opening, reply, user, whole

SOON = {"retry-after-ms": "1"}


class ReadTimeout(Exception):  # noqa: N818 - this is the name
    """As httpx names it."""


@pytest.mark.parametrize(
    ("error", "code", "passing", "after"),
    [
        (StatusError(400), "http_400", False, None),
        (StatusError(404, code="not_found"), "not_found", False, None),
        (StatusError(429, {"retry-after": "7"}), "http_429", True, 7.0),
        (StatusError(429, code="insufficient_quota"), "insufficient_quota", False, None),
        (StatusError(503, {"retry-after-ms": "250"}), "http_503", True, 0.25),
        (StatusError(500, {"x-should-retry": "false"}), "http_500", False, None),
        (StatusError(400, {"x-should-retry": "true"}), "http_400", True, None),
        (StatusError(400, code=LOCKED), LOCKED, True, None),
        (StatusError(500, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), "http_500", True, None),
        (APIConnectionError("gone"), "connection_error", True, None),
        (ConnectionResetError("gone"), "connection_error", True, None),
        (ReadTimeout("late"), "timeout", True, None),
        (TimeoutError(), "timeout", True, None),
        (ValueError("odd"), "server_error", False, None),
    ],
)
def test_what_an_exception_means(error: Exception, code: str, passing: bool, after: float | None) -> None:
    fault = fault_of(error)
    assert (fault.code, fault.passing, fault.after) == (code, passing, after)
    assert fault.message


def test_delays_grow_and_are_bounded() -> None:
    fault = Fault("", "x", passing=True)
    retries = Retries(6)
    assert [retries.delay(attempt, fault) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, None]
    assert retries.delay(1, Fault("", "x", passing=True, after=30.0)) == 30.0
    assert retries.delay(1, Fault("", "x", passing=True, after=3600.0)) is None
    assert retries.delay(1, Fault("", "x")) is None


def ask(stub: Stub, **options: Any) -> str:
    made = Agent(stub, **whole(options))
    return made.create_turn("Hi", made.create_session(), stream=False).final_text


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_refusal_is_tried_again(status: int) -> None:
    stub = Stub(StatusError(status, SOON), StatusError(status, SOON), reply(message("A")))
    assert ask(stub) == "A"
    assert stub.inputs == [[user("Hi")]] * 3


@pytest.mark.parametrize(
    ("replies", "tried", "code"),
    [
        ([StatusError(429, SOON)] * 3, 3, "http_429"),
        ([StatusError(400)], 1, "http_400"),
        ([[*opening(), APIConnectionError("gone")]], 1, "stream_cut"),
        ([[*opening(), ReadTimeout("late")]], 1, "timeout"),
        ([[*opening(), ValueError("odd")]], 1, "server_error"),
        ([opening()], 1, "stream_cut"),
    ],
)
def test_anything_else_fails_the_turn(replies: list[Sequence[Step] | Exception], tried: int, code: str) -> None:
    stub = Stub(*replies)
    with pytest.raises(TurnFailedError) as caught:
        ask(stub)
    assert (caught.value.code, len(stub.requests)) == (code, tried)
    assert all(stream.closed for stream in stub.streams)


def test_a_stream_that_breaks_before_its_first_event_is_tried_again() -> None:
    refused = StatusError(429, SOON)
    stub = Stub([refused], reply(message("A")))
    assert ask(stub) == "A"


def test_a_conversation_that_is_locked_is_read_again() -> None:
    stub = Stub(StatusError(400, SOON, code=LOCKED), reply(message("A")))
    stub.held = [call("call_9")]
    assert ask(stub) == "A"
    assert stub.reads == 1
    assert [item.get("call_id") for item in stub.inputs[-1]] == ["call_9", None]


def test_the_clients_own_retries_are_switched_off() -> None:
    stub = Stub(reply(message("A")))
    asked: list[dict[str, int]] = []

    class Client:
        def with_options(self, **options: int) -> Stub:
            asked.append(options)
            return stub

    made = Agent(Client(), model="m")
    made.create_turn("Hi", made.create_session(), stream=False)
    assert asked == [{"max_retries": 0}]


def test_a_dropped_connection_to_the_background_goes_unnoticed() -> None:
    events = reply(message("Hello"))
    stub = Stub([*events[:3], StatusError(500, SOON)], events[3:])
    assert ask(stub, background=True) == "Hello"
    assert stub.fetched == [("resp_1", 2)]
