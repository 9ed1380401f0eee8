"""An agent as the tool of another.

Law: an inner turn that fails is an output that the outer model reads, with what it cost in the metadata.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

from typing_extensions import override

from antiphon.agent.content import ToolOutput, text
from antiphon.agent.errors import AgentError, ConfigurationError, TurnFailedError
from antiphon.agent.functions import ClientTool
from antiphon.agent.parameters import Function
from antiphon.agent.result import TurnResult

DEPTH: Final = 3
"""How many agents may be asked one below the other."""
INPUT: Final = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The task, with all that has to be known for it."}},
    "required": ["input"],
    "additionalProperties": False,
}

_depth: ContextVar[int] = ContextVar("depth", default=0)


class DepthError(AgentError):
    """Agents ask each other without an end."""


class Asked(Protocol):
    """Agent or AsyncAgent: what is called of them."""

    def create_session(self) -> Any:
        """An id, or what is awaited for one."""
        ...

    def create_turn(self, messages: str, session_id: str, stream: bool) -> Any:
        """A TurnResult, or what is awaited for one."""
        ...


def agent_tool(
    agent: Any, name: str, description: str, *, keep_session: bool = False, max_depth: int = DEPTH
) -> AgentTool:
    """A tool that gives its `input` to `agent` and answers with the final text, or with the parsed output as JSON.

    Each call has a session of its own, so calls may run at the same time. With `keep_session` the agent remembers the
    calls before, and they run one after the other. A turn that fails, or that waits for an approval, is an `is_error`
    output. The metadata hold `turn_id`, `session_id`, `response_ids`, `steps` and `usage`. Below `max_depth` agents no
    further one is asked. Raises ConfigurationError.
    """
    if not (callable(getattr(agent, "create_session", None)) and callable(getattr(agent, "create_turn", None))):
        raise ConfigurationError(f"tool {name!r}: {agent!r} is no agent")
    if max_depth < 1:
        raise ConfigurationError(f"tool {name!r}: max_depth is at least 1")
    return AgentTool(agent, name, description, is_kept=keep_session, max_depth=max_depth)


class AgentTool(ClientTool):
    """See `agent_tool`, which makes it."""

    def __init__(self, agent: Asked, name: str, description: str, *, is_kept: bool, max_depth: int) -> None:
        self._agent = agent
        self._name = name
        self._description = description
        self._is_kept = is_kept
        self._max_depth = max_depth
        self._session: str | None = None
        self._turn = threading.Lock()
        self._awaited_turn = asyncio.Lock()

    @override
    def get_name(self) -> str:
        return self._name

    @override
    def get_description(self) -> str:
        return self._description

    @override
    def get_input_schema(self) -> Mapping[str, Any]:
        return INPUT

    @override
    def blocking(self) -> Function | None:
        return None if self._is_awaited else self._ask

    @override
    def awaiting(self) -> Function | None:
        return self._ask_and_await if self._is_awaited else None

    @property
    def _is_awaited(self) -> bool:
        return any(map(inspect.iscoroutinefunction, (self._agent.create_session, self._agent.create_turn)))

    def _ask(self, **values: Any) -> ToolOutput:
        with _below(self._max_depth), _failure() as failed:
            if not self._is_kept:
                return _told(self._agent.create_turn(_task(values), self._agent.create_session(), stream=False))
            with self._turn:
                session = self._session = self._session or self._agent.create_session()
                return _told(self._agent.create_turn(_task(values), session, stream=False))
        return failed[0]

    async def _ask_and_await(self, **values: Any) -> ToolOutput:
        with _below(self._max_depth), _failure() as failed:
            if not self._is_kept:
                session = await _value(self._agent.create_session())
                return _told(await _value(self._agent.create_turn(_task(values), session, stream=False)))
            async with self._awaited_turn:
                session = self._session = self._session or await _value(self._agent.create_session())
                return _told(await _value(self._agent.create_turn(_task(values), session, stream=False)))
        return failed[0]


@contextmanager
def _below(limit: int) -> Generator[None]:
    depth = _depth.get()
    if depth >= limit:
        raise DepthError(f"{limit} agents are at work one below the other already: answer without this tool")
    token = _depth.set(depth + 1)
    try:
        yield
    finally:
        _depth.reset(token)


@contextmanager
def _failure() -> Generator[list[ToolOutput]]:
    """A turn that fails inside is the output that is in the list afterwards."""
    outputs: list[ToolOutput] = []
    try:
        yield outputs
    except TurnFailedError as error:
        outputs.append(ToolOutput(f"The agent failed: {error.message} ({error.code})", True, _metadata(error.result)))


def _task(values: Mapping[str, Any]) -> str:
    task = values["input"]
    return task if isinstance(task, str) else text(task)


async def _value(made: Any) -> Any:
    return await made if inspect.isawaitable(made) else made


def _told(result: TurnResult) -> ToolOutput:
    if result.approvals:
        tools = ", ".join(approval.tool_name for approval in result.approvals)
        words = f"The agent waits for an approval of {tools}, which nobody can give here"
        return ToolOutput(words, True, _metadata(result))
    return ToolOutput(result.final_text if result.output is None else text(result.output), False, _metadata(result))


def _metadata(result: TurnResult) -> dict[str, Any]:
    return {
        "turn_id": result.turn_id,
        "session_id": result.session_id,
        "response_ids": list(result.response_ids),
        "steps": len(result.steps),
        "usage": {**dataclasses.asdict(result.usage), "total_tokens": result.usage.total_tokens},
    }
