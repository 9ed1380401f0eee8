"""The tool `shell` where the client runs it (`environment` local, or none): several commands in one call.

The client is told each command in events of its own, which carry no item id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, cast

import msgspec

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer, Place
from antiphon.core.forms import Stage, Whole, parsed
from antiphon.core.recall import SHELL
from antiphon.ports.tool import UnservedError
from antiphon.wire import events as ev
from antiphon.wire.events import Event
from antiphon.wire.items import Item, ShellAction, ShellCall
from antiphon.wire.tools import ShellTool
from antiphon.wire.tools import Tool as ToolConfig

DESCRIPTION: Final = (
    "Run shell commands on the user's machine and read what they print and their exit codes. Each entry of `commands` "
    "is one command line; the entries may be run at the same time, so put what depends on each other into one line."
)
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "commands": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The command lines.",
        },
        "timeout_ms": {"type": "integer", "description": "After how many milliseconds the commands are stopped."},
        "max_output_length": {
            "type": "integer",
            "description": "How many characters of each command's output are wanted at most.",
        },
    },
    "required": ["commands"],
    "additionalProperties": False,
}


class _Commands(msgspec.Struct, frozen=True):
    commands: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | str
    timeout_ms: int | None = None
    max_output_length: int | None = None


_COMMANDS: Final = msgspec.json.Decoder(_Commands, strict=False)


def _read(arguments: str) -> ShellAction:
    wanted = parsed(arguments, _COMMANDS)
    commands = (wanted.commands,) if isinstance(wanted.commands, str) else wanted.commands
    return ShellAction(commands=commands, timeout_ms=wanted.timeout_ms, max_output_length=wanted.max_output_length)


def _item(at: Place, action: ShellAction, stage: Stage) -> Item:
    if stage == "in_progress":  # its commands follow in events
        action = msgspec.structs.replace(action, commands=())
    return ShellCall(id=at.item_id, call_id=at.call_id, action=action, status=stage, environment={"type": "local"})


def _told(action: ShellAction, index: int) -> Sequence[Event]:
    events: list[Event] = []
    for number, command in enumerate(action.commands):
        events.append(ev.ShellCallCommandAdded(output_index=index, command_index=number, command=""))
        events.append(ev.ShellCallCommandDelta(output_index=index, command_index=number, delta=command))
        events.append(ev.ShellCallCommandDone(output_index=index, command_index=number, command=command))
    return events


FORM: Final = Whole("sh_", _read, _item, _told)


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function `shell`; skills of the local environment are named in its description."""
    environment = config.environment if isinstance(config, ShellTool) else None
    environment = environment if isinstance(environment, dict) else {}
    kind = environment.get("type", "local")
    if kind != "local":
        raise UnservedError(f"A shell in the environment '{kind}' is not served here; the environment 'local' is.")
    description = DESCRIPTION + _skills(environment.get("skills"))
    return (Offer(SHELL, description, PARAMETERS, tool=place, form=FORM),)


def _skills(skills: object) -> str:
    """The skills that the client has on its machine: name, place and purpose of each."""
    known = [
        cast("dict[str, Any]", skill)
        for skill in (cast("list[object]", skills) if isinstance(skills, list) else ())
        if isinstance(skill, dict)
    ]
    if not known:
        return ""
    lines = [f"- {skill.get('name')} (in {skill.get('path')}): {skill.get('description')}" for skill in known]
    return "\n\nInstructions for these tasks lie on the machine; read them there first:\n" + "\n".join(lines)


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("shell", offering=offered)
