"""What a test asks for with `@pytest.mark.antiphon(...)`, and where its cassette lies."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import pytest

MARK: Final = "antiphon"
FOLDER: Final = "cassettes"
"""Beside the test's file."""
_LONGEST: Final = 80


class Recording(StrEnum):
    """`none`: nothing is recorded, a request without a recording fails the test. `once`: recorded where the test has no
    cassette yet. `new`: what is not in the cassette is added. `all`: everything is recorded again. `off`: no cassette,
    models are asked."""

    NONE = "none"
    ONCE = "once"
    NEW = "new"
    ALL = "all"
    OFF = "off"


class MarkError(Exception):
    """A mark that cannot be read; the words say why."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The arguments of the mark. `cassette`: a folder, relative to that of the test's file; `models`: tables of
    `[[models]]`, or with `script` the names that the script answers to; `settings`: sections of the settings;
    `script`: a file (relative likewise), steps, or a function; `seed`: of ids and times, None for real ones;
    `environ`: whether the variables of OpenAI's clients point at the server during the test."""

    cassette: str | Path | None = None
    mode: str | None = None
    models: Sequence[Any] = ()
    settings: Mapping[str, Any] | None = None
    script: str | Path | Sequence[Any] | Callable[..., Any] | None = None
    seed: int | None = 0
    environ: bool = False


def wishes_of(item: pytest.Item) -> Wishes:
    """What the marks of a test, of its class and of its module say; the nearest one decides. Raises MarkError."""
    known = [field.name for field in fields(Wishes)]
    given: dict[str, Any] = {}
    for mark in item.iter_markers(MARK):
        stray = [name for name in mark.kwargs if name not in known]
        if mark.args or stray:
            what = repr(stray[0]) if stray else "an argument without a name"
            raise MarkError(f"@pytest.mark.{MARK} does not take {what}; it takes {', '.join(known)}")
        settings = {**mark.kwargs.get("settings", {}), **given.get("settings", {})}
        given = {**mark.kwargs, **given, "settings": settings}
    if given.get("mode") is not None and given["mode"] not in set(Recording):
        raise MarkError(f"mode must be one of {', '.join(Recording)}, not {given['mode']!r}")
    return Wishes(**given)


def recording_of(wishes: Wishes, option: str | None, environ: Mapping[str, str]) -> Recording:
    """How this test records: as the command line says; otherwise in CI not at all; otherwise as its mark says. A test
    with a script needs no cassette, unless it names one."""
    if wishes.mode == Recording.OFF or (wishes.script is not None and wishes.cassette is None):
        return Recording.OFF
    if option is not None:
        return Recording(option)
    if environ.get("CI", "").lower() not in {"", "0", "false"}:
        return Recording.NONE
    return Recording(wishes.mode or Recording.ONCE)


def cassette_of(item: pytest.Item, wishes: Wishes) -> Path:
    """The folder of the test's cassette."""
    if wishes.cassette is not None:
        return item.path.parent / wishes.cassette
    inside = item.nodeid.split("::")[1:]
    return item.path.parent / FOLDER / item.path.stem / _segment(".".join(inside) or item.name)


def _segment(name: str) -> str:
    """The name of a test as that of a folder; where that leaves something out, a mark of it is added."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("[", "-").removesuffix("]")).strip("-.")
    if plain != name.replace("[", "-").removesuffix("]") or len(plain) > _LONGEST:
        mark = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
        plain = f"{plain[:_LONGEST]}-{mark}"
    return plain


def script_of(item: pytest.Item, wishes: Wishes) -> Any:
    """The script; a file as its path."""
    if isinstance(wishes.script, str | Path):
        return item.path.parent / os.fspath(wishes.script)
    return cast("Any", wishes.script)
