"""The commands. Every flag that is a setting overrides it; a command returns the process's exit code.

0: done or stopped as asked; 1: it could not run here (port, folder), or what was compared differs; 2: the flags or
settings are wrong; 3: recordings were replayed and something was asked that they do not hold.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Parameter

from antiphon.settings import KEY_VARIABLE, Loaded, Row, SettingsError, dotted, load

OK: Final = 0
FAILED: Final = 1
WRONG: Final = 2
MISSED: Final = 3
"""Something was asked that was not recorded."""
INTERRUPTED: Final = 130
"""Ctrl-C before the server listened."""


def _version() -> str:
    # importlib.metadata reads the package's files: only when asked
    from importlib.metadata import version  # noqa: PLC0415

    return f"antiphon {version('antiphon')}"


app = App(
    name="antiphon",
    help="A self-hosted, OpenAI-compatible agent server.",
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags that are settings, and the settings' file."""

    config: Annotated[Path | None, Parameter(help="Settings file; default: `antiphon.toml` here, if any.")] = None
    host: Annotated[str | None, Parameter(help="Address to listen on (`server.host`).")] = None
    port: Annotated[int | None, Parameter(help="Port to listen on; 0 takes a free one (`server.port`).")] = None
    open: Annotated[
        bool | None,
        Parameter(negative="", help="Let other machines in although there are no API keys (`server.open`)."),
    ] = None
    data: Annotated[Path | None, Parameter(help="Folder for what is kept (`data.dir`).")] = None
    recordings: Annotated[
        Path | None, Parameter(help="Folder of recordings to answer from, as endpoint `recorded` (`recordings.dir`).")
    ] = None
    case: Annotated[
        str | None, Parameter(help="Use only recordings whose test id contains this (`recordings.case`).")
    ] = None
    record: Annotated[
        Path | None, Parameter(help="Keep every exchange with the outside in this folder (`cassette.record`).")
    ] = None
    replay: Annotated[
        Path | None, Parameter(help="Answer from this folder, never from the outside (`cassette.replay`).")
    ] = None
    replay_or_record: Annotated[
        Path | None,
        Parameter(help="Answer from this folder, ask for what it does not hold (`cassette.replay_or_record`)."),
    ] = None
    report: Annotated[
        Path | None,
        Parameter(help="Write here, as JSON, what was recorded, answered, missed and not used (`cassette.report`)."),
    ] = None


SETTING_OF: Final = {
    "host": "server.host",
    "port": "server.port",
    "open": "server.open",
    "data": "data.dir",
    "recordings": "recordings.dir",
    "case": "recordings.case",
    "record": "cassette.record",
    "replay": "cassette.replay",
    "replay_or_record": "cassette.replay_or_record",
    "report": "cassette.report",
}
"""The setting that each flag is."""


def _load(flags: Flags) -> Loaded:
    given = {
        key: (f"--{name}", value) for name, key in SETTING_OF.items() if (value := getattr(flags, name)) is not None
    }
    loaded = load(os.environ, file=flags.config, flags=given)
    for warning in loaded.warnings:
        say(f"antiphon: {warning}", error=True)
    return loaded


def say(text: str, *, error: bool = False) -> None:
    """Write a line at once, so that a program that reads us sees it."""
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


@app.command
def serve(flags: Flags = Flags()) -> int:
    """Run the server until SIGTERM or Ctrl-C; then let running responses end, and stop.

    Needs no settings: listens on 127.0.0.1:8321, keeps its data in the user's data folder, and serves the models it
    finds (OPENAI_API_KEY, local servers) and a built-in one.
    """
    loaded = _load(flags)
    # the server's parts are loaded here, so that `antiphon config` and `--help` do not wait for them
    from antiphon.cli.serving import RefusalError, run  # noqa: PLC0415

    try:
        report = run(loaded, os.environ, say)
    except RefusalError as error:
        say(f"antiphon: {error}", error=True)
        return FAILED
    except SettingsError as error:
        raise loaded.explain(error) from None
    return OK if report is None or not report.missed else MISSED


@app.command
def config(
    flags: Flags = Flags(),
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")] = False,
) -> int:
    """Print the settings in effect, and where each comes from: `default`, file and line, variable, or flag.

    Secrets are masked. Takes the flags of `serve`, to see what they would do.
    """
    loaded = _load(flags)
    # needs the adapters, which check their own keys
    from antiphon.compose import choose  # noqa: PLC0415

    try:
        choose(loaded.settings, os.environ)
    except SettingsError as error:
        raise loaded.explain(error) from None
    say(_as_json(loaded.rows()) if as_json else _as_table(loaded.rows()))
    return OK


@app.command
def ask(
    question: Annotated[str, Parameter(help="What to ask.")],
    paths: Annotated[tuple[Path, ...], Parameter(help="Files and folders that hold the answer.", negative="")],
    /,
    flags: Flags = Flags(),
    *,
    model: Annotated[str | None, Parameter(help="Model; default: the first that is found, else the built-in.")] = None,
    url: Annotated[str | None, Parameter(help="A running server to ask; default: one in this process.")] = None,
    key: Annotated[str | None, Parameter(help="API key for that server.", env_var=KEY_VARIABLE)] = None,
) -> int:
    """Ask a question about files and folders; the answer is printed with the files that it rests on.

    What was read is kept in the data folder: the next question about the same paths reads only what has changed.
    """
    loaded = _load(flags)
    # as for `serve`
    import asyncio  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from antiphon.cli.asking import NothingError, Question  # noqa: PLC0415
    from antiphon.cli.asking import ask as answer  # noqa: PLC0415
    from antiphon.cli.client import ApiError  # noqa: PLC0415
    from antiphon.cli.serving import RefusalError  # noqa: PLC0415

    wanted = Question(text=question, paths=paths, model=model, url=url, key=key)
    try:
        asyncio.run(answer(wanted, loaded, os.environ, Console()))
    except (ApiError, NothingError, RefusalError) as error:
        say(f"antiphon: {error}", error=True)
        return FAILED
    except SettingsError as error:
        raise loaded.explain(error) from None
    return OK


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ChatFlags:
    """Flags of `chat`."""

    model: Annotated[str | None, Parameter(help="Model; default: the first that is found, else the built-in.")] = None
    url: Annotated[str | None, Parameter(help="A server that speaks Responses; default: one in this process.")] = None
    key: Annotated[str | None, Parameter(help="API key for that server.", env_var=("OPENAI_API_KEY", KEY_VARIABLE))] = (
        None
    )
    tool: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="A tool of the server (web_search), or LABEL=URL for an MCP server; repeatable."),
    ] = ()
    whole: Annotated[
        bool, Parameter(negative="", help="With a pipe: all of the input is one question, not each line.")
    ] = False
    stateless: Annotated[
        bool, Parameter(negative="", help="For servers that keep nothing: send the whole conversation every time.")
    ] = False


@app.command
def chat(
    paths: Annotated[tuple[Path, ...], Parameter(help="Files and folders to talk about.", negative="")] = (),
    /,
    flags: Flags = Flags(),
    options: ChatFlags = ChatFlags(),
) -> int:
    """Talk with a model: in a terminal, or with a question per line from a pipe. `/help` there shows the commands.

    Needs the package `openai` (`antiphon[agent]`).
    """
    loaded = _load(flags)
    try:
        # as for `serve`
        from antiphon.cli.chat import UnservedError, Wanted  # noqa: PLC0415
        from antiphon.cli.chat import chat as talk  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        say("antiphon: chat needs the package `openai`: pip install 'antiphon[agent]'", error=True)
        return FAILED
    wanted = Wanted(
        paths=paths,
        model=options.model,
        url=options.url,
        key=options.key,
        tools=options.tool,
        whole=options.whole,
        stateless=options.stateless,
    )
    try:
        return OK if talk(wanted, loaded, os.environ) else FAILED
    except UnservedError as error:
        say(f"antiphon: {error}", error=True)
        return FAILED
    except SettingsError as error:
        raise loaded.explain(error) from None


app.command("antiphon.cli.cassette:app", name="cassette", help="Look at recordings, and keep them in order.")
app.command("antiphon.cli.runs:replay", name="replay", help="Run a stored response again, and show what differs.")


def _as_json(rows: Sequence[Row]) -> str:
    return json.dumps({dotted(row.key): {"value": row.value, "source": row.source} for row in rows}, indent=2)


def _as_table(rows: Sequence[Row]) -> str:
    left = [f"{dotted(row.key)} = {json.dumps(row.value)}" for row in rows]
    width = max(map(len, left))
    return "\n".join(f"{text:<{width}}  # {row.source}" for text, row in zip(left, rows, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    try:
        result = app(arguments, exit_on_error=False, print_error=True)
    except CycloptsError:
        return WRONG
    except SettingsError as error:
        for problem in error.problems:
            say(f"antiphon: {problem}", error=True)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else OK
