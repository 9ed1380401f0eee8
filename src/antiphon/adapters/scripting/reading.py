"""Scripts out of files: YAML, TOML, JSON, or Python. Errors name the file, and the line or key.

A step may be written short: `says: Hello` for `acts: [{act: says, text: Hello}]`, and several acts in the order in
which they stand; so may an act.

    steps:
      - when: weather
        calls: {name: get_weather, arguments: {city: Oslo}}
      - when: {called: get_weather}
        says: It is ${output.temperature} degrees.
"""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from antiphon.adapters.scripting.acts import Act, Calling, Step
from antiphon.adapters.scripting.asking import Asking

Way: TypeAlias = tuple[str | int, ...]
Answers: TypeAlias = Callable[[Asking], "str | Act | Sequence[Act | str] | Step"]
"""A script in Python: what to say to what is asked; a text is said."""

SHORT: Final = ("says", "refuses", "reasons", "calls", "sends", "waits", "fails", "cuts")
_AT: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


class ScriptError(ValueError):
    """A script cannot be read; the words name the file and the place."""


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A script: the steps, or the function that answers, and the names of the models that follow it."""

    steps: tuple[Step, ...] = ()
    models: tuple[str, ...] = ()


class Found(Struct, frozen=True):
    """What a file holds: `answers` is that of a Python script."""

    steps: tuple[Step, ...] = ()
    models: tuple[str, ...] = ()
    answers: Answers | None = None


def read(path: Path) -> Found:
    """The script in a file. Raises ScriptError."""
    if path.suffix == ".py":
        return _python(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ScriptError(f"{path}: cannot be read: {reason}") from None
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise ScriptError(f"{path}: a script is .yaml, .toml, .json or .py")
    tree, lines = reader(path, text)
    return converted(tree, str(path), lines)


def converted(tree: object, name: str, lines: Mapping[Way, int] | None = None) -> Found:
    """A script out of plain data: a list of steps, or an object with `steps` and `models`. Raises ScriptError."""
    if isinstance(tree, list | tuple):
        tree = {"steps": cast("Sequence[object]", tree)}
    if not isinstance(tree, dict):
        raise ScriptError(f"{name}: a script is a list of steps, or has them as `steps`")
    ways: dict[Way, Way] = {}
    given = cast("dict[str, Any]", tree)
    try:
        steps = [_long(step, ("steps", place), ways) for place, step in enumerate(given.get("steps") or ())]
        found = msgspec.convert({**given, "steps": steps}, Document)
    except msgspec.ValidationError as error:
        words = str(error)
        at = _AT.search(words)
        way = tuple(part or int(place) for part, place in _STEP.findall(at[1])) if at else ()
        words = _AT.sub("", words).replace("missing required field", "lacks the field")
        raise ScriptError(_told(name, _written(way, ways), words, lines or {})) from None
    return Found(found.steps, found.models)


def said(answer: object) -> Step:
    """What a script in Python answered, as a step. Raises ScriptError."""
    if isinstance(answer, Step):
        return answer
    given: Sequence[Any] = cast("Sequence[Any]", answer) if isinstance(answer, list | tuple) else [answer]
    acts = [{"says": each} if isinstance(each, str) else each for each in given]
    return converted([{"acts": acts}], "the script's function").steps[0]


# short forms


def _long(step: object, way: Way, ways: dict[Way, Way]) -> object:
    """A step with its acts written out; `ways` learns where each of them stood."""
    if not isinstance(step, dict):
        return step
    given = cast("dict[str, Any]", step)
    rest = {name: value for name, value in given.items() if name not in SHORT}
    acts = [_act({name: value}) for name, value in given.items() if name in SHORT]
    places: list[Way] = [(*way, name) for name in given if name in SHORT]
    listed = given.get("acts")
    if isinstance(listed, list | tuple):
        for place, act in enumerate(cast("Sequence[object]", listed)):
            acts.append(_act(act))
            places.append((*way, "acts", place))
    for place, written in enumerate(places):
        ways[*way, "acts", place] = written
    return {**rest, "acts": acts} if acts or "acts" not in given else given


def _act(act: object) -> object:
    """An act written out: `{says: Hello}` as `{act: says, text: Hello}`."""
    if not isinstance(act, dict) or "act" in act:
        return cast("object", act)
    given = cast("dict[str, Any]", act)
    name = next((name for name in given if name in SHORT), None)
    if name is None or len(given) > 1:
        return given
    return {"act": name, **_fields(name, given[name])}


def _fields(name: str, value: Any) -> dict[str, Any]:
    """The fields of an act whose short form has this value."""
    if name in {"says", "refuses", "reasons"}:
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {"text": value}
    if name == "waits":
        return {"seconds": value} if isinstance(value, int | float) else _held(value, "gate")
    if name == "fails":
        return _held(value, "error")
    if name == "sends":
        return {"pieces": value}
    if name == "cuts":
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if isinstance(value, dict) and "calls" in value:
        return cast("dict[str, Any]", value)
    calls: Sequence[Any] = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else [value]
    return {"calls": [Calling(call) if isinstance(call, str) else call for call in calls]}


def _held(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return {} if value is True or value is None else {name: value}


# places


def _written(way: Way, ways: Mapping[Way, Way]) -> Way:
    """Where what was found at this way stands in the file."""
    for length in range(len(way), 0, -1):
        if (place := ways.get(way[:length])) is not None:
            return (*place, *way[length:])
    return way


def _told(name: str, way: Way, words: str, lines: Mapping[Way, int]) -> str:
    line = next((lines[way[:length]] for length in range(len(way), -1, -1) if way[:length] in lines), None)
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in way).lstrip(".")
    return ": ".join(part for part in (name if line is None else f"{name}:{line}", where, words) if part)


# files


def _json(path: Path, text: str) -> tuple[object, dict[Way, int]]:
    try:
        return json.loads(text), {}
    except json.JSONDecodeError as error:
        raise ScriptError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None


def _toml(path: Path, text: str) -> tuple[object, dict[Way, int]]:
    try:
        return tomllib.loads(text), {}
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise ScriptError(f"{path}{f':{line[1]}' if line else ''}: not TOML: {error}") from None


def _yaml(path: Path, text: str) -> tuple[object, dict[Way, int]]:
    try:
        import yaml  # noqa: PLC0415  # not everybody has it
    except ImportError:
        raise ScriptError(
            f"{path}: scripts in YAML need the package PyYAML (antiphon[yaml]); TOML and JSON need nothing"
        ) from None
    lines: dict[Way, int] = {}
    loader: Any = yaml.SafeLoader(text)
    try:
        node: Any = loader.get_single_node()
        lines.update(_lines(node, (), set()))
        return (None if node is None else cast("object", loader.construct_document(node))), lines
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise ScriptError(f"{path}{f':{mark.line + 1}' if mark else ''}: not YAML: {problem}") from None
    finally:
        loader.dispose()


def _lines(node: Any, way: Way, seen: set[int]) -> Iterator[tuple[Way, int]]:
    """The line on which each value of a YAML document begins; that of its key, where it has one. An alias has the lines
    of what it stands for."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    yield way, node.start_mark.line + 1
    if node.id == "mapping":
        for key, value in node.value:
            inner = (*way, str(key.value))
            yield from _lines(value, inner, seen)
            yield inner, key.start_mark.line + 1
    elif node.id == "sequence":
        for place, value in enumerate(node.value):
            yield from _lines(value, (*way, place), seen)


_READERS: Final = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}


def _python(path: Path) -> Found:
    """`script` in a Python file: steps, as in the other files, or a function."""
    try:
        names = runpy.run_path(str(path))
    except (OSError, SyntaxError, ImportError, NameError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise ScriptError(f"{path}: {type(error).__name__}: {error}") from None
    script: object = names.get("script")
    if callable(script):
        return Found((), tuple(names.get("models", ())), cast("Answers", script))
    if script is None:
        raise ScriptError(f"{path}: there is no `script`, a list of steps or a function")
    found = converted(script, str(path))
    return msgspec.structs.replace(found, models=found.models or tuple(names.get("models", ())))
