"""From a mark to a server: the settings of a test's server, its models, its script and its cassette."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest
from pydantic import ValidationError

from antiphon.adapters.models import scripted
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import Adapter
from antiphon.choices import Choice
from antiphon.compose import Choices, choose
from antiphon.settings import Settings, SettingsError
from antiphon.testing.folders import Folders, folders
from antiphon.testing.marks import MarkError, Wishes, cassette_of, recording_of, script_of, wishes_of
from antiphon.testing.server import Plan

SCRIPTED: Final = "scripted"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What a test asked for, made ready; `folders` None: it has no cassette."""

    wishes: Wishes
    plan: Plan
    folders: Folders | None

    @property
    def empty(self) -> bool:
        """Whether a cassette is to be replayed that is not there."""
        found = self.folders
        return found is not None and found.replays and found.used != found.cassette


def staged(item: pytest.Item, given: Mapping[str, Any], data: Path) -> Stage:
    """What the test asks for. `given` are settings of the whole test run; those of the mark lie over them. `data` is a
    new folder. Raises MarkError."""
    wishes = wishes_of(item)
    recording = recording_of(wishes, item.config.getoption("--antiphon-record"), os.environ)
    (spare := data / "cassette").mkdir()
    found = folders(cassette_of(item, wishes), recording, spare, own=wishes.cassette is None)
    try:
        return Stage(wishes, _planned(wishes, given, script_of(item, wishes), data, found), found)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)
        raise MarkError(f"the settings of this test are wrong: {words}") from None
    except SettingsError as error:
        raise MarkError(str(error)) from None


def _planned(wishes: Wishes, given: Mapping[str, Any], script: Any, data: Path, folders: Folders | None) -> Plan:
    tree = over(_quiet(data, asks=folders is not None and not folders.replays), given)
    if script is not None:  # then no other model answers
        tree = over(tree, {"models": [], "discovery": {"enabled": False}})
    elif wishes.models:
        tree["models"] = list(wishes.models)
    tree["discovery"].setdefault("builtin", script is None and not tree.get("models"))
    tree = over(tree, wishes.settings or {})
    if folders is not None:
        tree = over(tree, {"cassette": {folders.setting: folders.used}})
    settings = Settings.model_validate(tree)
    choices = choose(settings, os.environ)
    if script is not None:
        choices = _with(choices, script, wishes.models)
    cassette = None if folders is None else folders.cassette
    return Plan(settings=settings, choices=choices, seed=wishes.seed, cassette=cassette)


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Settings over settings: sections merge, everything else is replaced."""
    merged: Tree = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[name] = over(cast("Tree", old), cast("Tree", value)) if both else value
    return merged


def tree_of(file: Path) -> Tree:
    """The settings in a file. Raises MarkError."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MarkError(f"the settings {file.name} cannot be read: {error}") from None


def _quiet(data: Path, *, asks: bool) -> Tree:
    """What a test's server has unless it is told otherwise: no look around on this machine, and `OPENAI_API_KEY` only
    where it records."""
    return {
        "data": {"dir": data / "data"},
        "discovery": {"enabled": asks, "ports": {}},
        "server": {"drain_seconds": 0},
        "log": {"level": "warning"},
    }


def _with(choices: Choices, script: Any, names: Sequence[Any]) -> Choices:
    """The choices with a model that follows a script: a file, steps as the files have them, or a function."""
    stray = [name for name in names if not isinstance(name, str)]
    if stray:
        raise MarkError("with `script`, `models` are the names that the script answers to")
    try:
        config = scripted.script_of(script, tuple(names))
    except ValueError as error:
        raise MarkError(str(error)) from None
    make = cast("Callable[[Any, Parts], Any]", scripted.make)
    ours = Choice(SCRIPTED, Adapter(SCRIPTED, scripted.Script, make), config)
    return msgspec.structs.replace(choices, models=(*choices.models, ours))
