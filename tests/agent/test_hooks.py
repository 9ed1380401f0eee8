"""Hooks: what may be given, and that a mistake is told when the agent is made."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.agent.content import ToolOutput
from antiphon.agent.errors import ConfigurationError
from antiphon.agent.events import AgentStreamChunk, InferenceStepResult, ToolCall, TurnFailed, TurnStarted
from antiphon.agent.hooks import AgentHooks, Request, checked


class Counting(AgentHooks):
    """Overrides some, as functions."""

    def __init__(self) -> None:
        self.turns = 0

    def on_turn_start(self, turn_id: str, session_id: str) -> None:
        self.turns += 1

    def on_request(self, request: Request) -> Request:
        return {**request, "temperature": 0}


class Awaited(AgentHooks):
    """Overrides some, as coroutine functions."""

    async def on_turn_start(self, turn_id: str, session_id: str) -> None:
        """Somewhere else."""

    async def on_request(self, request: Request) -> Request:
        return request


class Misspelt(AgentHooks):
    """A method that nobody calls."""

    def on_tool_stop(self) -> None:
        """Never."""


def test_hooks_do_nothing_by_themselves() -> None:
    hooks = checked(None, coroutines=False)
    call = ToolCall("call_1", "add", "{}")

    results = [
        hooks.on_turn_start("turn_1", "conv_1"),
        hooks.on_request({"model": "m"}),
        hooks.on_event(AgentStreamChunk(TurnStarted("turn_1", "conv_1"))),
        hooks.on_step(InferenceStepResult("turn_1_step_0", "resp_1", "", (), "end_of_turn")),
        hooks.on_tool_start(call),
        hooks.on_tool_end(call, ToolOutput("3")),
        hooks.on_turn_end(TurnFailed("turn_1", "conv_1", "no", "server_error")),
    ]
    assert results == [None] * 7


def test_functions_are_hooks_of_either_agent() -> None:
    hooks = Counting()
    assert checked(hooks, coroutines=False) is hooks
    assert checked(hooks, coroutines=True) is hooks


def test_coroutine_functions_are_hooks_of_the_awaiting_agent_only() -> None:
    hooks = Awaited()
    assert checked(hooks, coroutines=True) is hooks
    with pytest.raises(ConfigurationError, match="on_turn_start is a coroutine function"):
        checked(hooks, coroutines=False)


@pytest.mark.parametrize("wrong", [Counting, object(), print])
def test_only_an_object_with_all_hooks_is_taken(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="an object of a subclass of AgentHooks"):
        checked(wrong, coroutines=True)


def test_a_hook_that_nobody_would_call_is_told() -> None:
    with pytest.raises(
        ConfigurationError, match="there is no hook named on_tool_stop; there are on_turn_start, on_request"
    ):
        checked(Misspelt(), coroutines=True)
