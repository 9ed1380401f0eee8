"""AsyncAgent: the same turns in tasks, and the ways in which tasks end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from antiphon.agent import AgentHooks, AsyncAgent, SessionError, TurnFailedError
from antiphon.agent.events import Approval, StepCompleted, StepStarted, TurnCompleted, TurnFailed
from antiphon.agent.items import ABANDONED
from tests.agent.stub import (
    APIConnectionError,
    AsyncStub,
    StatusError,
    add,
    added,
    answered,
    call,
    message,
    opening,
    reply,
    search,
    user,
    whole,
    wish,
)

DEADLINE = 10.0


def agent(stub: AsyncStub, **options: Any) -> AsyncAgent:
    return AsyncAgent(stub, **whole({"tools": [add], "retries": 0, **options}))


def rich() -> list[Any]:
    return [reply(search(), call()), reply(message("Done"), response_id="resp_2")]


def steps_balance(chunks: list[Any]) -> bool:
    started = sum(isinstance(chunk.event, StepStarted) for chunk in chunks)
    return started == sum(isinstance(chunk.event, StepCompleted) for chunk in chunks)


async def again(made: AsyncAgent, stub: AsyncStub, session: str) -> None:
    """The session can be used."""
    stub.play(reply(message("B")))
    assert (await made.create_turn("And?", session, stream=False)).final_text == "B"


async def test_a_turn_is_iterated_with_and_without_await() -> None:
    stub = AsyncStub(*rich(), *rich())
    made = agent(stub)
    session = await made.create_session("Trip")
    one = [chunk.event.event_type async for chunk in made.create_turn("Hi", session)]
    two = [chunk.event.event_type async for chunk in await made.create_turn("Hi", session)]
    assert one == two
    assert one[-1] == "turn_completed"
    assert stub.created == [{"metadata": {"name": "Trip"}}]


async def test_an_eager_session_and_a_result() -> None:
    made = agent(AsyncStub(*rich()))
    session = await made.create_session(eager=True)
    assert session == made.conversation_id(session) == "conv_1"
    turn = made.create_turn("Hi", session)
    async with turn:
        async for _ in turn:
            pass
    assert turn.result.final_text == "Done"


async def test_failures_are_raised_and_retries_are_made() -> None:
    made = agent(AsyncStub(StatusError(429, {"retry-after-ms": "1"}), *rich()), retries=1)
    session = await made.create_session()
    assert (await made.create_turn("Hi", session, stream=False)).final_text == "Done"
    made = agent(AsyncStub([*opening(), APIConnectionError("gone")]))
    with pytest.raises(TurnFailedError) as caught:
        await made.create_turn("Hi", await made.create_session(), stream=False)
    assert caught.value.code == "stream_cut"


async def test_turns_of_one_session_do_not_overlap() -> None:
    made = agent(AsyncStub(*rich()))
    session = await made.create_session()
    async with made.create_turn("Hi", session) as turn:
        await anext(turn)
        with pytest.raises(SessionError):
            await made.create_turn("Hi", session, stream=False)


async def test_tools_run_side_by_side_within_the_limit() -> None:
    running, most = 0, 0

    async def slow(n: int) -> int:
        """Takes turns."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        return n

    calls = [call(f"call_{n}", "slow", f'{{"n": {n}}}') for n in range(6)]
    stub = AsyncStub(reply(*calls), reply(message("Done")))
    made = agent(stub, tools=[slow], parallel_tools=2)
    await made.create_turn("Hi", await made.create_session(), stream=False)
    assert most == 2
    assert stub.inputs[-1] == [answered(f"call_{n}", str(n)) for n in range(6)]


COUNT = 16


@pytest.mark.parametrize("seen", range(COUNT + 1))
@pytest.mark.parametrize("how", ["aclose", "drop", "cancel", "thread"])
async def test_a_turn_that_ends_early_at_any_event_frees_its_session(seen: int, how: str) -> None:
    stub = AsyncStub(*rich())
    made = agent(stub)
    session = await made.create_session()
    turn = made.create_turn("Hi", session)
    chunks = [await anext(turn) for _ in range(seen)]
    if how == "aclose":
        await turn.aclose()
        assert all(stream.closed for stream in stub.streams)
    elif how in {"cancel", "thread"}:
        if how == "thread":
            await asyncio.to_thread(turn.cancel)
        else:
            turn.cancel()
        chunks += [chunk async for chunk in turn]
        assert isinstance(chunks[-1].event, TurnFailed if seen < COUNT - 1 else TurnFailed | TurnCompleted)
        assert steps_balance(chunks)
        assert all(stream.closed for stream in stub.streams)
    del turn
    await again(made, stub, session)


@pytest.mark.parametrize("where", ["stream", "tool", "approval", "wait"])
async def test_a_cancelled_task_frees_its_session(where: str) -> None:
    reached = asyncio.Event()

    async def hang(*_: Any) -> Any:
        """Never returns."""
        reached.set()
        await asyncio.Event().wait()

    async def refuse() -> None:
        reached.set()
        raise StatusError(429, {"retry-after": "60"})

    async def stuck() -> str:
        """Never returns."""
        return await hang()

    scripts: dict[str, list[Any]] = {
        "stream": [[*opening(), added(search(), 0), hang]],
        "tool": [reply(call(name="stuck", arguments="{}"))],
        "approval": [reply(wish())],
        "wait": [[refuse]],
    }
    stub = AsyncStub(*scripts[where])
    made = agent(stub, tools=[stuck], approve=hang, retries=1)
    session = await made.create_session()
    turn = made.create_turn("Hi", session)
    chunks: list[Any] = []

    async def iterate() -> None:
        chunks.extend([chunk async for chunk in turn])

    task = asyncio.create_task(iterate())
    async with asyncio.timeout(DEADLINE):
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        rest = [chunk async for chunk in turn]
    assert isinstance(rest[-1].event, TurnFailed)
    assert rest[-1].event.error_code == "cancelled"
    assert all(stream.closed for stream in stub.streams)
    await again(made, stub, session)
    if where == "tool":
        assert stub.inputs[-1] == [answered("call_1", ABANDONED), user("And?")]


async def test_a_turn_has_its_time() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    made = agent(AsyncStub([*opening(), hang]))
    with pytest.raises(TurnFailedError) as caught:
        await made.create_turn("Hi", await made.create_session(), stream=False, timeout=0.05)
    assert caught.value.code == "timeout"


async def test_a_sync_tool_does_not_stop_the_loop() -> None:
    here = threading.get_ident()

    def where() -> bool:
        """Whether it runs elsewhere."""
        return threading.get_ident() != here

    stub = AsyncStub(reply(call(name="where", arguments="{}")), reply(message("Done")))
    made = agent(stub, tools=[where])
    await made.create_turn("Hi", await made.create_session(), stream=False)
    assert stub.inputs[-1] == [answered("call_1", "true")]


async def test_approvals_by_a_coroutine_and_by_resuming() -> None:
    async def approve(approval: Approval) -> bool | None:
        return True if approval.id == "mcpr_1" else None

    stub = AsyncStub(reply(wish(), wish("mcpr_2")), reply(message("Done")))
    made = agent(stub, approve=approve)
    result = await made.create_turn("Hi", await made.create_session(), stream=False)
    assert result.state is not None
    assert (await made.resume(result.state, {"mcpr_2": "No."}, stream=False)).final_text == "Done"
    assert [item["approve"] for item in stub.inputs[-1]] == [True, False]


class Hooks(AgentHooks):
    """Coroutines, of which one may raise."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.called: list[str] = []

    async def _at(self, name: str) -> None:
        self.called.append(name)
        if name == self.fails:
            raise ValueError("no")

    async def on_turn_start(self, turn_id: str, session_id: str) -> None:
        await self._at("on_turn_start")

    async def on_request(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._at("on_request")
        return {**request, "temperature": 0.5}

    async def on_step(self, result: Any) -> None:
        await self._at("on_step")

    async def on_tool_start(self, call: Any) -> None:
        await self._at("on_tool_start")

    async def on_tool_end(self, call: Any, output: Any) -> None:
        await self._at("on_tool_end")

    async def on_turn_end(self, event: Any) -> None:
        await self._at("on_turn_end")


async def test_hooks_may_be_coroutines() -> None:
    hooks = Hooks()
    stub = AsyncStub(*rich())
    made = agent(stub, hooks=hooks)
    await made.create_turn("Hi", await made.create_session(), stream=False)
    one = ["on_turn_start", "on_request", "on_step", "on_step", "on_step"]
    assert hooks.called == [*one, "on_tool_start", "on_tool_end", "on_step", "on_request", "on_step", "on_turn_end"]
    assert stub.requests[-1]["temperature"] == 0.5


@pytest.mark.parametrize("moment", ["on_turn_start", "on_request", "on_step", "on_tool_start", "on_tool_end"])
async def test_a_hook_that_raises_fails_the_turn_and_not_the_session(moment: str) -> None:
    hooks, stub = Hooks(moment), AsyncStub(*rich())
    made = agent(stub, hooks=hooks)
    session = await made.create_session()
    chunks = [chunk async for chunk in made.create_turn("Hi", session)]
    assert isinstance(chunks[-1].event, TurnFailed)
    assert chunks[-1].event.error_code == "hook_error"
    assert steps_balance(chunks)
    hooks.fails = ""
    await again(made, stub, session)
