"""Ending a turn early: whoever does it and whenever, it ends once, lets go of its connection, and frees its session."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from openai import OpenAI

from antiphon.agent import Agent, AgentHooks, TurnFailedError
from antiphon.agent.driver import Turn
from antiphon.agent.events import StepCompleted, StepStarted, TurnCompleted, TurnFailed
from antiphon.agent.items import ABANDONED
from tests.agent.stub import Step, Stub, add, added, answered, call, message, opening, reply, search, user, whole

DEADLINE = 10.0


def agent(stub: Any, **options: Any) -> Agent:
    return Agent(stub, **whole({"tools": [add], "retries": 0, **options}))


def rich() -> list[Any]:
    return [reply(search(), call()), reply(message("Done"), response_id="resp_2")]


def steps_balance(chunks: list[Any]) -> bool:
    started = sum(isinstance(chunk.event, StepStarted) for chunk in chunks)
    return started == sum(isinstance(chunk.event, StepCompleted) for chunk in chunks)


COUNT = len([*agent(Stub(*rich())).create_turn("Hi", "conv_1")])


@pytest.mark.parametrize("seen", range(1, COUNT))
def test_a_turn_cancelled_at_any_event_tells_its_end(seen: int) -> None:
    stub = Stub(*rich(), reply(message("B")))
    made = agent(stub)
    session = made.create_session()
    turn = made.create_turn("Hi", session)
    chunks = [next(turn) for _ in range(seen)]
    turn.cancel()
    chunks += [*turn]
    last = chunks[-1].event
    if isinstance(last, TurnFailed):
        assert last.error_code == "cancelled"
        assert steps_balance(chunks)
    else:
        assert seen >= COUNT - 1
    assert sum(isinstance(chunk.event, TurnFailed | TurnCompleted) for chunk in chunks) == 1
    assert all(stream.closed for stream in stub.streams)
    stub.play(reply(message("B")))
    assert made.create_turn("And?", session, stream=False).final_text == "B"


@pytest.mark.parametrize("seen", range(COUNT))
@pytest.mark.parametrize("how", ["close", "drop", "with", "break"])
def test_a_turn_that_is_left_at_any_event_frees_its_session(seen: int, how: str) -> None:
    stub = Stub(*rich())
    made = agent(stub)
    session = made.create_session()
    turn = made.create_turn("Hi", session)
    if how == "with":
        with turn:
            for _ in range(seen):
                next(turn)
    elif how == "break":
        for place, _ in enumerate(turn):
            if place >= seen:
                break
    else:
        for _ in range(seen):
            next(turn)
    if how == "close":
        turn.close()
        assert [*turn] == []
        assert all(stream.closed for stream in stub.streams)
    del turn
    stub.play(reply(message("B")))
    assert made.create_turn("And?", session, stream=False).final_text == "B"


def test_calls_of_a_turn_that_was_left_are_answered_with_the_next() -> None:
    def never(a: int, b: int) -> int:
        """Never returns."""
        threading.Event().wait(DEADLINE)
        return a + b

    stub = Stub(reply(call(), call("call_2", "never")), reply(message("B")))
    made = agent(stub, tools=[add, never])
    session = made.create_session()
    with made.create_turn("Hi", session) as turn:
        for chunk in turn:
            if "tool_call_completed" in repr(chunk.event):
                break
    assert made.create_turn("And?", session, stream=False).final_text == "B"
    assert stub.inputs[-1] == [answered("call_1", "3"), answered("call_2", ABANDONED), user("And?")]


def test_another_thread_cancels_a_tool_that_never_returns() -> None:
    running = threading.Event()

    def never() -> str:
        """Never returns."""
        running.set()
        threading.Event().wait(DEADLINE)
        return ""

    made = agent(Stub(reply(call(name="never", arguments="{}"))), tools=[never])
    turn = made.create_turn("Hi", made.create_session())
    canceller = threading.Thread(target=lambda: running.wait(DEADLINE) and turn.cancel())
    canceller.start()
    chunks = [*turn]
    canceller.join(DEADLINE)
    assert isinstance(chunks[-1].event, TurnFailed)
    assert steps_balance(chunks)


def test_a_turn_has_its_time() -> None:
    gate = threading.Event()
    script: list[Step] = [*opening(), added(search(), 0), lambda: gate.wait(DEADLINE)]
    made = agent(Stub(script))
    with pytest.raises(TurnFailedError) as caught:
        made.create_turn("Hi", made.create_session(), stream=False, timeout=0.05)
    gate.set()
    assert caught.value.code == "timeout"


class Fails(AgentHooks):
    """Raises at one moment, as often as it comes."""

    def __init__(self, moment: str, fault: BaseException) -> None:
        self.moment, self.fault, self.calls = moment, fault, 0
        for name in (
            "on_turn_start",
            "on_request",
            "on_event",
            "on_step",
            "on_tool_start",
            "on_tool_end",
            "on_turn_end",
        ):
            setattr(self, name, self._at(name))

    def _at(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            if name == self.moment:
                self.calls += 1
                raise self.fault

        return hook


@pytest.mark.parametrize(
    "moment", ["on_turn_start", "on_request", "on_event", "on_step", "on_tool_start", "on_tool_end"]
)
def test_a_hook_that_raises_fails_the_turn_and_not_the_session(moment: str) -> None:
    stub = Stub(*rich())
    hooks = Fails(moment, ValueError("no"))
    made = agent(stub, hooks=hooks)
    session = made.create_session()
    chunks = [*made.create_turn("Hi", session)]
    last = chunks[-1].event
    assert isinstance(last, TurnFailed)
    assert last.error_code == "hook_error"
    assert steps_balance(chunks)
    hooks.moment = ""
    stub.play(reply(message("B")))
    assert made.create_turn("And?", session, stream=False).final_text == "B"


def test_a_hook_that_raises_at_the_end_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    made = agent(Stub(reply(message("A"))), hooks=Fails("on_turn_end", ValueError("no")))
    assert made.create_turn("Hi", made.create_session(), stream=False).final_text == "A"
    assert "a hook failed" in caplog.text


def test_an_interrupt_of_the_program_goes_through_and_frees_the_session() -> None:
    stub = Stub(reply(message("A")), reply(message("B")))
    hooks = Fails("on_step", KeyboardInterrupt())
    made = agent(stub, hooks=hooks)
    session = made.create_session()
    with pytest.raises(KeyboardInterrupt):
        made.create_turn("Hi", session, stream=False)
    hooks.moment = ""
    assert made.create_turn("And?", session, stream=False).final_text == "B"


@contextmanager
def silent(*, answers: bool) -> Generator[tuple[str, threading.Event, threading.Event]]:
    """A server that takes a request, perhaps begins its answer, and says no more; events: it was asked, it was left."""
    listening = socket.create_server(("127.0.0.1", 0))
    asked, left = threading.Event(), threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(DEADLINE)
            connection.recv(65536)
            if answers:
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                created = b'data: {"type":"response.created","response":{"id":"resp_1"},"sequence_number":0}\n\n'
                connection.sendall(head + created)
            asked.set()
            while connection.recv(65536):
                pass
            left.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked, left
    finally:
        listening.close()
        thread.join(DEADLINE)


def cancelled(turn: Turn, asked: threading.Event) -> list[Any]:
    thread = threading.Thread(target=lambda: asked.wait(DEADLINE) and turn.cancel())
    thread.start()
    chunks = [*turn]
    thread.join(DEADLINE)
    return chunks


def test_a_cancelled_turn_hangs_up_on_a_silent_server() -> None:
    with silent(answers=True) as (url, asked, left), OpenAI(base_url=url, api_key="unused", timeout=DEADLINE) as client:
        chunks = cancelled(_turn(client), asked)
        assert left.wait(DEADLINE / 2)
    assert isinstance(chunks[-1].event, TurnFailed)
    assert steps_balance(chunks)


def test_a_cancelled_turn_does_not_wait_for_a_server_that_does_not_answer() -> None:
    with silent(answers=False) as (url, asked, _), OpenAI(base_url=url, api_key="unused", timeout=1.0) as client:
        chunks = cancelled(_turn(client), asked)
    assert isinstance(chunks[-1].event, TurnFailed)
    assert chunks[-1].event.error_code == "cancelled"


def _turn(client: OpenAI) -> Turn:
    made = agent(client, continuity="stateless")
    return made.create_turn("Hi", made.create_session())
