"""The slash commands of a chat. Each is a coroutine over the conversation and the words behind its name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from antiphon.cli.conversing import Conversation, Turn

SHOWN: Final = 72
"""Characters of a question or answer in the history."""


class CommandError(Exception):
    """A command cannot do what it was told; the words say why."""


class LeaveError(Exception):
    """The user wants to leave."""


Run: TypeAlias = Callable[[Conversation, str], Awaitable[None]]


class Command(NamedTuple):
    """What it takes, what it does, and how."""

    takes: str
    does: str
    run: Run


async def obey(conversation: Conversation, line: str) -> None:
    """Run a command. Raises CommandError, LeaveError, AttachingError and what a conversation raises."""
    name, _, rest = line.partition(" ")
    if (command := COMMANDS.get(name)) is None:
        raise CommandError(f"there is no command {name}: /help lists them")
    await command.run(conversation, rest.strip())


async def _model(conversation: Conversation, name: str) -> None:
    if name:
        models = await conversation.models()
        if models and name not in models and not any(model.endswith(f"/{name}") for model in models):
            raise CommandError(f"there is no model {name}; there are: {', '.join(models)}")
        conversation.model = name
    else:
        for model in await conversation.models():
            conversation.tell(f"  {model}")
    conversation.tell(f"model: {conversation.model}")


async def _file(conversation: Conversation, path: str) -> None:
    if not path:
        raise CommandError("/file needs a path")
    for line in await conversation.shelf.attach(Path(path.strip("'\""))):
        conversation.tell(line)


async def _history(conversation: Conversation, _: str) -> None:
    if not conversation.turns:
        conversation.tell("nothing has been said yet")
    for number, turn in enumerate(conversation.turns, 1):
        conversation.tell(f"{number:3} > {_short(turn.question)}")
        conversation.tell(f"      {_short(turn.answer)}")


async def _fork(conversation: Conversation, number: str) -> None:
    most = len(conversation.turns)
    if not (number.isdecimal() and 1 <= int(number) <= most):
        words = f"/fork needs the number of a turn, 1 to {most}" if most else "there is no turn to continue from"
        raise CommandError(words)
    conversation.forget(int(number))
    conversation.tell(f"continues after: {_short(conversation.turns[-1].question)}")


async def _new(conversation: Conversation, _: str) -> None:
    conversation.forget()
    conversation.tell("a new conversation; files and tools stay")


async def _tools(conversation: Conversation, words: str) -> None:
    match words.split():
        case []:
            pass
        case ["mcp", label, place]:
            conversation.tools[label] = mcp(label, place)
        case ["mcp", label]:
            if conversation.tools.pop(label, None) is None:
                raise CommandError(f"/tools mcp {label} needs the URL of the server, or its name there")
        case [kind] if kind != "mcp":
            if conversation.tools.pop(kind, None) is None:
                conversation.tools[kind] = {"type": kind}
        case _:
            raise CommandError("/tools takes a type, or: mcp LABEL URL")
    if conversation.shelf.names:
        conversation.tell(f"  file_search in {', '.join(conversation.shelf.names)}")
    for name, tool in conversation.tools.items():
        conversation.tell(f"  {name}" if tool["type"] == name else f"  {tool['type']} {name}")
    if not conversation.declared():
        conversation.tell("no tools; /tools web_search turns one on")


def mcp(label: str, place: str) -> dict[str, str]:
    """An MCP server at a URL, or one that the server knows by this name."""
    key = "server_url" if "://" in place else "connector_id"
    return {"type": "mcp", "server_label": label, key: place}


async def _save(conversation: Conversation, given: str) -> None:
    if not given:
        raise CommandError("/save needs a path: a .json file, or any other for markdown")
    _write(Path(given), conversation.turns)
    conversation.tell(f"saved to {given}")


def _write(path: Path, turns: Sequence[Turn]) -> None:
    path = path.expanduser()
    written = _as_json if path.suffix == ".json" else _as_markdown
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(written(turns))
    except FileExistsError:
        raise CommandError(f"{path} exists") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


async def _help(conversation: Conversation, _: str) -> None:
    width = max(len(f"{name} {command.takes}") for name, command in COMMANDS.items())
    for name, command in COMMANDS.items():
        conversation.tell(f"  {f'{name} {command.takes}':{width}}  {command.does}")
    conversation.tell('A line that ends with \\ goes on in the next; """ begins and ends a longer text.')
    conversation.tell("Ctrl-C cancels an answer, Ctrl-D leaves.")


async def _quit(conversation: Conversation, _: str) -> None:
    del conversation
    raise LeaveError


COMMANDS: Final = {
    "/model": Command("[NAME]", "show the models, or take another", _model),
    "/file": Command("PATH", "attach a file or a folder", _file),
    "/history": Command("", "what was said, by turns", _history),
    "/fork": Command("N", "continue after turn N; later turns are left out", _fork),
    "/new": Command("", "begin again", _new),
    "/tools": Command("[TYPE | mcp LABEL URL]", "show the tools, or turn one on or off", _tools),
    "/save": Command("PATH", "write the conversation to a new file (.json, else markdown)", _save),
    "/help": Command("", "this", _help),
    "/quit": Command("", "leave", _quit),
}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"{line[:SHOWN]}..." if len(line) > SHOWN else line


def _as_json(turns: Sequence[Turn]) -> str:
    return json.dumps([msgspec.to_builtins(turn) for turn in turns], ensure_ascii=False, indent=2) + "\n"


def _as_markdown(turns: Sequence[Turn]) -> str:
    return "".join(f"## {turn.question}\n\n{turn.answer}\n\n*{turn.model}, {turn.response_id}*\n\n" for turn in turns)
