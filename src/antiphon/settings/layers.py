"""Settings are layers: flags over variables over the file over defaults, and each value keeps its source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final, cast

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError

from antiphon.settings import schema
from antiphon.settings.errors import Path, Problem, SettingsError, unknown
from antiphon.settings.sources import FILE_VARIABLE, FileLayer, FlagLayer, Layer, Tree, VariableLayer
from antiphon.settings.tree import Settings

FILE: Final = "antiphon.toml"
MASK: Final = "********"


class Row(msgspec.Struct, frozen=True):
    """One effective value. `source` is `default`, `file:line`, `env NAME` or the flag; secrets are masked."""

    key: Path
    value: Any
    source: str


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and the layers they came from (first wins)."""

    settings: Settings
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...] = ()
    file: FilePath | None = None

    def place(self, path: Path) -> str:
        """Where the value came from."""
        return _place(path, self.layers)

    def explain(self, error: SettingsError) -> SettingsError:
        """The same error with the place of each problem."""
        return SettingsError(
            [Problem(one.path, one.text, one.place or _nearest(one.path, self.layers)) for one in error.problems]
        )

    def rows(self) -> list[Row]:
        """Every effective value in the tree's order."""
        return [
            Row(path, value, self.place(path))
            for section in Settings.model_fields
            for path, value in _leaves((section,), getattr(self.settings, section))
        ]


def _place(path: Path, layers: Sequence[Layer]) -> str:
    return next((layer.place(path) for layer in layers if _has(layer.values, path)), "default")


def _nearest(path: Path, layers: Sequence[Layer]) -> str:
    """The place of a problem: for a key that nobody set, that of its table in the file; "" where there is none."""
    if (place := _place(path, layers)) != "default":
        return place
    tables = [layer for layer in layers if isinstance(layer, FileLayer) and _has(layer.values, path[:1])]
    return tables[0].place(path) if tables else ""


def _has(values: object, path: Path) -> bool:
    for step in path:
        if isinstance(values, Mapping) and step in values:
            values = cast("Mapping[object, object]", values)[step]
        elif isinstance(values, list) and isinstance(step, int) and step < len(cast("list[object]", values)):
            values = cast("list[object]", values)[step]
        else:
            # A variable holds lists and tables as text: everything below belongs to it.
            return isinstance(values, str)
    return True


_SECRET: Final = re.compile(r"(^|_)(keys?|tokens?|secrets?|passwords?|headers?|dsn)$", re.IGNORECASE)
"""Names of adapters' own keys whose values are never printed; `api_key_env` names a variable and is no secret."""

_CREDENTIALS: Final = re.compile(r"//[^/@\s]+@")
"""User and password in a URL."""


def _leaves(path: Path, value: object) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, BaseModel):
        children = [*type(value).model_fields, *(value.model_extra or {})]
        for name in children:
            yield from _leaves((*path, name), getattr(value, name))
    elif path in {("models",), ("mcp",)} and value:
        for place, one in enumerate(cast("tuple[object, ...]", value)):
            yield from _leaves((*path, place), one)
    else:
        yield path, _shown(path, value)


def _shown(path: Path, value: object) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return [_shown(path, one) for one in cast("tuple[object, ...]", value)]
    if value is not None and _SECRET.search(str(path[-1])) and path != ("server", "api_keys"):
        return MASK
    if isinstance(value, dict):
        return {name: _shown((*path, name), one) for name, one in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_shown(path, one) for one in cast("list[object]", value)]
    if isinstance(value, str):
        return _CREDENTIALS.sub(f"//{MASK}@", value)
    return str(value) if isinstance(value, FilePath) else value


def load(
    environ: Mapping[str, str],
    *,
    file: FilePath | None = None,
    flags: Mapping[str, tuple[str, object]] | None = None,
) -> Loaded:
    """Read and check. `file` None: `$ANTIPHON_CONFIG`, else `antiphon.toml` of the working folder where there is one.

    Raises SettingsError with every problem and its place.
    """
    named = environ.get(FILE_VARIABLE)
    if file is None and (named or FilePath(FILE).is_file()):
        file = FilePath(named or FILE)
    variables = VariableLayer(environ)
    layers: list[Layer] = [FlagLayer(flags or {}), variables]
    if file is not None:
        layers.append(FileLayer(file))
    merged: Tree = {}
    for layer in reversed(layers):
        merged = _over(layer.values, merged)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise SettingsError(_problems(error, layers)) from None
    tables = (("models", settings.models, "endpoint"), ("mcp", settings.mcp, "server"))
    for section, entries, what in tables:
        if twice := _repeated([entry.name for entry in entries]):
            path: Path = (section, twice[0], "name")
            raise SettingsError([Problem(path, f"another {what} has this name", _nearest(path, layers))])
    return Loaded(settings, tuple(layers), tuple(variables.warnings), file)


def _over(above: Mapping[str, Any], below: Mapping[str, Any]) -> Tree:
    """One layer over another: tables merge, everything else is replaced."""
    merged: Tree = dict(below)
    for name, value in above.items():
        old = below.get(name)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[name] = _over(cast("Tree", value), cast("Tree", old)) if both else value
    return merged


def _repeated(names: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(names) if name in names[:place]]


def _problems(error: ValidationError, layers: Sequence[Layer]) -> list[Problem]:
    problems: list[Problem] = []
    for one in error.errors(include_url=False, include_input=False):
        path: Path = one["loc"]
        problems.append(Problem(path, _text(one["type"], path, one["msg"]), _nearest(path, layers)))
    return problems


def _text(kind: str, path: Path, message: str) -> str:
    if kind == "extra_forbidden":
        return unknown(str(path[-1]), schema.names(path[:-1]))
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    shape = schema.find(path)
    return f"must be {schema.allowed(shape)}" if shape else message
