"""The tool `local_shell`: one command at a time, as a list of words, run by the client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer, Place
from antiphon.core.forms import Stage, Whole, parsed
from antiphon.core.recall import LOCAL_SHELL
from antiphon.wire.items import Item, LocalShellAction, LocalShellCall
from antiphon.wire.tools import Tool as ToolConfig

DESCRIPTION: Final = (
    "Run one command on the user's machine and read what it prints. The command is executed directly, not through a "
    'shell: for pipes, globs or `&&`, pass ["bash", "-lc", "..."].'
)
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "command": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The program and its arguments, one word an entry.",
        },
        "working_directory": {"type": "string", "description": "The folder to run it in."},
        "timeout_ms": {"type": "integer", "description": "After how many milliseconds it is stopped."},
        "env": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Environment variables to set for it.",
        },
        "user": {"type": "string", "description": "The user to run it as."},
    },
    "required": ["command"],
    "additionalProperties": False,
}


class _Command(msgspec.Struct, frozen=True):
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    env: dict[str, str] | None = None
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


_COMMAND: Final = msgspec.json.Decoder(_Command, strict=False)


def _read(arguments: str) -> LocalShellAction:
    wanted = parsed(arguments, _COMMAND)
    return LocalShellAction(
        command=wanted.command,
        env=wanted.env or {},
        timeout_ms=UNSET if wanted.timeout_ms is None else wanted.timeout_ms,
        user=wanted.user or UNSET,
        working_directory=wanted.working_directory or UNSET,
    )


def _item(at: Place, action: LocalShellAction, stage: Stage) -> Item:
    return LocalShellCall(id=at.item_id, call_id=at.call_id, action=action, status=stage)


FORM: Final = Whole("lsh_", _read, _item)


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function `local_shell`."""
    del config
    return (Offer(LOCAL_SHELL, DESCRIPTION, PARAMETERS, tool=place, form=FORM),)


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("local_shell", offering=offered)
