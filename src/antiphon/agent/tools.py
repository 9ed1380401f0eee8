"""The tools of an agent, and their calls.

Law: a bad tool fails when the agent is made; a call never fails the turn. Whatever a tool does is an output that the
model reads: what it gave, or `is_error` and why.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeAlias, cast

from antiphon.agent import schema, workers
from antiphon.agent.content import ToolOutput, told
from antiphon.agent.errors import ConfigurationError
from antiphon.agent.events import ToolCall
from antiphon.agent.functions import ClientTool, FunctionTool, client_tool
from antiphon.agent.parameters import ArgumentsError
from antiphon.agent.workers import Attempt

__all__ = ["ClientTool", "FunctionTool", "Tool", "ToolOutput", "Toolbox", "client_tool"]

Tool: TypeAlias = Mapping[str, Any] | ClientTool | Callable[..., Any]
"""A tool as it is sent, one that runs here, or a function to make one of."""

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""Names that the API takes for functions."""


class Toolbox:
    """All tools of an agent.

    `definitions` are what requests hold: dicts as they came, and those of the tools that run here. `strict` is meant
    for tools that do not say it themselves; so are the seconds of `timeout`, for one call. Raises ConfigurationError.
    """

    def __init__(self, tools: Sequence[Tool] = (), *, strict: bool = False, timeout: float | None = None) -> None:
        self.definitions: list[dict[str, Any]] = []
        self._strict = strict
        self._timeout = _seconds(timeout, "tool_timeout")
        self._here: dict[str, ClientTool] = {}
        names: set[str] = set()
        for tool in _listed(tools):
            definition = self._definition(tool)
            name = definition.get("name") if definition["type"] in {"function", "custom"} else None
            if name in names:
                raise ConfigurationError(f"there are two tools named {name!r}")
            if isinstance(name, str):
                names.add(name)
            self.definitions.append(definition)

    def run(self, call: ToolCall) -> ToolOutput:
        """Run a call and wait for it, in this thread where that is possible. Raises nothing but KeyboardInterrupt."""
        found = self._found(call)
        if isinstance(found, ToolOutput):
            return found
        tool, values = found
        timeout = self._timeout if tool.timeout is None else tool.timeout
        if (function := tool.blocking()) is None:
            attempt = _waited(workers.on_loop(_body(tool.awaiting(), values)), timeout)
        elif timeout is None:
            attempt = workers.here(_body(function, values))
        else:
            attempt = _waited(workers.in_thread(_body(function, values)), timeout)
        if inspect.isawaitable(attempt.value):
            attempt = _waited(workers.on_loop(_given(attempt.value)), timeout)
        return _output(attempt)

    async def arun(self, call: ToolCall) -> ToolOutput:
        """Run a call: coroutines on this loop, anything else in a thread. Cancelling it cancels a coroutine, and leaves
        a thread to itself. Raises nothing but KeyboardInterrupt."""
        found = self._found(call)
        if isinstance(found, ToolOutput):
            return found
        tool, values = found
        timeout = self._timeout if tool.timeout is None else tool.timeout
        if (function := tool.awaiting()) is not None:
            attempt = await _until(asyncio.ensure_future(workers.awaited(_body(function, values))), timeout)
        else:
            attempt = await _until(asyncio.wrap_future(workers.in_thread(_body(tool.blocking(), values))), timeout)
        if inspect.isawaitable(attempt.value):
            attempt = await _until(asyncio.ensure_future(workers.awaited(_given(attempt.value))), timeout)
        return _output(attempt)

    def _definition(self, tool: object) -> dict[str, Any]:
        """What a request holds of it; those that run here are kept."""
        if isinstance(tool, dict):
            if not isinstance(tool.get("type"), str):  # pyright: ignore[reportUnknownMemberType] - of anybody
                raise ConfigurationError(f"a tool has a type: {tool!r}")
            return tool  # pyright: ignore[reportUnknownVariableType] - sent as it is
        if isinstance(tool, type) or not (isinstance(tool, ClientTool) or callable(tool)):
            raise ConfigurationError(f"a tool is a dict, a function or a ClientTool, not {tool!r}")
        made = tool if isinstance(tool, ClientTool) else FunctionTool(tool)
        name = made.get_name()
        try:
            definition = self._checked(made)
        except ConfigurationError as error:
            raise ConfigurationError(f"tool {name!r}: {error}") from error
        self._here.setdefault(definition["name"], made)
        return definition

    def _checked(self, tool: ClientTool) -> dict[str, Any]:
        definition = tool.get_tool_definition()
        name = definition.get("name")
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise ConfigurationError(
                "a name has letters, digits, _ and -, at most 128: give it another with client_tool"
            )
        if tool.blocking() is None and tool.awaiting() is None:
            raise ConfigurationError("define run_impl, or async_run_impl")
        _seconds(tool.timeout, "timeout")
        if definition.get("type") == "function" and (self._strict if tool.strict is None else tool.strict):
            return {**definition, "parameters": schema.strict(definition["parameters"]), "strict": True}
        return definition

    def _found(self, call: ToolCall) -> tuple[ClientTool, dict[str, Any]] | ToolOutput:
        """The tool and its arguments by name, or what is wrong with the call."""
        tool = self._here.get(call.tool_name)
        if tool is None:
            known = ", ".join(self._here) or "none"
            return ToolOutput(f"There is no tool {call.tool_name!r} here. Tools: {known}", is_error=True)
        attempt = workers.here(lambda: tool.parse(call.arguments))
        if isinstance(attempt.error, ArgumentsError):
            return ToolOutput(f"Wrong arguments for {call.tool_name}: {attempt.error}", is_error=True)
        return (tool, attempt.value) if attempt.error is None else _output(attempt)


def _listed(tools: Any) -> list[object]:
    if tools is None:
        return []
    if isinstance(tools, str | Mapping | ClientTool) or not isinstance(tools, Iterable):
        raise ConfigurationError("tools is a list")
    return list(cast("Iterable[object]", tools))


def _seconds(timeout: float | None, name: str) -> float | None:
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigurationError(f"{name} is a number of seconds above 0, or None")
    return timeout


def _body(function: Callable[..., Any] | None, values: Mapping[str, Any]) -> Callable[[], Any]:
    if function is None:
        raise ConfigurationError("the tool has no code")  # cannot be: it was looked at when the agent was made
    return functools.partial(function, **values)


def _given(value: Any) -> Callable[[], Any]:
    return lambda: value


def _late(timeout: float | None) -> Attempt:
    return workers.failed(TimeoutError(f"no answer within {timeout} seconds"))


def _waited(future: Future[Attempt], timeout: float | None) -> Attempt:
    try:
        return future.result(timeout)
    except TimeoutError:
        return _late(timeout)
    finally:
        future.cancel()  # if it is not done, nobody wants it any more


async def _until(future: asyncio.Future[Attempt], seconds: float | None) -> Attempt:
    """Not `wait_for`: that would wait for a tool that does not let itself be cancelled."""
    try:
        await asyncio.wait({future}, timeout=seconds)
        return future.result() if future.done() else _late(seconds)
    finally:
        future.cancel()


def _output(attempt: Attempt) -> ToolOutput:
    if isinstance(attempt.error, KeyboardInterrupt):
        raise attempt.error  # somebody wants the program to end
    if attempt.error is not None:
        return ToolOutput(_words(attempt.error), is_error=True)
    said = workers.here(lambda: told(attempt.value))
    if said.error is not None:
        return ToolOutput(f"The tool gave what cannot be sent: {_words(said.error)}", is_error=True)
    output: ToolOutput = said.value
    return output


def _words(error: BaseException) -> str:
    """Its type and message; no traceback, which tells the model of the program and not of the fault."""
    message = workers.here(lambda: str(error)).value or ""
    kind = type(error).__name__
    return (f"{kind}: {message}" if message else kind).encode("utf-8", "replace").decode()
