"""Choosing adapters: what the settings name becomes a factory with its checked config, before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import Adapter, AdapterError, adapter
from antiphon.settings import Problem, SettingsError, unknown
from antiphon.settings.errors import Path
from antiphon.settings.values import Chosen

UNUSED: Final = "unused"
"""Stands for a key that is not needed."""


class Choice(msgspec.Struct, frozen=True):
    """An adapter, its checked config, and what it is called."""

    name: str
    adapter: Adapter
    config: Any

    def make(self, parts: Parts) -> Any:
        """The port."""
        return self.adapter.make(self.config, msgspec.structs.replace(parts, name=self.name))


class Choosing:
    """Finds the adapters that settings name. What is wrong is kept, so that all of it can be said at once. `keyless`:
    nothing outside will be asked, so that variables with keys need not be set."""

    def __init__(self, environ: Mapping[str, str], *, keyless: bool = False) -> None:
        self.environ = environ
        self._keyless = keyless
        self.problems: list[Problem] = []

    def one(self, room: str, path: Path, kind: str, options: Mapping[str, object], name: str) -> Choice | None:
        """The adapter of this kind, its keys checked; None with a problem that names the key."""
        try:
            found = adapter(room, kind)
        except AdapterError as error:
            self.problems.append(Problem((*path, "kind"), str(error)))
            return None
        try:
            return Choice(name, found, _config(found, options, path, self._variable))
        except SettingsError as error:
            self.problems.extend(error.problems)
            return None

    def section(self, room: str, path: str, chosen: Chosen, kind: str) -> Choice | None:
        """As `one`, for a section of the settings that chooses this kind of a room."""
        return self.one(room, (path,), kind, chosen.options, kind)

    def _variable(self, name: str, path: Path) -> str:
        value = self.environ.get(name)
        if value:
            return value
        if self._keyless:
            return UNUSED
        raise SettingsError([Problem(path, f"the environment variable {name} is not set")])


_AT = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"missing required field `(.*?)`")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]")


def _config(found: Adapter, options: Mapping[str, object], path: Path, variable: Callable[[str, Path], str]) -> Any:
    """The adapter's keys as its own type; `KEY_env` names the variable that holds the value of `KEY`."""
    known = [field.encode_name for field in msgspec.structs.fields(found.config)]
    given: dict[str, object] = {}
    for name, value in options.items():
        target = name.removesuffix("_env")
        if name in known:
            given[name] = value
        elif target in known and name != target:
            given[target] = variable(str(value), (*path, name))
        else:
            raise SettingsError([Problem((*path, name), unknown(name, known))])
    try:
        return msgspec.convert(given, found.config, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError([_problem(str(error), path)]) from None


def _problem(words: str, path: Path) -> Problem:
    """What msgspec says of a config, with the place in our tree."""
    at = _AT.search(words)
    steps = tuple(name or int(index) for name, index in _STEP.findall(at[1])) if at else ()
    if missing := _MISSING.search(words):
        return Problem((*path, *steps, missing[1]), "is required")
    return Problem((*path, *steps), _AT.sub("", words))
