"""Calls that the client ran, and what they gave, as the model saw them: a function's name, its arguments, its output.

Calls of some hosted tools that a client sends back hold what they gave: they answer themselves.

Law: the names and arguments are those that the tools' own files show to the model, so that a conversation reads the
same in every turn, also when its tools have changed. One row per item type; what has no row is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.core.passages import FILE_SEARCH, material, recalled
from antiphon.wire.codec import builtins, encode
from antiphon.wire.content import InputImage, InputText, Part
from antiphon.wire.items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ComputerCall,
    ComputerCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    FileSearchCall,
    FunctionCall,
    FunctionCallOutput,
    Item,
    LocalShellCall,
    LocalShellCallOutput,
    McpCall,
    McpListTools,
    Screenshot,
    ShellCall,
    ShellCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
)

Output: TypeAlias = str | Sequence[Part]

APPLY_PATCH: Final = "apply_patch"
COMPUTER: Final = "computer"
LOCAL_SHELL: Final = "local_shell"
SHELL: Final = "shell"
TOOL_SEARCH: Final = "tool_search"
"""The names under which tools without a name of their own are shown to the model."""

MCP_MATERIAL: Final = material("was given by a tool of an MCP server") + "\n\n"
MCP_FAILED: Final = f"The call failed. {MCP_MATERIAL}"
"""The words in front of what such a tool gave."""

NAME_LENGTH: Final = 64
"""The longest name of a function that chat endpoints take."""
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Recalled(msgspec.Struct, frozen=True):
    """A call as the model made it; `arguments` is the text of a JSON object."""

    call_id: str
    name: str
    arguments: str


def flattened(namespace: str | UnsetType, name: str) -> str:
    """The name under which a member of a namespace (or of an MCP server) is shown: `namespace__name`. One that chat
    endpoints would not take is cut and marked with a digest, so that two members never share a name."""
    if not namespace:
        return name
    whole = f"{namespace}__{name}"
    plain = "__" not in namespace and not namespace.endswith("_")  # or `a__b` of `c` would be `b__c` of `a`
    if plain and len(whole) <= NAME_LENGTH and not _UNFIT.search(whole):
        return whole
    digest = sha256(f"{namespace}\0{name}".encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_UNFIT.sub('_', whole)[: NAME_LENGTH - 9]}_{digest}"


def fitting(name: str) -> str:
    """A name that a model made up, as chat endpoints take it back."""
    return _UNFIT.sub("_", name)[:NAME_LENGTH] or "unknown"


def called(item: Item) -> Recalled | None:
    """The call that this item is; None when it is none that the model made as a function."""
    call_id = call_id_of(item)
    row = _CALLS.get(type(item))
    if call_id is None or row is None:
        return None
    name, arguments = row(item)
    return Recalled(call_id, name, arguments)


def answered(item: Item) -> tuple[str, Output] | None:
    """The id of the call that this item answers, and what the model is told; None when it answers none."""
    call_id = answered_id_of(item)
    row = _OUTPUTS.get(type(item))
    return None if call_id is None or row is None else (call_id, row(item))


def call_id_of(item: Item) -> str | None:
    """The id under which the outputs of this call are found; None for anything else, and for a search of the web or for
    tools that a server made itself."""
    if isinstance(item, McpCall | FileSearchCall):
        return item.id or None
    return cast("Any", item).call_id if type(item) in _CALLS else None


def answered_id_of(item: Item) -> str | None:
    """The id of the call that this output answers. OpenAI's document pairs the local shell's by `id`."""
    if isinstance(item, LocalShellCallOutput):
        return item.call_id or item.id or None
    return cast("Any", item).call_id if type(item) in _OUTPUTS else None


def expects_output(item: Item) -> bool:
    """Whether the client owes an output: not for what a server ran, and not for a call that was cut."""
    if type(item) in _HOSTED or call_id_of(item) is None:
        return False
    return getattr(item, "status", None) != "incomplete"


def hosted_output(item: Item) -> str | None:
    """What the model is told of a call that a server ran and that holds what it gave; None for anything else."""
    row = _HOSTED.get(type(item))
    return None if row is None else row(item)


def is_hosted(item: Item) -> bool:
    """Whether an item that is a call is one that a server ran."""
    return type(item) in _HOSTED or type(item) not in _CALLS


def found_tools(item: ToolSearchOutput) -> str:
    """What a search for tools gave, in words: the names that can be called now."""
    names = [name for tool in item.tools for name in _names(tool)]
    return f"Found {len(names)} tools, which can be called now: {', '.join(names)}." if names else "Found no tools."


def _names(tool: Mapping[str, Any]) -> list[str]:
    """The names under which the tools of a definition are shown."""
    name = str(tool.get("name") or tool.get("type") or "")
    members = tool.get("tools")
    if not isinstance(members, list):
        return [name]
    return [
        flattened(name, str(cast("dict[str, Any]", member).get("name")))
        for member in cast("list[object]", members)
        if isinstance(member, dict)
    ]


# calls


def _function(item: FunctionCall) -> tuple[str, str]:
    return flattened(item.namespace, item.name), as_object(item.arguments)


def _custom(item: CustomToolCall) -> tuple[str, str]:
    return flattened(item.namespace, item.name), _json({"input": item.input})


def _mcp(item: McpCall) -> tuple[str, str]:
    return flattened(item.server_label, item.name), as_object(item.arguments)


def _file_search(item: FileSearchCall) -> tuple[str, str]:
    queries = item.queries
    return FILE_SEARCH, _json({"query": queries[0]} if len(queries) == 1 else {"query": queries})


def _shell(item: ShellCall) -> tuple[str, str]:
    return SHELL, _json(_filled(builtins(item.action)))


def _local_shell(item: LocalShellCall) -> tuple[str, str]:
    return LOCAL_SHELL, _json({k: v for k, v in _filled(builtins(item.action)).items() if k != "type" and v != {}})


def _apply_patch(item: ApplyPatchCall) -> tuple[str, str]:
    return APPLY_PATCH, _json(item.operation)


def _computer(item: ComputerCall) -> tuple[str, str]:
    if item.actions is UNSET and item.action is not UNSET:
        return COMPUTER, _json({"action": item.action})
    return COMPUTER, _json({"actions": item.actions or ()})


def _tool_search(item: ToolSearchCall) -> tuple[str, str]:
    arguments = item.arguments
    return TOOL_SEARCH, as_object(arguments) if isinstance(arguments, str) else _json(arguments or {})


_CALLS: Final[dict[type[Any], Callable[[Any], tuple[str, str]]]] = {
    FunctionCall: _function,
    CustomToolCall: _custom,
    McpCall: _mcp,
    FileSearchCall: _file_search,
    ShellCall: _shell,
    LocalShellCall: _local_shell,
    ApplyPatchCall: _apply_patch,
    ComputerCall: _computer,
    ToolSearchCall: _tool_search,
}


# outputs


def _as_it_is(item: FunctionCallOutput | CustomToolCallOutput | LocalShellCallOutput) -> Output:
    return item.output


def _shell_output(item: ShellCallOutput) -> Output:
    """Each command's output under its number, its end last."""
    told: list[str] = []
    for number, one in enumerate(item.output, 1):
        head = [f"[command {number}]"] if len(item.output) > 1 else []
        streams = [str(one.get("stdout") or ""), f"stderr:\n{one['stderr']}" if one.get("stderr") else ""]
        told += [*head, *(stream.rstrip("\n") for stream in streams if stream), _ending(one.get("outcome"))]
    return "\n".join(told)


def _ending(outcome: Any) -> str:
    fields = cast("dict[str, Any]", outcome) if isinstance(outcome, dict) else {}
    if fields.get("type") == "timeout":
        return "(timed out)"
    return f"(exit code {fields.get('exit_code', 'unknown')})"


def _patched(item: ApplyPatchCallOutput) -> Output:
    return f"{item.status}: {item.output}" if item.output else item.status


def _screen(item: ComputerCallOutput) -> Output:
    shown = item.output
    if isinstance(shown, Screenshot):
        shown = InputImage(image_url=shown.image_url or None, file_id=shown.file_id or None)
    words = "The screen after the actions." if item.status != "failed" else "The actions failed. The screen now."
    return (InputText(text=words), shown)


_OUTPUTS: Final[dict[type[Any], Callable[[Any], Output]]] = {
    FunctionCallOutput: _as_it_is,
    CustomToolCallOutput: _as_it_is,
    LocalShellCallOutput: _as_it_is,
    ShellCallOutput: _shell_output,
    ApplyPatchCallOutput: _patched,
    ComputerCallOutput: _screen,
    ToolSearchOutput: found_tools,
}


# calls that answer themselves


def _mcp_output(item: McpCall) -> str:
    if item.error is None:
        return f"{MCP_MATERIAL}{item.output or ''}"
    error = item.error if isinstance(item.error, str) else _json(item.error)
    return f"{MCP_FAILED}{error}"


def _found(item: FileSearchCall) -> str:
    if item.status in {"failed", "incomplete"}:
        return "The search failed."
    return recalled(item.queries, item.results)


_HOSTED: Final[dict[type[Any], Callable[[Any], str]]] = {
    McpCall: _mcp_output,
    FileSearchCall: _found,
}


# JSON


def _json(value: object) -> str:
    return encode(value).decode()


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def as_object(arguments: str) -> str:
    """The arguments as the text of an object, also where the model wrote none: chat templates read them, and fail on
    anything else."""
    try:
        _OBJECT.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _json({"arguments": arguments})
    return arguments or "{}"


def hollow(item: Item | None) -> bool:
    """Whether a client gave the item back without what it held, as some do: only its id says what it was."""
    if isinstance(item, McpCall):
        return bool(item.id) and item.output is None and item.error is None
    return isinstance(item, McpListTools) and bool(item.id) and not item.tools and not item.error
