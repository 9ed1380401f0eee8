"""`antiphon chat`: a conversation in a terminal, or with a pipe, with our own server or any that speaks Responses.

Law: whatever fails is one line; the conversation goes on where it was.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import msgspec
from openai import APIConnectionError, APIError, AsyncOpenAI, OpenAIError
from rich.console import Console

from antiphon.agent import AgentError, Approval
from antiphon.agent.panels import Panels, safe
from antiphon.cli.attaching import AttachingError
from antiphon.cli.commands import COMMANDS, CommandError, LeaveError, mcp, obey
from antiphon.cli.conversing import Conversation, NoModelError
from antiphon.cli.display import Plain, Tell
from antiphon.cli.keyboard import Keyboard
from antiphon.settings import Loaded

NOBODY: Final = "nobody is there to be asked"
"""Why a call is denied when the input is a pipe."""
EXPECTED: Final = (OpenAIError, AgentError, AttachingError, CommandError, NoModelError)


class UnservedError(Exception):
    """A server cannot run here; the words say what to do."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The chat that is wanted (None: the first model that is found; our own server, in this process)."""

    paths: tuple[Path, ...] = ()
    model: str | None = None
    url: str | None = None
    key: str | None = None
    tools: tuple[str, ...] = ()
    """Types of the server's tools, or `LABEL=URL` for an MCP server."""
    whole: bool = False
    """The input is one question, whatever lines it has."""
    stateless: bool = False
    """The server keeps nothing: tell it the whole conversation every time."""


def chat(wanted: Wanted, loaded: Loaded, environ: Mapping[str, str]) -> bool:
    """Talk until the input ends; whether all went well. Raises UnservedError, SettingsError, KeyboardInterrupt."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    keyboard = Keyboard(sys.stdin, interactive=interactive)
    tell = _tell if interactive else _tell_apart
    display = Panels(Console(highlight=False)) if interactive else Plain(sys.stdout, tell)
    with _server(wanted, loaded, environ) as (url, key), asyncio.Runner() as runner:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key or "none")
        conversation = Conversation(client, display, tell, stateless=wanted.stateless)
        talk = Talk(conversation, keyboard, runner, tell)
        try:
            return talk.prepare(wanted, url) and talk.run(whole=wanted.whole)
        finally:
            runner.run(client.close())


@contextmanager
def _server(wanted: Wanted, loaded: Loaded, environ: Mapping[str, str]) -> Generator[tuple[str, str | None]]:
    """The address and key of the server that was named, or of one in this process."""
    if wanted.url is not None:
        yield wanted.url.rstrip("/").removesuffix("/v1"), wanted.key
        return
    # the server's parts take a second to load: not for a server elsewhere
    from antiphon.cli.hosting import hosted  # noqa: PLC0415
    from antiphon.cli.serving import RefusalError  # noqa: PLC0415

    keys = loaded.settings.server.api_keys
    try:
        with hosted(loaded.settings, environ) as url:
            yield url, keys[0].get_secret_value() if keys else None
    except RefusalError as error:
        raise UnservedError(str(error)) from error


class Talk:
    """The loop: read, do, show."""

    def __init__(self, conversation: Conversation, keyboard: Keyboard, runner: asyncio.Runner, tell: Tell) -> None:
        self._conversation = conversation
        self._keyboard = keyboard
        self._runner = runner
        self._tell = tell

    def prepare(self, wanted: Wanted, url: str) -> bool:
        """Choose the model, the tools and the files; whether that went well."""
        for tool in wanted.tools:
            label, _, place = tool.partition("=")
            self._conversation.tools[label] = mcp(label, place) if place else {"type": tool}
        try:
            self._runner.run(self._conversation.choose(wanted.model))
            for path in wanted.paths:
                for line in self._runner.run(self._conversation.shelf.attach(path)):
                    self._tell(line)
        except EXPECTED as error:
            self._tell(f"antiphon: {words(error, url)}")
            return False
        self._url = url
        if self._keyboard.interactive:
            self._tell(f"{self._conversation.model} at {url}. /help shows the commands, Ctrl-D leaves.")
            self._keyboard.complete(tuple(COMMANDS))
        return True

    def run(self, *, whole: bool) -> bool:
        """Until there is no more input; whether every turn and command went well (the user at a terminal knows)."""
        if whole and not self._keyboard.interactive:
            return self._done(self._keyboard.rest())
        well = True
        while True:
            try:
                message = self._keyboard.message()
                well = (not message or self._done(message)) and well
            except (EOFError, LeaveError):
                return well or self._keyboard.interactive
            except KeyboardInterrupt:
                if not self._keyboard.interactive:
                    raise

    def _done(self, message: str) -> bool:
        """Do what a message says; whether that went well."""
        try:
            if message.startswith("/"):
                self._runner.run(obey(self._conversation, message))
                return True
            return self._had(message)
        except EXPECTED as error:
            self._tell(f"antiphon: {words(error, self._url)}")
            return False
        except KeyboardInterrupt:
            self._tell("\ncancelled")
            raise

    def _had(self, question: str) -> bool:
        """Have a turn, with its approvals."""
        result = self._runner.run(self._conversation.ask(question))
        while result is not None and result.state is not None:
            verdicts = {asked.id: self._allowed(asked) for asked in result.approvals}
            result = self._runner.run(self._conversation.answer(result.state, verdicts))
        return result is not None

    def _allowed(self, asked: Approval) -> bool | str:
        """Whether the user lets the call be made; a reason if not."""
        if not self._keyboard.interactive:
            self._tell(f"denied: {NOBODY}")
            return NOBODY
        try:
            said = self._keyboard.line(
                f"allow {asked.server_label}.{asked.tool_name}? [y]es, [n]o, or why not: "
            ).strip()
        except EOFError:
            return False
        if said.lower() in {"y", "yes"}:
            return True
        return False if said.lower() in {"", "n", "no"} else said


def words(error: Exception, url: str) -> str:
    """What went wrong, in one line."""
    if isinstance(error, APIConnectionError):
        return f"{url} does not answer: {error.__cause__ or error}"
    body: object = error.body if isinstance(error, APIError) else None
    told = cast("dict[str, object]", body).get("message") if isinstance(body, dict) else None
    return " ".join(str(told or error).split())


def _tell(line: str) -> None:
    sys.stdout.write(f"{safe(line)}\n")
    sys.stdout.flush()


def _tell_apart(line: str) -> None:
    sys.stderr.write(f"{safe(line)}\n")
    sys.stderr.flush()
