"""From what clients send to items, tools and tool choices.

Law: a value that is already in our form is decoded once, straight into its type; only what does not fit is looked at
again, with what clients are known to do differently (no `type`, content as a string, nulls, output-only fields) mended.
What still does not fit is an InvalidRequestError that names its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast, get_args

import msgspec
from msgspec import UNSET, Raw, Struct

from antiphon.wire.codec import JsonObject, Unknown
from antiphon.wire.content import (
    Annotation,
    ComputerScreenshot,
    InputPart,
    LogProb,
    OutputPart,
    Part,
    ReasoningText,
    SummaryText,
    Text,
)
from antiphon.wire.invalid import invalid, invalid_type, invalid_value, missing_parameter, plain
from antiphon.wire.items import (
    ITEM_TYPES,
    CompactionTrigger,
    ComputerCallOutput,
    CustomToolCallOutput,
    FunctionCallOutput,
    Item,
    ItemReference,
    KnownItem,
    McpListTools,
    Message,
    Reasoning,
)
from antiphon.wire.tools import TOOL_TYPES, AllowedTools, KnownTool, McpTool, NamedChoice, Tool, ToolChoice

Roles: TypeAlias = Mapping[str, tuple[str, ...]]
"""Which types of content parts a message of each role may hold."""


def _types(*unions: Any) -> tuple[str, ...]:
    parts: list[type[Struct]] = [part for union in unions for part in get_args(union) or (union,)]
    return tuple(str(part.__struct_config__.tag) for part in parts)


_INPUT: Final = _types(InputPart)
_OUTPUT: Final = _types(OutputPart)

INPUT_ROLES: Final[Roles] = {"user": _INPUT, "system": _INPUT, "developer": _INPUT, "assistant": _OUTPUT}
"""What the input of a response may hold."""

_STORED: Final = _INPUT + _types(Text, SummaryText, ComputerScreenshot)

CONVERSATION_ROLES: Final[Roles] = {
    "user": _STORED,
    "system": _STORED,
    "developer": _STORED,
    "assistant": _OUTPUT + _types(Text, SummaryText, ReasoningText),
    **dict.fromkeys(("unknown", "critic", "discriminator", "tool"), _types(Part)),
}
"""What may be added to a conversation."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_ITEM: Final = msgspec.json.Decoder(KnownItem)
_TOOL: Final = msgspec.json.Decoder(KnownTool)


# items


def parse_items(raws: Sequence[Raw | bytes], path: str, roles: Roles = INPUT_ROLES) -> tuple[Item, ...]:
    """`parse_item` of each; the one at place `i` stands at `{path}[{i}]`."""
    return tuple(parse_item(raw, f"{path}[{place}]", roles) for place, raw in enumerate(raws))


def parse_item(raw: Raw | bytes, path: str, roles: Roles = INPUT_ROLES) -> Item:
    """The item that a client means by this JSON, with the client's id where it gave one.

    A message may come without `type` and with a string as content; an object with nothing but an `id` is a reference;
    an object of a type we do not know is kept whole. Raises InvalidRequestError under `path`.
    """
    try:
        item = _ITEM.decode(raw)
    except _UNREADABLE:
        item = _mended_item(plain(raw), path, roles)
    if isinstance(item, Message):
        _check_parts(item.role, [part.__struct_config__.tag for part in item.content], path, roles)
    if not isinstance(item, Unknown | ItemReference | CompactionTrigger) and item.id == "":
        return msgspec.structs.replace(item, id=UNSET)
    return item


def _mended_item(value: object, path: str, roles: Roles) -> Item:
    fields = _object(value, path)
    wanted = ITEM_TYPES.get(_item_type(fields, path))
    if wanted is None:
        return Unknown(fields)
    mended = _mended_fields(fields, wanted)
    if wanted is Message and isinstance(content := mended.get("content"), list):
        parts = enumerate(cast("list[object]", content))
        types = [_type(_object(part, f"{path}.content[{i}]"), f"{path}.content[{i}]") for i, part in parts]
        _check_parts(mended.get("role"), types, path, roles)
    return _converted(mended, wanted, path)


def _item_type(fields: JsonObject, path: str) -> str:
    if fields.get("type") is None:
        if "role" in fields or "content" in fields:
            return "message"
        if [key for key, value in fields.items() if value is not None] == ["id"]:
            return "item_reference"
    return _type(fields, path)


_STATUSES: Final[dict[type[Struct], Any]] = {
    wanted: next((field.type for field in msgspec.structs.fields(wanted) if field.name == "status"), None)
    for wanted in ITEM_TYPES.values()
}
_OBJECTS: Final[dict[type[Struct], str]] = {
    Message: "content",
    FunctionCallOutput: "output",
    CustomToolCallOutput: "output",
    ComputerCallOutput: "output",
    McpListTools: "tools",
}
"""The field whose objects have a type of ours, so that their nulls may be dropped. Other objects are free-form."""


def _mended_fields(fields: JsonObject, wanted: type[Struct]) -> JsonObject:
    """Without nulls, without a status or id that is none, and with the content of messages as parts."""
    mended = _without_nulls(fields)
    if "status" in mended and not _fits(mended["status"], _STATUSES[wanted]):
        del mended["status"]
    if wanted is not ItemReference and not isinstance(mended.get("id", ""), str):
        del mended["id"]
    for key in ("summary", "content") if wanted is Reasoning else (_OBJECTS.get(wanted, ""),):
        if key in mended:
            mended[key] = _mended_parts(mended[key])
    if wanted is Message and isinstance(text := mended.get("content"), str):
        kind = "output_text" if mended.get("role") == "assistant" else "input_text"
        mended["content"] = [{"type": kind, "text": text}]
    return {**mended, "type": wanted.__struct_config__.tag}


def _mended_parts(value: Any) -> Any:
    if isinstance(value, list):
        return [_mended_part(part) for part in cast("list[object]", value)]
    return _mended_part(value)


def _mended_part(value: object) -> object:
    """The part without nulls, and without the output-only fields that are not as we write them."""
    if not isinstance(value, dict):
        return value
    part = _without_nulls(cast("JsonObject", value))
    if part.get("type") == "output_text":
        for key, wanted in (("annotations", Annotation), ("logprobs", LogProb)):
            if key in part:
                part[key] = [each for each in _listed(part[key]) if _fits(each, wanted)]
    return part


def _check_parts(role: object, types: Iterable[object], path: str, roles: Roles) -> None:
    allowed = roles.get(role) if isinstance(role, str) else None
    if allowed is None:
        if isinstance(role, str):
            raise invalid_value(f"{path}.role", role, roles)
        return
    for place, kind in enumerate(types):
        if kind not in allowed:
            raise invalid_value(f"{path}.content[{place}]", kind, allowed)


# tools


def parse_tools(raws: Sequence[Raw | bytes], path: str = "tools") -> tuple[Tool, ...]:
    """The tools that a request offers; one of a type we do not know is kept whole. Raises InvalidRequestError."""
    return tuple(_parse_tool(raw, f"{path}[{place}]") for place, raw in enumerate(raws))


def _parse_tool(raw: Raw | bytes, path: str) -> Tool:
    try:
        tool = _TOOL.decode(raw)
    except _UNREADABLE:
        tool = _mended_tool(plain(raw), path)
    if isinstance(tool, McpTool) and not (tool.server_url or tool.connector_id or tool.tunnel_id):
        raise missing_parameter(f"{path}.server_url")
    return tool


def _mended_tool(value: object, path: str) -> Tool:
    fields = _object(value, path)
    wanted = TOOL_TYPES.get(_type(fields, path))
    if wanted is None:
        return Unknown(fields)
    mended = _without_nulls(fields)
    for key in ("allowed_tools", "container", "ranking_options", "require_approval", "tools"):
        if key in mended:
            mended[key] = _mended_parts(mended[key])
    return _converted(mended, wanted, path)


_MODES: Final = ("none", "auto", "required")
_NEEDED: Final = {"function": "name", "custom": "name", "mcp": "server_label"}


def parse_tool_choice(raw: Raw | bytes, path: str = "tool_choice") -> ToolChoice:
    """How the model shall choose; null is `auto`. Whether a named tool was offered is not looked at here. Raises
    InvalidRequestError."""
    value = plain(raw)
    if value is None:
        return "auto"
    if isinstance(value, str):
        if value not in _MODES:
            raise invalid_value(path, value, _MODES)
        return value
    if not isinstance(value, dict):
        raise invalid_type(path, "one of a string or object", value)
    fields = _without_nulls(cast("JsonObject", value))
    kind = _type(fields, path)
    if kind == "allowed_tools":
        return _converted(fields, AllowedTools, path)
    choice = _converted(fields, NamedChoice, path)
    if (needed := _NEEDED.get(kind)) and needed not in fields:
        raise missing_parameter(f"{path}.{needed}")
    return choice


# JSON


def _object(value: object, path: str) -> JsonObject:
    if not isinstance(value, dict):
        raise invalid_type(path, "an object", value)
    return cast("JsonObject", value)


def _type(fields: JsonObject, path: str) -> str:
    found = fields.get("type")
    if found is None:
        raise missing_parameter(f"{path}.type")
    if not isinstance(found, str):
        raise invalid_type(f"{path}.type", "a string", found)
    return found


def _without_nulls(fields: JsonObject) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}


def _listed(value: Any) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _fits(value: object, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _converted(fields: JsonObject, wanted: Any, path: str) -> Any:
    try:
        return msgspec.convert(fields, wanted)
    except msgspec.ValidationError as error:
        raise invalid(error, fields, path, wanted) from None
