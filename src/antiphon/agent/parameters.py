"""The parameters of a function: their schema for the model, and its arguments as the function takes them.

Law: a function is called only with arguments of its annotated types. Parameters without an annotation take any JSON.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, NotRequired, Optional, TypeAlias, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from antiphon.agent import schema
from antiphon.agent.dictionaries import modern
from antiphon.agent.errors import AgentError, ConfigurationError

Function: TypeAlias = Callable[..., Any]
Names: TypeAlias = Mapping[str, Any]


class ArgumentsError(AgentError):
    """What the model wrote are no arguments of the function; the words are for the model."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes. `positional` are those that it takes by place only, with their defaults; `is_open` says
    that it takes anything besides."""

    adapter: TypeAdapter[Any]
    schema: schema.Schema
    positional: Mapping[str, Any]
    is_open: bool

    @classmethod
    def of(cls, function: Function, words: Mapping[str, str], names: Names | None = None) -> Parameters:
        """`words` describe parameters that do not describe themselves, `names` are looked up for annotations that are
        text. Raises ConfigurationError."""
        wanted = _signature(function)
        hints = _hints(function, names)
        fields = {name: _field(one, hints.get(name, Any), words.get(name)) for name, one in wanted.items()}
        is_open = _is_open(function, hints)
        kind = _dictionary(fields, wanted, is_open=is_open)
        try:
            adapter = schema.adapter(kind)
        except ConfigurationError:
            for name, annotation in fields.items():  # whose fault is it?
                _alone(name, annotation)
            raise
        positional = {name: one.default for name, one in wanted.items() if one.kind is Parameter.POSITIONAL_ONLY}
        said = schema.plain(adapter) | ({"additionalProperties": True} if is_open else {})
        return cls(adapter, _with_defaults(said, fields, wanted), positional, is_open)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Values by name, converted; what was left out is not there. Raises ArgumentsError."""
        text = arguments.strip() or "{}"
        try:
            values: dict[str, Any] = self.adapter.validate_json(text)
        except ValidationError as error:
            raise ArgumentsError(schema.explain(error)) from error
        return {**from_json(text), **values} if self.is_open else values

    def bound(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The values as they are passed: by place and by name."""
        named = dict(values)
        placed: list[Any] = []
        for name, default in self.positional.items():
            placed.append(named.pop(name, default))
        return placed, named


def inner(function: Any) -> Any:
    """What has the annotations and the docstring: the function of a partial, the method of an object that is called."""
    while not inspect.isroutine(function):
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            break
    return function if inspect.isroutine(function) else type(function).__call__


def _signature(function: Function) -> dict[str, Parameter]:
    """The parameters that the model fills: what a partial has bound is not among them."""
    try:
        wanted = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"its parameters cannot be known: {error}") from error
    given: set[str] = set(function.keywords) if isinstance(function, functools.partial) else set()
    places = [one.name for one in wanted.values() if one.kind is Parameter.VAR_POSITIONAL]
    if places:
        raise ConfigurationError(f"*{places[0]} cannot be filled: a model gives arguments by name")
    return {name: one for name, one in wanted.items() if name not in given and one.kind is not Parameter.VAR_KEYWORD}


def _hints(function: Function, names: Names | None) -> dict[str, Any]:
    try:
        return get_type_hints(inner(function), localns=dict(names) if names else None, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"an annotation names what is not known: {error}") from error
    except (TypeError, SyntaxError) as error:
        raise ConfigurationError(f"an annotation is no type: {error}") from error


def _is_open(function: Function, hints: Mapping[str, Any]) -> bool:
    """Whether there is `**more`, for anything."""
    more = [one.name for one in inspect.signature(function).parameters.values() if one.kind is Parameter.VAR_KEYWORD]
    if more and hints.get(more[0], Any) not in (Any, object):
        raise ConfigurationError(f"**{more[0]} cannot be of one type: annotate it with Any")
    return bool(more)


def _field(parameter: Parameter, annotation: Any, words: str | None) -> Any:
    """The annotation with its description: its own first, then that of the docstring."""
    if isinstance(parameter.default, FieldInfo):
        raise ConfigurationError(f"{parameter.name}: write Annotated[..., Field(...)], and the default as a default")
    annotation = modern(annotation)
    if parameter.default is None and annotation is not Any:
        annotation = Optional[annotation]  # noqa: UP045  # of any annotation
    said = _said(annotation)
    return Annotated[annotation, Field(description=said or words)] if said or words else annotation


def _said(annotation: Any) -> str | None:
    """The description in an Annotated: a plain string, or what documents itself (`Doc`), if no Field has one."""
    if get_origin(annotation) is not Annotated:
        said = [_said(one) for one in get_args(annotation) if get_origin(one) is Annotated]
        return next((one for one in said if one), None)
    _, *metadata = get_args(annotation)
    for one in metadata:
        words = one if isinstance(one, str) else getattr(one, "description", getattr(one, "documentation", None))
        if isinstance(words, str):
            return words
    return None


def _dictionary(fields: Names, wanted: Mapping[str, Parameter], *, is_open: bool) -> Any:
    """The type of all arguments: a dictionary, for its keys may have names that no model's fields can have."""
    entries = {
        name: annotation if wanted[name].default is Parameter.empty else NotRequired[annotation]
        for name, annotation in fields.items()
    }
    make: Any = typing_extensions.TypedDict
    made = make("Arguments", entries)
    if not is_open:  # said of what is inside, too; so `allow` is not said
        made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made


def _alone(name: str, annotation: Any) -> None:
    try:
        schema.adapter(annotation)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error


def _with_defaults(made: schema.Schema, fields: Names, wanted: Mapping[str, Parameter]) -> schema.Schema:
    """The schema says the defaults that are JSON; None says nothing."""
    properties: dict[str, schema.Schema] = dict(made.get("properties", {}))
    for name, one in wanted.items():
        if one.default is not Parameter.empty and one.default is not None:
            default = _default(fields[name], one.default)
            if default is not None:
                properties[name] = {**properties[name], "default": default}
    return {**made, "properties": properties}


def _default(annotation: Any, value: Any) -> Any:
    try:
        return TypeAdapter[Any](annotation).dump_python(value, mode="json", warnings="error")
    except (ValueError, TypeError):  # it is no value of its type: the function's own business
        return None
