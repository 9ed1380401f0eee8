"""An agent as a tool: what it answers, what it costs, and that there is an end to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from antiphon.agent.content import ToolOutput
from antiphon.agent.errors import ConfigurationError, TurnFailedError
from antiphon.agent.events import Approval, ToolCall, ToolExecutionStepResult, Usage
from antiphon.agent.nested import AgentTool, agent_tool
from antiphon.agent.result import TurnResult
from antiphon.agent.tools import Toolbox
from tests.agent.scripts import Ask, Reply, Say
from tests.agent.site import Fault, Ledger, async_direct, direct
from tests.agent.turns import agent as made
from tests.agent.turns import async_agent as async_made

DEADLINE = 10
HELLO = Reply(groups=((Say(parts=(("text", ("Hel", "lo.")),)),),))
ASKS = Reply(groups=((Ask("ask", '{"input": "task"}'),),))
Answer = Callable[[str, str], TurnResult]


def echo(messages: str, session_id: str) -> TurnResult:
    return TurnResult(
        "turn_1", session_id, f"{session_id}: {messages}", usage=Usage(10, 5, 2, 1), response_ids=("resp_1",)
    )


@dataclass
class Plain:
    """What a tool sees of an Agent."""

    answer: Answer = echo
    sessions: int = 0
    running: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create_session(self, name: str = "") -> str:
        with self.lock:
            self.sessions += 1
            return f"session {self.sessions}"

    def create_turn(self, messages: str, session_id: str, stream: bool = True) -> TurnResult:
        assert not stream
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return self.answer(messages, session_id)
        finally:
            with self.lock:
                self.running -= 1


class Awaited(Plain):
    """What a tool sees of an AsyncAgent."""

    async def create_session(self, name: str = "") -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - awaited
        return super().create_session(name)

    def create_turn(  # pyright: ignore[reportIncompatibleMethodOverride] - awaited
        self, messages: str, session_id: str, stream: bool = True
    ) -> Coroutine[Any, Any, TurnResult]:
        return self._turn(messages, session_id, stream)

    async def _turn(self, messages: str, session_id: str, stream: bool) -> TurnResult:
        await asyncio.sleep(0)
        return super().create_turn(messages, session_id, stream)


def call(text: str, number: int = 1, name: str = "ask") -> ToolCall:
    return ToolCall(f"call_{number}", name, f'{{"input": "{text}"}}')


@pytest.fixture(params=[Plain, Awaited])
def agent(request: pytest.FixtureRequest) -> Plain:
    return request.param()


@pytest.fixture(params=["run", "arun"])
def answered(request: pytest.FixtureRequest) -> Callable[[AgentTool, str], ToolOutput]:
    def answered(tool: AgentTool, text: str) -> ToolOutput:
        toolbox = Toolbox([tool], timeout=DEADLINE)
        return toolbox.run(call(text)) if request.param == "run" else asyncio.run(toolbox.arun(call(text)))

    return answered


Answered = Callable[[AgentTool, str], ToolOutput]


def test_the_model_is_told_what_to_give() -> None:
    assert Toolbox([agent_tool(Plain(), "ask", "Ask the other one.")], strict=True).definitions == [
        {
            "type": "function",
            "name": "ask",
            "description": "Ask the other one.",
            "parameters": {
                "type": "object",
                "properties": {
                    "input": {"type": "string", "description": "The task, with all that has to be known for it."}
                },
                "required": ["input"],
                "additionalProperties": False,
            },
            "strict": True,
        }
    ]


def test_the_final_text_is_the_output_and_the_cost_is_told(answered: Answered, agent: Plain) -> None:
    output = answered(agent_tool(agent, "ask", "Ask."), "hello")

    assert (output.content, output.is_error) == ("session 1: hello", False)
    assert output.metadata == {
        "turn_id": "turn_1",
        "session_id": "session 1",
        "response_ids": ["resp_1"],
        "steps": 0,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cached_tokens": 2,
            "reasoning_tokens": 1,
            "total_tokens": 15,
        },
    }


def test_a_parsed_output_is_told_as_json(answered: Answered, agent: Plain) -> None:
    agent.answer = lambda _, session: TurnResult("turn_1", session, "ignored", output=[1, 2])
    assert answered(agent_tool(agent, "ask", "Ask."), "x").content == "[1, 2]"


def test_each_call_has_a_session_of_its_own(answered: Answered, agent: Plain) -> None:
    tool = agent_tool(agent, "ask", "Ask.")
    assert [answered(tool, "a").content, answered(tool, "b").content] == ["session 1: a", "session 2: b"]


def test_a_session_is_kept_on_demand(answered: Answered, agent: Plain) -> None:
    tool = agent_tool(agent, "ask", "Ask.", keep_session=True)
    assert [answered(tool, "a").content, answered(tool, "b").content] == ["session 1: a", "session 1: b"]


@pytest.mark.parametrize("kind", [Plain, Awaited])
async def test_a_kept_session_has_one_turn_at_a_time(kind: type[Plain]) -> None:
    agent = kind()
    toolbox = Toolbox([agent_tool(agent, "ask", "Ask.", keep_session=True)], timeout=DEADLINE)
    outputs = await asyncio.gather(*(toolbox.arun(call("x", n)) for n in range(5)))
    assert ({output.content for output in outputs}, agent.most) == ({"session 1: x"}, 1)


def failing(messages: str, session_id: str) -> TurnResult:
    raise TurnFailedError("no model", "server_error", TurnResult("turn_1", session_id, usage=Usage(7)))


def test_a_turn_that_fails_is_an_error_with_its_cost(answered: Answered, agent: Plain) -> None:
    agent.answer = failing
    output = answered(agent_tool(agent, "ask", "Ask."), "x")
    assert (output.content, output.is_error) == ("The agent failed: no model (server_error)", True)
    assert output.metadata["usage"]["input_tokens"] == 7


def broken(messages: str, session_id: str) -> TurnResult:
    raise OSError("no network")


def test_whatever_else_goes_wrong_is_an_error_too(answered: Answered, agent: Plain) -> None:
    agent.answer = broken
    tool = agent_tool(agent, "ask", "Ask.", keep_session=True)
    assert answered(tool, "x") == ToolOutput("OSError: no network", is_error=True)
    agent.answer = echo
    assert answered(tool, "y").content == "session 1: y"


def test_a_turn_that_waits_for_an_approval_is_an_error(answered: Answered, agent: Plain) -> None:
    waiting = (Approval("mcpr_1", "shop", "buy", "{}"),)
    agent.answer = lambda _, session: TurnResult("turn_1", session, approvals=waiting, stop_reason="approval")
    output = answered(agent_tool(agent, "ask", "Ask."), "x")
    assert output.is_error
    assert output.content.startswith("The agent waits for an approval of buy")


def test_agents_do_not_ask_each_other_without_end(answered: Answered) -> None:
    asked: list[str] = []
    inner = Plain()
    tool = agent_tool(inner, "ask", "Ask.", max_depth=2)
    toolbox = Toolbox([tool], timeout=DEADLINE)

    def ask_again(messages: str, session_id: str) -> TurnResult:
        asked.append(session_id)
        output = toolbox.run(call(messages))
        return TurnResult("turn_1", session_id, output.content)

    inner.answer = ask_again
    words = "DepthError: 2 agents are at work one below the other already: answer without this tool"
    assert answered(tool, "x").content == words
    assert asked == ["session 1", "session 2"]
    assert answered(tool, "again").content == words


def test_agents_of_both_kinds_may_stand_below_each_other() -> None:
    lowest = Toolbox([agent_tool(Awaited(), "ask", "Ask.")], timeout=DEADLINE)
    middle = Plain(lambda text, session: TurnResult("turn_2", session, lowest.run(call(text)).content))
    upper = Awaited(lambda text, session: TurnResult("turn_3", session, below.run(call(text)).content))
    below = Toolbox([agent_tool(middle, "ask", "Ask.")], timeout=DEADLINE)
    top = Toolbox([agent_tool(upper, "ask", "Ask.")], timeout=DEADLINE)

    assert top.run(call("deep")).content == "session 1: deep"


def test_wrong_arguments_do_not_reach_the_agent(answered: Answered, agent: Plain) -> None:
    toolbox = Toolbox([agent_tool(agent, "ask", "Ask.")])
    assert toolbox.run(ToolCall("1", "ask", '{"task": 1}')).content == "Wrong arguments for ask: input: Field required"
    assert toolbox.run(ToolCall("1", "ask", '{"input": ["a"]}')).content == 'session 1: ["a"]'


@pytest.mark.parametrize(
    ("wrong", "options", "words"),
    [(object(), {}, "tool 'ask': .* is no agent"), (Plain(), {"max_depth": 0}, "max_depth is at least 1")],
)
def test_what_cannot_be_asked_is_refused(wrong: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        agent_tool(wrong, "ask", "Ask.", **options)


# with agents in the flesh


@dataclass
class Pair:
    """An agent that may ask another one, and their servers."""

    inner: Ledger
    outer: Ledger
    ask: Callable[[], TurnResult]

    @property
    def output(self) -> str:
        """What the outer model was told."""
        return self.outer.requests[-1]["input"][0]["output"]


@pytest.fixture(params=[(False, False), (False, True), (True, False), (True, True)], ids=str)
def pair(request: pytest.FixtureRequest) -> Callable[..., Pair]:
    is_outer_awaited, is_inner_awaited = request.param

    def pair(*replies: Reply | Fault, **options: Any) -> Pair:
        inner, outer = Ledger(replies), Ledger([ASKS])
        asked = async_made(async_direct(inner)) if is_inner_awaited else made(direct(inner))
        tools = [agent_tool(asked, "ask", "Ask the other one.", **options)]

        async def ask_and_await() -> TurnResult:
            agent = async_made(async_direct(outer), tools=tools)
            return await agent.create_turn("hello", await agent.create_session(), stream=False)

        def ask() -> TurnResult:
            if is_outer_awaited:
                return asyncio.run(ask_and_await())
            agent = made(direct(outer), tools=tools)
            return agent.create_turn("hello", agent.create_session(), stream=False)

        return Pair(inner, outer, ask)

    return pair


def test_an_agent_asks_another_one(pair: Callable[..., Pair]) -> None:
    two = pair(HELLO)
    result = two.ask()

    assert (result.final_text, two.output) == ("Goodbye.", "Hello.")
    (response,) = next(step for step in result.steps if isinstance(step, ToolExecutionStepResult)).tool_responses
    assert response["metadata"]["usage"]["total_tokens"] > 0
    assert response["metadata"]["response_ids"] == list(two.inner.written)


def test_an_agent_whose_server_is_broken_is_an_output(pair: Callable[..., Pair]) -> None:
    two = pair(Fault(500))
    result = two.ask()

    assert result.final_text == "Goodbye."
    assert two.output.startswith("The agent failed: ")
