"""What a cassette holds of an exported run beside its exchanges: requests, ids, times and events, so that the whole of
it can be run again.

    run.json                 {"run": 1, "before": [...], "turns": [{"request": {...}, "ids": [...], ...}]}
    run-001.events.jsonl     the events of the first turn, one a line
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from antiphon.core.effects import Exchange
from antiphon.replay.cassette import RUN
from antiphon.replay.exchange import RecordingError
from antiphon.replay.secrets import Secrets

VERSION: Final = 1
SCRIPT: Final = RUN
Object = dict[str, Any]
_T = TypeVar("_T")


class Line(Struct, frozen=True, omit_defaults=True):
    """An item that was there before, and the exchange beside it."""

    item: Object
    exchange: Exchange | None = None


class Turn(Struct, frozen=True):
    """A request and the response that it made. `ids`: what was made for it, in order; times are epoch seconds."""

    request: Object
    ids: tuple[str, ...]
    began: int
    ended: int
    response: Object


class Script(Struct, frozen=True):
    """The turns, the first one first, and what the conversation held `before`."""

    run: int
    turns: tuple[Turn, ...]
    before: tuple[Line, ...] = ()


def exists(folder: Path) -> bool:
    """Whether the folder is an exported run."""
    return (folder / SCRIPT).is_file()


def write(folder: Path, script: Script, events: Sequence[Sequence[Mapping[str, Any]]], secrets: Secrets) -> None:
    """Write the script and the events of its turns, without secrets. Raises RecordingError."""
    for number, each in enumerate(events, 1):
        lines = [msgspec.json.encode(secrets.value(event)) for event in each]
        _write(folder / _name(number), b"".join(line + b"\n" for line in lines))
    plain = secrets.value(msgspec.json.decode(msgspec.json.encode(script)))
    _write(folder / SCRIPT, msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")


def read(folder: Path) -> Script:
    """The script of a folder. Raises RecordingError, which names the file."""
    found = _decoded(_content(folder / SCRIPT), SCRIPT, Script)
    if found.run > VERSION:
        words = f"The file {SCRIPT} has format {found.run}; this version of Antiphon reads up to {VERSION}."
        raise RecordingError(words)
    return found


def events(folder: Path, number: int) -> list[Object]:
    """The events of a turn; the first one has the number 1. Raises RecordingError, which names the file."""
    name = _name(number)
    return [_decoded(line, name, Object) for line in _content(folder / name).splitlines()]


def _name(number: int) -> str:
    return f"run-{number:03}.events.jsonl"


def _decoded(content: bytes, name: str, wanted: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=wanted)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RecordingError(f"The file {name} cannot be read: {error}.") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordingError(f"The file {path.name} cannot be read: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}-{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise RecordingError(f"The file {path.name} cannot be written: {error.strerror}.") from error
