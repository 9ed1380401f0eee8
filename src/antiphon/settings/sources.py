"""The sources of settings: a TOML file, `ANTIPHON_*` variables, flags; each knows the place of its values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, Final, Protocol, TypeAlias

from pydantic_settings import EnvSettingsSource

from antiphon.settings import schema
from antiphon.settings.errors import Path, Problem, SettingsError
from antiphon.settings.tree import Settings

Tree: TypeAlias = dict[str, Any]

FILE_VARIABLE: Final = "ANTIPHON_CONFIG"
"""Names the settings' file."""
KEY_VARIABLE: Final = "ANTIPHON_API_KEY"
"""The key with which our commands ask a server."""
_OTHERS: Final = {FILE_VARIABLE, KEY_VARIABLE}
"""They have our prefix and are no settings."""


class Layer(Protocol):
    """Values from one kind of source."""

    @property
    def values(self) -> Tree:
        """The part of the tree that this source sets."""
        ...

    def place(self, path: Path) -> str:
        """How a person finds the value."""
        ...


class FileLayer:
    """The TOML file."""

    def __init__(self, path: FilePath) -> None:
        try:
            self._text = path.read_text("utf-8")
            self.values: Tree = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            line = f":{found[1]}" if found else ""
            raise SettingsError([Problem((), f"not TOML: {error}", f"{path}{line}")]) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise SettingsError([Problem((), f"cannot be read: {reason}", str(path))]) from None
        self._path = path
        self._lines = _lines(self._text)

    def place(self, path: Path) -> str:
        """File and line; the line of the table where the key itself has none."""
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(path[:length])) is not None:
                return f"{self._path}:{line}"
        return str(self._path)


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _lines(text: str) -> dict[Path, int]:
    """The line on which each table and key begins; inline tables count as their key."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quote:  # inside a string of several lines
            quote = "" if quote in line else quote
            continue
        if header := _HEADER.match(line):
            table = _steps(header[2], counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_split(key[1]))
            lines[path] = number
            quote = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
    return lines


def _split(key: str) -> list[str]:
    return [part.strip().strip("\"'") for part in key.split(".")]


def _steps(name: str, counts: Mapping[Path, int]) -> Path:
    """The path of a header: a table below a list of tables belongs to the list's last one."""
    path: Path = ()
    parts = _split(name)
    for place, part in enumerate(parts):
        path = (*path, part)
        if place < len(parts) - 1 and path in counts:
            path = (*path, counts[path])
    return path


class _Environment(EnvSettingsSource):
    """The variables of a mapping instead of those of the process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.env_vars = {name.lower(): value for name, value in environ.items() if value}


class VariableLayer:
    """`ANTIPHON_*`. A name with a section that does not exist is a warning, not an error: container platforms make
    such variables from the names of services."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.values: Tree = _Environment(environ)()
        sections = list(Settings.model_fields)
        self.warnings = [
            f"env {name} is no setting and was ignored{_hint(name)}"
            for name in sorted(environ)
            if name.startswith("ANTIPHON_")
            and name not in {FILE_VARIABLE, KEY_VARIABLE}
            and not _belongs(name, sections)
        ]

    def place(self, path: Path) -> str:
        """The variable's name."""
        return f"env {schema.variable(path[:2] if path[:1] != ('models',) else path[:1])}"


def _hint(name: str) -> str:
    known = [schema.variable(key.path) for key in schema.table() if key.variable]
    near = get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _belongs(name: str, sections: Sequence[str]) -> bool:
    return any(name == (own := schema.variable((section,))) or name.startswith(f"{own}_") for section in sections)


class FlagLayer:
    """Flags of the command line, by dotted key."""

    def __init__(self, flags: Mapping[str, tuple[str, object]]) -> None:
        """`flags`: dotted key -> (the flag as typed, its value)."""
        self._flags = flags
        self.values: Tree = {}
        for key, (_, value) in flags.items():
            section, _, name = key.partition(".")
            self.values.setdefault(section, {})[name] = value

    def place(self, path: Path) -> str:
        """The flag."""
        return self._flags[".".join(map(str, path[:2]))][0]
