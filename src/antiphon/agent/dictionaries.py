"""TypedDicts of the standard library, for pydantic, which takes them only from Python 3.12 on: the same ones with the
class of typing_extensions, also inside other types."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import typing_extensions

from antiphon.agent.errors import ConfigurationError


def modern(annotation: Any) -> Any:
    """The same type, as pydantic takes it."""
    return annotation if sys.version_info >= (3, 12) else _modern(annotation, ())


def _modern(annotation: Any, outer: tuple[Any, ...]) -> Any:
    if typing.is_typeddict(annotation) and type(annotation).__module__ == "typing":
        return _rebuilt(annotation, outer)
    origin, inside = get_origin(annotation), get_args(annotation)
    if not inside or origin in {Literal, Callable}:
        return annotation
    if origin is Annotated:
        return Annotated[(_modern(inside[0], outer), *inside[1:])]
    made = tuple(_modern(one, outer) for one in inside)
    if all(new is old for new, old in zip(made, inside, strict=True)):
        return annotation
    return Union[made] if origin in {Union, UnionType} else origin[made]  # noqa: UP007


def _rebuilt(annotation: Any, outer: tuple[Any, ...]) -> Any:
    if annotation in outer:
        raise ConfigurationError(f"{annotation.__name__} holds itself: take TypedDict from typing_extensions for it")
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(annotation, include_extras=True).items():
        said = get_origin(hint)
        wanted = said is Required or (said is not NotRequired and name in annotation.__required_keys__)
        inner = _modern(get_args(hint)[0] if said in {Required, NotRequired} else hint, (*outer, annotation))
        fields[name] = inner if wanted else NotRequired[inner]
    make: Any = typing_extensions.TypedDict
    made = make(annotation.__name__, fields)
    made.__doc__ = annotation.__doc__
    return made
