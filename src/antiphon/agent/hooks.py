"""What a program may do at the moments of a turn: subclass AgentHooks and define what is wanted."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping
from typing import Any, TypeAlias

from antiphon.agent.content import ToolOutput
from antiphon.agent.errors import ConfigurationError
from antiphon.agent.events import AgentStreamChunk, StepResult, ToolCall, TurnCompleted, TurnFailed

Nothing: TypeAlias = Awaitable[None] | None
Request: TypeAlias = dict[str, Any]


class AgentHooks:
    """Methods that an agent calls; all do nothing here. Under AsyncAgent they may be coroutine functions.

    They run in the order of the events, between them: a slow hook slows the turn. `on_tool_start` and `on_tool_end`
    of calls that run at the same time come in any order, and under Agent in the threads of the calls. A hook that
    raises fails the turn like any other fault: open steps are completed, `turn_failed` is the last event, and the
    session can be used again.
    """

    def on_turn_start(self, turn_id: str, session_id: str) -> Nothing:
        """Before anything is sent."""

    def on_request(self, request: Request) -> Awaitable[Request | None] | Request | None:
        """Before each request, with the arguments of `responses.create`; what is returned is sent instead, None sends
        the (perhaps changed) request."""

    def on_event(self, chunk: AgentStreamChunk) -> Nothing:
        """Each event, before the caller of the turn sees it."""

    def on_step(self, result: StepResult) -> Nothing:
        """A step has been completed."""

    def on_tool_start(self, call: ToolCall) -> Nothing:
        """A client tool is about to run."""

    def on_tool_end(self, call: ToolCall, output: ToolOutput) -> Nothing:
        """A client tool has run; `output.is_error` says whether it failed."""

    def on_turn_end(self, event: TurnCompleted | TurnFailed) -> Nothing:
        """The turn is over."""


MOMENTS: Mapping[str, Any] = {name: value for name, value in vars(AgentHooks).items() if name.startswith("on_")}


def checked(hooks: AgentHooks | None, *, coroutines: bool) -> AgentHooks:
    """The hooks to call. Raises ConfigurationError for what has not the methods, for `on_` methods that nobody would
    call, and for coroutine functions where `coroutines` is False."""
    if hooks is None:
        return AgentHooks()
    missing = [name for name in MOMENTS if not callable(getattr(hooks, name, None))]
    if isinstance(hooks, type) or missing:
        raise ConfigurationError("hooks is an object of a subclass of AgentHooks")
    strays = [name for name in dir(hooks) if name.startswith("on_") and name not in MOMENTS]
    if strays:
        raise ConfigurationError(f"there is no hook named {strays[0]}; there are {', '.join(MOMENTS)}")
    waiting = [name for name in MOMENTS if inspect.iscoroutinefunction(getattr(hooks, name))]
    if waiting and not coroutines:
        raise ConfigurationError(f"{waiting[0]} is a coroutine function: only AsyncAgent can await it")
    return hooks
