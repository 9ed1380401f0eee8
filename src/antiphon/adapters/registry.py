"""The file name is the registry (law 11): `kind` is a file of a room here, or the dotted name of somebody's module."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, cast, get_type_hints

import msgspec

from antiphon.adapters.parts import Parts


class AdapterError(Exception):
    """There is no such adapter, or it does not keep to the convention; the words are for the operator."""


class Adapter(msgspec.Struct, frozen=True):
    """An adapter's factory and the type of its config."""

    kind: str
    config: type[msgspec.Struct]
    make: Callable[[Any, Parts], Any]


def kinds(room: str) -> list[str]:
    """The kinds that a room has, by name: `models`, `stores`, `search`, `tools`."""
    package = importlib.import_module(f"antiphon.adapters.{room}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def adapter(room: str, kind: str) -> Adapter:
    """The adapter of this kind; importing its file is all the loading there is. Raises AdapterError."""
    if "." not in kind and kind not in kinds(room):
        raise AdapterError(f"must be one of {', '.join(kinds(room))}, or the dotted name of a module")
    name = kind if "." in kind else f"antiphon.adapters.{room}.{kind}"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise AdapterError(f"the module {name} cannot be imported: {error}") from None
    make = getattr(module, "make", None)
    if not inspect.isfunction(make):
        raise AdapterError(f"the module {name} has no function make(config, parts)")
    config = get_type_hints(make).get("config")
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct)):
        raise AdapterError(f"make in {name} does not say which msgspec Struct its config is")
    return Adapter(kind, config, cast("Callable[[Any, Parts], Any]", make))
