"""The tool `apply_patch`: the client creates, changes or deletes one file by a diff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer, Place
from antiphon.core.forms import Stage, Whole, parsed
from antiphon.core.recall import APPLY_PATCH
from antiphon.wire.codec import builtins
from antiphon.wire.items import ApplyPatchCall, Item
from antiphon.wire.tools import Tool as ToolConfig

DESCRIPTION: Final = """\
Create, change or delete one file in the user's workspace.
`diff` for create_file: the whole new file, every line with `+` in front.
`diff` for update_file: one block for each place that changes. A block begins with a line `@@`, or `@@ ` and a line of \
the file that stands above the place, such as a function's head. Then come the lines in order: kept ones with a space \
in front, removed ones with `-`, new ones with `+`. Give about three kept lines around a change, exactly as in the \
file; line numbers are not used.
delete_file takes no diff."""
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        "path": {"type": "string", "description": "The file, relative to the workspace."},
        "diff": {"type": "string", "description": "What to write or change, as described; not for delete_file."},
    },
    "required": ["type", "path"],
    "additionalProperties": False,
}


class _Create(msgspec.Struct, frozen=True, tag_field="type", tag="create_file"):
    path: str
    diff: str


class _Update(msgspec.Struct, frozen=True, tag_field="type", tag="update_file"):
    path: str
    diff: str


class _Delete(msgspec.Struct, frozen=True, tag_field="type", tag="delete_file"):
    path: str


Operation: TypeAlias = _Create | _Update | _Delete


_OPERATION: Final[msgspec.json.Decoder[Operation]] = msgspec.json.Decoder(Operation, strict=False)


def _read(arguments: str) -> dict[str, Any]:
    return builtins(parsed(arguments, _OPERATION))


def _item(at: Place, operation: dict[str, Any], stage: Stage) -> Item:
    return ApplyPatchCall(id=at.item_id, call_id=at.call_id, operation=operation, status=stage)


FORM: Final = Whole("apc_", _read, _item)


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function `apply_patch`."""
    del config
    return (Offer(APPLY_PATCH, DESCRIPTION, PARAMETERS, tool=place, form=FORM),)


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("apply_patch", offering=offered)
