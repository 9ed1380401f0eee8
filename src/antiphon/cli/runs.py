"""`antiphon replay` and `antiphon cassette export`: whole runs out of the store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import msgspec
from cyclopts import Parameter

from antiphon.cli.app import FAILED, OK, WRONG, say
from antiphon.cli.client import ApiError
from antiphon.cli.exporting import Told, rerun
from antiphon.cli.exporting import export as make
from antiphon.cli.replaying import Wanted, as_text
from antiphon.cli.replaying import as_json as report_as_json
from antiphon.cli.replaying import replay as ask
from antiphon.cli.serving import RefusalError
from antiphon.replay.exchange import RecordingError
from antiphon.replay.runs import script
from antiphon.replay.runs.again import StepError
from antiphon.replay.runs.steps import UntoldError
from antiphon.settings import KEY_VARIABLE, Loaded, SettingsError, load
from antiphon.wire.errors import StoreError

Data = Annotated[Path | None, Parameter(help="Folder in which the response is stored (`data.dir`).")]
Config = Annotated[Path | None, Parameter(help="Settings file; default: `antiphon.toml` here, if any.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]

_P = ParamSpec("_P")


def _told_errors(command: Callable[_P, int]) -> Callable[_P, int]:
    """The command, with its faults told in a line."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except (RecordingError, StoreError) as error:
            say(f"antiphon: {error.message}", error=True)
        except (ApiError, RefusalError, UntoldError) as error:
            say(f"antiphon: {error}", error=True)
        except StepError as error:
            say(f"antiphon: {error}", error=True)
            return WRONG
        return FAILED

    return run


@_told_errors
def export(
    response_id: Annotated[str, Parameter(help="A stored response.")],
    folder: Annotated[Path, Parameter(help="Where the cassette is made.")],
    /,
    *,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Make a cassette of a stored response, with the responses or the conversation before it.

    Exit code 1: it cannot be told again, or not as it was.
    """
    loaded = _load(data, config)
    try:
        told = asyncio.run(make(loaded.settings, os.environ, response_id, folder))
    except SettingsError as error:
        raise loaded.explain(error) from None
    return _tell(told, as_json=as_json)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """How a stored response is run again."""

    model: Annotated[str | None, Parameter(help="Ask this model instead of the response's own.")] = None
    url: Annotated[str | None, Parameter(help="The server that stored it; default: one in this process.")] = None
    key: Annotated[str | None, Parameter(help="API key for that server.", env_var=KEY_VARIABLE)] = None
    times: Annotated[int, Parameter(help="How often to run it.")] = 1
    live: Annotated[
        bool, Parameter(negative="", help="Let server-side tools run; otherwise they answer as they did.")
    ] = False
    step: Annotated[
        int | None,
        Parameter(name="--from", help="Go on behind so many output items, as a new stored response; 0: the input."),
    ] = None
    edit: Annotated[
        str | None, Parameter(help="With `--from`: what the last item says instead (of a call: what was given back).")
    ] = None


@_told_errors
def replay(
    what: Annotated[str, Parameter(help="A stored response, or the folder of an exported one.")],
    /,
    options: Options = Options(),
    *,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Run a stored response again, with the same input, and show what differs item by item.

    Of functions that the client ran, what it gave back then is given back for equal calls; a call that was not made
    then ends the run. A folder that `antiphon cassette export` made is run out of its recordings alone.

    Exit code 0: everything is equal; 1: something differs, or it cannot be run.
    """
    loaded = _load(data, config)
    if options.edit is not None and options.step is None:
        raise StepError("--edit needs --from")
    if options.times < 1:
        raise StepError("--times is at least 1")
    try:
        if script.exists(Path(what)):
            return _tell(asyncio.run(rerun(loaded.settings, os.environ, Path(what))), as_json=as_json)
        report = asyncio.run(ask(Wanted(response_id=what, **asdict(options)), loaded, os.environ))
    except SettingsError as error:
        raise loaded.explain(error) from None
    say(report_as_json(report) if as_json else as_text(report))
    return OK if report.equal else FAILED


def _load(data: Path | None, config: Path | None) -> Loaded:
    return load(os.environ, file=config, flags={} if data is None else {"data.dir": ("--data", data)})


def _tell(told: Sequence[Told], *, as_json: bool) -> int:
    """Say how each turn went; the exit code."""
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        for each in told:
            how = "different" if each.differences else "equal"
            say(f"{each.response_id}  {each.status}  {each.items} items  {each.events} events  {how}")
            for words in each.differences:
                say(f"  {words}")
    return FAILED if any(each.differences for each in told) else OK
