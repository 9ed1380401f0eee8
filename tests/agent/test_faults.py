"""Bad input and faults: whatever goes wrong, there is one terminal event, no step is open, and the session goes on.

Scripts are played in this process; test_server_faults.py meets our server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import pytest

from antiphon.agent import (
    Agent,
    StepCompleted,
    StepProgress,
    TextDelta,
    ToolExecutionStepResult,
    TurnCompleted,
    TurnFailedError,
)
from tests.agent.grammar import check, failed, shape
from tests.agent.scripts import Ask, Ending, Ghost, Part, Reply, Say, Think, Wish, Work
from tests.agent.site import Fault, Ledger, async_direct, direct, unsettled
from tests.agent.turns import TOOLS, Chunks, Talk, agent, note, talk
from tests.whole.house import DEADLINE

DRIVERS: Final[dict[str, Callable[[Ledger], Any]]] = {"sync": direct, "async": async_direct}
MODES: Final = ("conversation", "response", "stateless")
both = pytest.mark.parametrize("driver", DRIVERS)
every_mode = pytest.mark.parametrize("mode", MODES)

SAID: Final = Say((("text", ("Hel", "lo")),))
DOUBLE: Final = Ask("double", '{"n": 1}')


def one(*parts: Part, **fields: Any) -> Reply:
    """A reply whose parts come one after another."""
    return Reply(groups=tuple((part,) for part in parts), **fields)


def told(chunks: Chunks) -> str:
    """The text, as it came."""
    deltas = [chunk.event.delta for chunk in chunks if isinstance(chunk.event, StepProgress)]
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def code(chunks: Chunks) -> str:
    """How the turn ended, in a word."""
    check(chunks)
    fault = failed(chunks)
    last = chunks[-1].event
    assert fault or isinstance(last, TurnCompleted)
    return fault.error_code if fault else last.stop_reason if isinstance(last, TurnCompleted) else ""


def outputs(chunks: Chunks) -> list[tuple[Any, bool]]:
    """What the tools of the client gave: text, and whether it is an error."""
    results = [chunk.event.result for chunk in chunks if isinstance(chunk.event, StepCompleted)]
    rounds = [result for result in results if isinstance(result, ToolExecutionStepResult)]
    responses = [response for result in rounds for response in result.tool_responses]
    return [(response["content"], response["is_error"]) for response in responses]


async def sound(line: Talk, ledger: Ledger) -> None:
    """The session can be used: the next turn is as if nothing had happened, and no call is left or answered twice."""
    ledger.left.clear()
    chunks = await line.say("Are you there?")
    assert code(chunks) == "end_of_turn", chunks[-1]
    assert told(chunks) == "Goodbye."
    assert ledger.refused == []
    assert ledger.repeated == []
    assert unsettled(ledger.context(ledger.requests[-1])) is None


async def played(driver: str, replies: Sequence[Reply | Fault], **options: Any) -> tuple[Chunks, Talk, Ledger]:
    """A turn over these replies."""
    ledger = Ledger(replies)
    line = await talk(DRIVERS[driver](ledger), **options)
    return await line.say(), line, ledger


# what servers do

STATUSES: Final = {
    400: "broken",
    401: "broken",
    404: "broken",
    409: "broken",
    429: "broken",
    500: "broken",
    503: "broken",
}


@both
@every_mode
@pytest.mark.parametrize("status", [0, *STATUSES])
@pytest.mark.parametrize("before", [(), (one(DOUBLE),)], ids=["first", "after_a_call"])
async def test_http_errors(driver: str, mode: str, status: int, before: tuple[Reply, ...]) -> None:
    chunks, line, ledger = await played(driver, [*before, Fault(status)], continuity=mode)
    assert code(chunks) == ("broken" if status else "timeout")
    fault = failed(chunks)
    assert fault is not None
    assert len(fault.response_ids) == len(before)
    assert not status or fault.error_message == "The server is broken."
    await sound(line, ledger)


@both
@every_mode
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("before", [(), (one(DOUBLE),)], ids=["first", "after_a_call"])
@pytest.mark.parametrize("ending", ["failed", "error", "eof", "broken"])
async def test_broken_responses(driver: str, mode: str, kept: bool, before: tuple[Reply, ...], ending: Ending) -> None:
    for at in (0.0, 0.3, 0.6, 1.0):
        broken = one(SAID, DOUBLE, Work("web_search_call"), DOUBLE, ending=ending, at=at, kept=kept)
        chunks, line, ledger = await played(driver, [*before, broken], continuity=mode)
        assert code(chunks) == ("stream_cut" if ending in {"eof", "broken"} and at else code(chunks))
        assert failed(chunks)
        await sound(line, ledger)


@both
@every_mode
@pytest.mark.parametrize(("ending", "stop"), [("incomplete", "max_output_tokens"), ("filtered", "content_filter")])
async def test_incomplete_responses(driver: str, mode: str, ending: Ending, stop: str) -> None:
    chunks, line, ledger = await played(driver, [one(DOUBLE), one(SAID, DOUBLE, ending=ending)], continuity=mode)
    assert code(chunks) == stop
    last = chunks[-1].event
    assert isinstance(last, TurnCompleted)
    assert last.final_text == "Hello"
    assert chunks[-1].response["status"] == "incomplete"
    await sound(line, ledger)
    chunks, line, ledger = await played(driver, [one(DOUBLE, ending=ending)], continuity=mode)
    assert failed(chunks)
    assert code(chunks) == stop
    await sound(line, ledger)


@both
@pytest.mark.parametrize("created", [False, True])
@pytest.mark.parametrize("in_progress", [False, True])
async def test_streams_without_created_or_in_progress(driver: str, created: bool, in_progress: bool) -> None:
    opening: dict[str, bool] = {"created": created, "in_progress": in_progress}
    replies = [one(SAID, DOUBLE, **opening), one(Think(("Hm",)), SAID, **opening), one(**opening)]
    chunks, line, ledger = await played(driver, replies)
    assert code(chunks) == "end_of_turn"
    assert shape(chunks)[1:-1] == ["inference", "tool_execution client", "inference"]
    assert told(chunks) == "HelloHello"
    chunks = await line.say()
    assert shape(chunks) == ["turn_started", "inference", "turn_completed"]
    await sound(line, ledger)


@both
async def test_unknown_items_and_events(driver: str) -> None:
    chunks, line, ledger = await played(driver, [one(Ghost(), SAID, Ghost(), strange=True), one(Ghost())])
    assert code(chunks) == "end_of_turn"
    assert shape(chunks) == ["turn_started", "inference", "turn_completed"]
    assert told(chunks) == "Hello"
    await sound(line, ledger)


@both
@pytest.mark.parametrize("order", [(0,), (0, 1), (1, 0), (2, 1, 0), (1, 1, 0, 2)])
async def test_parallel_tools_of_the_server_keep_their_ids(driver: str, order: tuple[int, ...]) -> None:
    group = (Work("file_search_call"), Work("mcp_call"), Work("web_search_call", fails=True))
    chunks, line, ledger = await played(driver, [Reply((group, (SAID,)), order=order)])
    assert code(chunks) == "end_of_turn"
    results = [chunk.event.result for chunk in chunks if isinstance(chunk.event, StepCompleted)]
    rounds = [result for result in results if isinstance(result, ToolExecutionStepResult)]
    found = {result.tool_calls[0].tool_type: result.tool_responses[0] for result in rounds}
    assert set(found) == {"file_search", "mcp_call", "web_search"}
    assert found["mcp_call"]["content"] == "2"
    assert found["file_search"]["content"]["results"][0]["filename"] == "a.txt"
    assert [found[kind]["is_error"] for kind in ("file_search", "mcp_call", "web_search")] == [False, False, True]
    await sound(line, ledger)


# what models and tools do


def raises(n: int) -> str:
    raise SystemExit("a tool that ends programs")


def strange(n: int) -> object:
    return object()


async def slow(n: int) -> str:
    await asyncio.Event().wait()
    return "never"


class Stuck:
    """A tool that blocks until the test is over."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.free = threading.Event()

    def stuck(self, n: int) -> str:
        self.began.set()
        self.free.wait(DEADLINE)
        return "late"


@both
@every_mode
async def test_what_goes_wrong_in_tools_is_told_to_the_model(driver: str, mode: str) -> None:
    wrong = [
        Ask("breaks", '{"n": 1}'),
        Ask("double", '{"n": "many"}'),
        Ask("double", '{"n": '),
        Ask("double", "[]"),
        Ask("double", ""),
        Ask("nobody", "{}"),
        Ask("nobody", "text", custom=True),
        Ask("raises", '{"n": 1}'),
        Ask("strange", '{"n": 1}'),
    ]
    tools = [*TOOLS, raises, strange]
    chunks, line, ledger = await played(driver, [one(*wrong, DOUBLE), one(SAID)], continuity=mode, tools=tools)
    assert code(chunks) == "end_of_turn"
    found = outputs(chunks)
    assert [is_error for _, is_error in found] == [True] * len(wrong) + [False]
    assert "broken at 1" in found[0][0]
    assert "nobody" in found[5][0]
    sent = [item["output"] for item in ledger.requests[1]["input"] if "output" in item]
    assert sent == [content for content, _ in found]
    await sound(line, ledger)


@both
@every_mode
async def test_tools_that_never_return(driver: str, mode: str) -> None:
    stuck = Stuck()
    options: Any = {"tools": [*TOOLS, stuck.stuck, slow], "tool_timeout": 0.05, "continuity": mode}
    asks = [Ask("stuck", '{"n": 1}'), DOUBLE, Ask("slow", '{"n": 1}')]
    chunks, line, ledger = await played(driver, [one(*asks), one(SAID)], **options)
    assert code(chunks) == "end_of_turn"
    assert [is_error for _, is_error in outputs(chunks)] == [True, False, True]
    assert "0.05" in outputs(chunks)[0][0]
    await sound(line, ledger)
    stuck.free.set()


@both
@every_mode
async def test_a_turn_that_takes_too_long(driver: str, mode: str) -> None:
    stuck = Stuck()
    ledger = Ledger([one(SAID, Ask("stuck", '{"n": 1}'), DOUBLE)])
    options: Any = {"tools": [*TOOLS, stuck.stuck], "tool_timeout": None, "continuity": mode}
    line = await talk(DRIVERS[driver](ledger), **options)
    chunks = await line.say(timeout=0.3)
    assert code(chunks) == "timeout"
    assert shape(chunks) == ["turn_started", "inference", "tool_execution client", "turn_failed"]
    assert outputs(chunks)[0][1]
    stuck.free.set()
    await sound(line, ledger)


@both
async def test_calls_of_a_response_run_side_by_side_and_answer_in_order(driver: str) -> None:
    barrier = threading.Barrier(3, timeout=DEADLINE)

    def meet(n: int) -> int:
        barrier.wait()
        time.sleep(0.01 * (3 - n))  # the last is the first to end
        return n

    asks = [Ask("meet", f'{{"n": {n}}}') for n in range(3)]
    chunks, line, ledger = await played(driver, [one(*asks), one(SAID)], tools=[meet])
    assert code(chunks) == "end_of_turn"
    assert outputs(chunks) == [("0", False), ("1", False), ("2", False)]
    assert [item["output"] for item in ledger.requests[1]["input"]] == ["0", "1", "2"]
    await sound(line, ledger)


@both
async def test_the_loop_has_a_bound(driver: str) -> None:
    chunks, line, ledger = await played(driver, [one(DOUBLE)] * 9, max_steps=4)
    assert code(chunks) == "max_steps"
    assert len(ledger.requests) == 4
    await sound(line, ledger)
    chunks, line, ledger = await played(driver, [one(DOUBLE)] * 9, usage_limit=20)
    assert code(chunks) == "usage_limit"
    assert len(ledger.requests) == 2  # each used 12
    await sound(line, ledger)


# retries


@both
@pytest.mark.parametrize("status", [408, 429, 500, 503, 0])
async def test_a_request_is_repeated_before_the_first_event(driver: str, status: int) -> None:
    soon = (("retry-after-ms", "1"),)
    faults = [Fault(status, headers=soon)] * 2 if status else [Fault(0)]
    retries = 2 if status else 1
    chunks, line, ledger = await played(driver, [*faults, one(SAID)], retries=retries)
    assert code(chunks) == "end_of_turn"
    assert shape(chunks) == ["turn_started", "inference", "turn_completed"]
    assert len(ledger.requests) == len(faults) + 1
    assert ledger.requests[0] == ledger.requests[-1]
    await sound(line, ledger)


@both
async def test_what_is_wrong_for_good_is_not_repeated(driver: str) -> None:
    for fault in (Fault(400), Fault(401), Fault(404), Fault(429, code="insufficient_quota")):
        chunks, line, ledger = await played(driver, [fault], retries=2)
        assert code(chunks) == fault.code
        assert len(ledger.requests) == 1
        await sound(line, ledger)


@both
@pytest.mark.parametrize("mode", ["conversation", "response"])  # a background response is one that is stored
async def test_a_dropped_connection_is_taken_up_again(driver: str, mode: str) -> None:
    dropped = one(SAID, DOUBLE, Work("file_search_call"), SAID, ending="broken", at=0.5, resumes=True)
    chunks, line, ledger = await played(driver, [dropped], continuity=mode, background=True, retries=2)
    assert code(chunks) == "end_of_turn"
    assert told(chunks) == "HelloHelloGoodbye."
    assert ledger.paths.count("retrieve") == 1
    assert len(ledger.requests) == 2
    await sound(line, ledger)


@both
async def test_a_stream_that_cannot_be_taken_up_fails(driver: str) -> None:
    dropped = one(SAID, SAID, ending="broken", at=0.5, kept=True)
    chunks, line, ledger = await played(driver, [dropped], background=True, retries=2)
    assert code(chunks) == "stream_cut"
    await sound(line, ledger)


# cancellation


def allows(_: object) -> bool:
    return True


EVERYTHING: Final = (
    one(Think(("Hm",)), SAID, Work("file_search_call"), DOUBLE, Ask("note", "text", custom=True)),
    one(SAID, Wish(), DOUBLE),
    one(SAID),
)


@both
@every_mode
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_cancellation_at_every_event(driver: str, mode: str, kept: bool, how: Literal["close", "cancel"]) -> None:
    replies = [Reply(reply.groups, kept=kept) for reply in EVERYTHING]
    options: dict[str, Any] = {"continuity": mode, "approve": allows}
    whole_turn, _, _ = await played(driver, replies, **options)
    assert code(whole_turn) == "end_of_turn"
    for after in range(len(whole_turn)):
        ledger = Ledger(replies)
        line = await talk(DRIVERS[driver](ledger), **options)
        chunks = await line.leave(after, how)
        if how == "cancel" and after:
            assert code(chunks) == "cancelled", after
        assert how == "cancel" or len(chunks) == after
        await sound(line, ledger)


@both
async def test_a_turn_that_is_over_cannot_be_cancelled(driver: str) -> None:
    ledger = Ledger([one(SAID)])
    line = await talk(DRIVERS[driver](ledger))
    whole_turn, _, _ = await played(driver, [one(SAID)])
    chunks = await line.leave(len(whole_turn), "cancel")
    assert code(chunks) == "end_of_turn"
    await sound(line, ledger)


async def test_the_task_that_iterates_is_cancelled() -> None:
    stuck = Stuck()
    ledger = Ledger([one(SAID, Ask("stuck", '{"n": 1}'))])
    line = await talk(async_direct(ledger), tools=[*TOOLS, stuck.stuck], tool_timeout=None)
    task = asyncio.create_task(line.say())
    assert await asyncio.to_thread(stuck.began.wait, DEADLINE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stuck.free.set()
    await sound(line, ledger)


def test_an_iterator_that_is_dropped_is_a_turn_that_is_cancelled() -> None:
    ledger = Ledger([one(DOUBLE, SAID)])
    made = agent(direct(ledger))
    session = made.create_session()
    for chunk in made.create_turn("Hi", session):
        if chunk.event.event_type == "step_progress":
            break
    assert code([*made.create_turn("Hi", session)]) == "end_of_turn"
    assert ledger.refused == []


async def test_without_stream_a_failure_is_raised_with_what_was_done() -> None:
    ledger = Ledger([one(SAID, DOUBLE), one(SAID, ending="failed")])
    made = Agent(direct(ledger), model="m", tools=[*TOOLS], retries=0)
    session = made.create_session()
    with pytest.raises(TurnFailedError, match="fell over") as raised:
        made.create_turn("Hi", session, stream=False)
    assert raised.value.code == "server_error"
    assert len(raised.value.result.steps) == 3
    assert len(raised.value.result.response_ids) == 2
    assert made.create_turn("Again", session, stream=False).final_text == "Goodbye."
    assert note("x") == "noted: x"
