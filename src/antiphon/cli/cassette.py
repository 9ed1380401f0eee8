"""`antiphon cassette`: looking at recordings, and keeping them in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Final, ParamSpec

import msgspec
from cyclopts import App, Parameter

from antiphon.cli.app import FAILED, OK, WRONG, say
from antiphon.replay import comparison, importing, upkeep
from antiphon.replay.cassette import Cassette
from antiphon.replay.comparison import Change
from antiphon.replay.excerpt import Line, line, told
from antiphon.replay.exchange import Exchange, RecordingError
from antiphon.replay.exchange import read as read_file
from antiphon.replay.recordings import Recordings
from antiphon.settings import Settings, load
from antiphon.taping import RECORDED, Report, maker

app: Final = App(name="cassette", help="Look at recordings, and keep them in order.", result_action="return_value")

app.command("antiphon.cli.runs:export", name="export", help="Make a cassette of a stored response.")

Folder = Annotated[Path, Parameter(help="A cassette: a folder of recordings.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
DryRun = Annotated[bool, Parameter(negative="", help="Only say what would be done.")]

_P = ParamSpec("_P")


class WrongError(Exception):
    """What was named cannot be used; the words say why."""


def told_errors(command: Callable[_P, int]) -> Callable[_P, int]:
    """The command, with its faults told in a line."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except RecordingError as error:
            say(f"antiphon: {error.message}", error=True)
            return FAILED
        except WrongError as error:
            say(f"antiphon: {error}", error=True)
            return WRONG

    return run


@app.command(name="list")
@told_errors
def list_exchanges(folder: Folder, /, *, as_json: AsJson = False) -> int:
    """List the exchanges of a cassette: file, port, model, first words, chunks and bytes of each."""
    cassette = _opened(folder)
    lines = [line(name, cassette.read(name), (folder / name).stat().st_size) for name in cassette.names()]
    if as_json:
        _say_json(lines)
    else:
        _say_lines(_table(lines))
        say(f"{len(lines)} exchanges, {sum(one.size for one in lines)} bytes")
    return OK


@app.command
@told_errors
def show(path: Annotated[Path, Parameter(help="A file of a cassette.")], /, *, as_json: AsJson = False) -> int:
    """Show an exchange: what was asked, and what was answered, with the pieces of a stream joined."""
    exchange = _exchange(path)
    if as_json:
        _say_json({**msgspec.to_builtins(exchange), "told": told(exchange)})
        return OK
    at = f" of {exchange.endpoint}" if exchange.endpoint else ""
    request = msgspec.json.format(msgspec.json.encode(exchange.request), indent=2).decode()
    say(f"asked: {exchange.port}{at}\n{request}\n\nanswered:\n{told(exchange)}")
    return OK


@app.command
@told_errors
def diff(
    left: Annotated[Path, Parameter(help="A cassette, or one of its files.")],
    right: Annotated[Path, Parameter(help="Another one.")],
    /,
    *,
    as_json: AsJson = False,
) -> int:
    """Compare two cassettes or two files, by what was asked and what was answered; timing does not count.

    Exit code 0: they are equal; 1: they differ.
    """
    if left.is_file() and right.is_file():
        changes = comparison.exchanges(left.name, _exchange(left), right.name, _exchange(right))
    elif left.is_dir() and right.is_dir():
        changes = comparison.cassettes(_opened(left), _opened(right))
    else:
        raise WrongError(f"{left} and {right} are not two folders or two files.")
    if as_json:
        _say_json(changes)
    else:
        _say_lines(text for change in changes for text in _changed(change))
        say(f"{len(changes)} differences" if changes else "equal")
    return FAILED if changes else OK


@app.command
@told_errors
def prune(
    folder: Folder,
    /,
    *,
    unused_from: Annotated[
        tuple[Path, ...],
        Parameter(help="Report of a run (`cassette.report`); of several, what none of them used.", negative=""),
    ] = (),
    duplicates: Annotated[
        bool, Parameter(negative="", help="Answers that repeat the one before, where none follows.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> int:
    """Delete exchanges that are not needed: those that a run did not use, or repeated answers."""
    if not unused_from and not duplicates:
        raise WrongError("Say what is to be deleted: --unused-from FILE or --duplicates.")
    cassette = _opened(folder)
    needless = set(cassette.names()) if unused_from else set[str]()
    for path in unused_from:
        needless &= set(_report(path).unused)
    if duplicates:
        needless |= set(upkeep.duplicates(cassette))
    for name in () if dry_run else sorted(needless):
        cassette.remove(name)
    _say_names(sorted(needless), "to delete" if dry_run else "deleted", as_json=as_json)
    return OK


@app.command
@told_errors
def redact(folder: Folder, /, *, as_json: AsJson = False) -> int:
    """Write every exchange again without secrets, by today's rules and the keys of the settings and the environment."""
    _say_names(upkeep.rewrite(_opened(folder, known=True)), "written again", as_json=as_json)
    return OK


@app.command
@told_errors
def check(
    folder: Folder,
    /,
    *,
    fix: Annotated[bool, Parameter(negative="", help="Rename files that do not fit their requests any more.")] = False,
    as_json: AsJson = False,
) -> int:
    """Read everything, and name what is broken: files that cannot be read, hold no answer, or whose names do not fit.

    Exit code 0: nothing is broken (any more); 1: something is.
    """
    cassette = _opened(folder, known=fix)
    problems = upkeep.check(cassette, fix=fix)
    if as_json:
        _say_json(problems)
    else:
        _say_lines(f"{one.name}: {one.words}{' (fixed)' if one.fixed else ''}" for one in problems)
        say(f"{len(cassette.names())} exchanges, {sum(not one.fixed for one in problems)} broken")
    return OK if all(one.fixed for one in problems) else FAILED


@app.command(name="import")
@told_errors
def import_recordings(
    source: Annotated[Path, Parameter(help="Folder of recordings in another format.")],
    folder: Folder,
    /,
    *,
    endpoint: Annotated[str, Parameter(help="What their endpoint is called.")] = RECORDED,
    case: Annotated[str, Parameter(help="Only recordings whose test id contains this.")] = "",
    as_json: AsJson = False,
) -> int:
    """Make a cassette of recordings in the format of Llama Stack's tests (`request`, `response`, `test_id`)."""
    if not importing.foreign(source):
        raise WrongError(f"{source} holds no recordings of a format that is known.")
    importing.prepare(folder)
    done = importing.imported(Recordings(source), maker(_settings())(folder), endpoint, case=case)
    if as_json:
        _say_json(done)
    else:
        _say_lines(f"left out: {each}" for each in done.left_out)
        say(f"{done.recordings} recordings became {done.exchanges} exchanges")
    return OK


# what is named


def _opened(folder: Path, *, known: bool = False) -> Cassette:
    """The cassette; `known`: one that knows the secrets of the settings."""
    if not folder.is_dir():
        raise WrongError(f"There is no folder {folder}.")
    if importing.foreign(folder):
        raise WrongError(f"{folder} holds recordings of another format: antiphon cassette import {folder} DIR")
    return maker(_settings())(folder) if known else Cassette(folder)


def _settings() -> Settings:
    return load(os.environ).settings


def _exchange(path: Path) -> Exchange:
    try:
        return read_file(path.read_bytes(), path.name)
    except OSError as error:
        raise WrongError(f"{path} cannot be read: {error.strerror}.") from error


def _report(path: Path) -> Report:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise WrongError(f"{path} is no report of a run: {error}.") from error


# what is said


def _say_json(value: object) -> None:
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _say_lines(lines: Iterable[str]) -> None:
    for each in lines:
        say(each)


def _say_names(names: list[str], what: str, *, as_json: bool) -> None:
    if as_json:
        _say_json(names)
        return
    _say_lines(names)
    say(f"{len(names)} {what}")


def _table(lines: list[Line]) -> list[str]:
    columns = [
        (one.name, one.model, str(one.chunks or "-"), str(one.size), one.failure or "", one.words) for one in lines
    ]
    widths = [max((len(row[place]) for row in columns), default=0) for place in range(5)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]) for row in columns
    ]


def _changed(change: Change) -> list[str]:
    names = (
        change.left if change.left == change.right else " ".join(each for each in (change.left, change.right) if each)
    )
    return [f"{change.what}: {names}  {change.words}", *(f"    {each}" for each in change.lines)]
