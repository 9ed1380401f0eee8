"""Tools that run in the client's process, as their developers write them: plain functions, or classes.

Law: nothing is worked out before it is needed, so annotations may name what is defined further down.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from typing_extensions import override

from antiphon.agent import docstrings
from antiphon.agent.errors import ConfigurationError
from antiphon.agent.parameters import ArgumentsError, Function, Parameters, inner

P = ParamSpec("P")
R = TypeVar("R")


class ClientTool:
    """A tool as a class: define the three `get_` methods, and `run_impl(self, **arguments)` or `async_run_impl` or both
    (each kind of agent takes its own first; with one of them the tool works under both).

    `timeout` are seconds for a call, None for those of the agent; `strict` None means as the agent says.
    """

    timeout: float | None = None
    strict: bool | None = None

    def get_name(self) -> str:
        """The name that the model calls: letters, digits, `_` and `-`."""
        raise ConfigurationError(f"{type(self).__name__} does not define get_name")

    def get_description(self) -> str:
        """What the model is told of it."""
        raise ConfigurationError(f"{type(self).__name__} does not define get_description")

    def get_input_schema(self) -> Mapping[str, Any]:
        """The JSON schema of its arguments: an object."""
        raise ConfigurationError(f"{type(self).__name__} does not define get_input_schema")

    def get_tool_definition(self) -> dict[str, Any]:
        """The tool as a request holds it."""
        words = self.get_description()
        return {
            "type": "function",
            "name": self.get_name(),
            **({"description": words} if words else {}),
            "parameters": dict(self.get_input_schema()),
            "strict": False,
        }

    def parse(self, arguments: str) -> dict[str, Any]:
        """The arguments of a call by name. Raises ArgumentsError with words for the model."""
        try:
            values = json.loads(arguments.strip() or "{}")
        except ValueError as error:
            raise ArgumentsError(f"Invalid JSON: {error}") from error
        if not isinstance(values, dict):
            raise ArgumentsError("Arguments are an object")
        wanted: list[str] = list(self.get_input_schema().get("required", ()))
        missing = [name for name in wanted if name not in values]
        if missing:
            raise ArgumentsError("; ".join(f"{name}: Field required" for name in missing))
        return cast("dict[str, Any]", values)

    def blocking(self) -> Function | None:
        """What runs a call and blocks; it is given the arguments by name."""
        return getattr(self, "run_impl", None)

    def awaiting(self) -> Function | None:
        """The coroutine function that runs a call."""
        return getattr(self, "async_run_impl", None)


@dataclass(frozen=True, slots=True)
class Options:
    """What `client_tool` was told; None where the function says it itself."""

    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    timeout: float | None = None
    custom: bool | Mapping[str, Any] = False


class FunctionTool(ClientTool, Generic[P, R]):
    """A function as a tool; calling it calls the function."""

    __name__: str

    def __init__(
        self, function: Callable[P, R], options: Options | None = None, names: Mapping[str, Any] | None = None
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.options = options or Options()
        self.strict = self.options.strict
        self.timeout = self.options.timeout
        self._names = names

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, as if it were no tool."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> FunctionTool[..., R]:
        """A method is a tool of its object."""
        if instance is None:
            return self
        bound: Any = cast("Any", self.function).__get__(instance, owner)
        return FunctionTool(bound, self.options, self._names)

    @functools.cached_property
    def documentation(self) -> docstrings.Documentation:
        """The words of its docstring."""
        function = inner(self.function)
        return docstrings.read(
            function.__doc__ or (type(self.function).__doc__ if function is not self.function else "")
        )

    @functools.cached_property
    def parameters(self) -> Parameters:
        """What it takes."""
        return Parameters.of(self.function, self.documentation.parameters, self._names)

    @override
    def get_name(self) -> str:
        function: Any = self.function
        while isinstance(function, functools.partial):
            function = cast("functools.partial[Any]", function).func
        return self.options.name or getattr(function, "__name__", type(function).__name__)

    @override
    def get_description(self) -> str:
        return self.documentation.description if self.options.description is None else self.options.description

    @override
    def get_input_schema(self) -> Mapping[str, Any]:
        return self.parameters.schema

    @override
    def get_tool_definition(self) -> dict[str, Any]:
        if self.options.custom is False:
            return super().get_tool_definition()
        if len(self.parameters.schema["properties"]) != 1:
            raise ConfigurationError("a custom tool has one parameter: the text of the model")
        words = self.get_description()
        return {
            "type": "custom",
            "name": self.get_name(),
            **({"description": words} if words else {}),
            **({"format": dict(self.options.custom)} if isinstance(self.options.custom, Mapping) else {}),
        }

    @override
    def parse(self, arguments: str) -> dict[str, Any]:
        if self.options.custom is not False:
            return dict.fromkeys(self.parameters.schema["properties"], arguments)
        return self.parameters.parse(arguments)

    @override
    def blocking(self) -> Function | None:
        return None if _is_coroutine(self.function) else self._called

    @override
    def awaiting(self) -> Function | None:
        return self._called if _is_coroutine(self.function) else None

    def _called(self, /, **values: Any) -> Any:
        placed, named = self.parameters.bound(values)
        return cast("Function", self.function)(*placed, **named)


def _is_coroutine(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner(function))


@overload
def client_tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def client_tool(
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool | None = None,
    timeout: float | None = None,
    custom: bool | Mapping[str, Any] = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def client_tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a function, which stays callable: `@client_tool`, or `@client_tool(name="...", timeout=5)`.

    The name is that of the function, the descriptions are those of its docstring (Google, NumPy or Sphinx style), and
    the schema is made of its annotations. `strict` demands the strict form of the schema, `timeout` are seconds for a
    call. `custom` makes a custom tool, whose one parameter is the text that the model writes: True, or its `format`.
    """
    frame = inspect.currentframe()
    scope = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}

    def made(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        if not callable(function) or isinstance(function, type | ClientTool):
            raise ConfigurationError(f"client_tool takes a function, not {function!r}")
        return FunctionTool(function, Options(**options), _named(function, scope))

    return made if function is None else made(function)


def _named(function: Any, scope: Mapping[str, Any]) -> dict[str, Any]:
    """What annotations that are text may mean in the function where the tool is declared."""
    written = " ".join(one for one in getattr(inner(function), "__annotations__", {}).values() if isinstance(one, str))
    return {name: value for name, value in scope.items() if name in written} if written else {}
