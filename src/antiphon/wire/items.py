"""Items: what input and output are made of. Every type of the specification stands here, in the checklist's order.

Law: an item is immutable, and goes out as it came in. A class is named after its `type` in camel case. `parsing` is the
way in for what clients send; `read_item` reads back what we encoded ourselves. Ids are absent where the client gave
none. An object of any other type is an `Unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from antiphon.wire.codec import Open, Unknown
from antiphon.wire.content import InputImage, InputPart, Part, ReasoningText, SummaryText

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]
Role: TypeAlias = Literal["user", "assistant", "system", "developer", "unknown", "critic", "discriminator", "tool"]
Phase: TypeAlias = Literal["commentary", "final_answer"]
Execution: TypeAlias = Literal["server", "client"]


class Message(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """A message: input parts from the user, the system or the developer, output parts from the assistant."""

    id: str | UnsetType = UNSET
    status: Status = "completed"
    role: Role
    content: tuple[Part, ...]
    phase: Phase | UnsetType = UNSET


class Reasoning(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought; `encrypted_content` is opaque."""

    id: str | UnsetType = UNSET
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class FunctionCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """The model asks the client to run a function; `arguments` is JSON text as the model wrote it."""

    id: str | UnsetType = UNSET
    call_id: str
    name: str
    arguments: str
    status: Status = "completed"
    namespace: str | UnsetType = UNSET
    caller: dict[str, Any] | UnsetType = UNSET


class FunctionCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    """What the client's function gave back."""

    id: str | UnsetType = UNSET
    call_id: str
    output: str | tuple[InputPart, ...]
    status: Status = "completed"
    name: str | UnsetType = UNSET
    namespace: str | UnsetType = UNSET
    caller: dict[str, Any] | UnsetType = UNSET


class CustomToolCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """The model asks the client to run a custom tool; `input` is free text."""

    id: str | UnsetType = UNSET
    call_id: str
    name: str
    input: str
    status: Status = "completed"
    namespace: str | UnsetType = UNSET
    caller: dict[str, Any] | UnsetType = UNSET


class CustomToolCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="custom_tool_call_output"):
    """What the client's custom tool gave back."""

    id: str | UnsetType = UNSET
    call_id: str
    output: str | tuple[InputPart, ...]
    status: Status = "completed"
    name: str | UnsetType = UNSET
    caller: dict[str, Any] | UnsetType = UNSET


class FileSearchCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="file_search_call"):
    """A search of vector stores that the server made; `results` is null unless it was asked for with `include`."""

    id: str | UnsetType = UNSET
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "completed"
    queries: tuple[str, ...] = ()
    results: tuple[dict[str, Any], ...] | None = None


class WebSearchCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="web_search_call"):
    """A search of the web that the server made; `action` is absent until it is done."""

    id: str | UnsetType = UNSET
    status: Literal["in_progress", "searching", "completed", "failed"] = "completed"
    action: dict[str, Any] | UnsetType = UNSET


class CodeInterpreterCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter_call"):
    """Code that the server ran; `outputs` is null unless it was asked for with `include`."""

    id: str | UnsetType = UNSET
    status: Literal["in_progress", "interpreting", "completed", "incomplete", "failed"] = "completed"
    container_id: str
    code: str | None = None
    outputs: tuple[dict[str, Any], ...] | None = None


class ImageGenerationCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="image_generation_call"):
    """An image that the server made; `result` is base64."""

    id: str | UnsetType = UNSET
    status: Literal["in_progress", "generating", "completed", "failed"] = "completed"
    result: str | None = None
    action: str | UnsetType = UNSET
    background: str | UnsetType = UNSET
    output_format: str | UnsetType = UNSET
    quality: str | UnsetType = UNSET
    revised_prompt: str | UnsetType = UNSET
    size: str | UnsetType = UNSET


class ComputerCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer_call"):
    """The model asks the client to act on a computer: one `action`, or a batch of `actions`."""

    id: str | UnsetType = UNSET
    call_id: str
    action: dict[str, Any] | UnsetType = UNSET
    actions: tuple[dict[str, Any], ...] | UnsetType = UNSET
    pending_safety_checks: tuple[dict[str, Any], ...] = ()
    status: Status = "completed"


class Screenshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer_screenshot"):
    """The screen after a computer call, by URL (also `data:`) or by file id."""

    image_url: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET


class ComputerCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer_call_output"):
    """What the client's computer showed; some clients send the screen as an `input_image`."""

    id: str | UnsetType = UNSET
    call_id: str
    output: Screenshot | InputImage
    acknowledged_safety_checks: tuple[dict[str, Any], ...] | UnsetType = UNSET
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "completed"


class ListedTool(Struct, frozen=True, kw_only=True):
    """A tool as an MCP server describes it; `description` and `annotations` are absent, never null."""

    name: str
    description: str | UnsetType = UNSET
    input_schema: dict[str, Any]
    annotations: dict[str, Any] | UnsetType = UNSET


class McpListTools(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_list_tools"):
    """The tools of an MCP server; `error` is absent, never null."""

    id: str | UnsetType = UNSET
    server_label: str
    tools: tuple[ListedTool, ...] = ()
    error: str | dict[str, Any] | UnsetType = UNSET


class McpCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_call"):
    """A call of an MCP server's tool; `approval_request_id` is absent, never null."""

    id: str | UnsetType = UNSET
    status: Literal["in_progress", "calling", "completed", "incomplete", "failed"] = "completed"
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: str | dict[str, Any] | None = None
    approval_request_id: str | UnsetType = UNSET


class McpApprovalRequest(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_approval_request"):
    """The server asks whether it may make this call; the response ends here."""

    id: str | UnsetType = UNSET
    server_label: str
    name: str
    arguments: str


class McpApprovalResponse(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp_approval_response"):
    """The client's answer to an approval request."""

    id: str | UnsetType = UNSET
    approval_request_id: str
    approve: bool
    reason: str | UnsetType = UNSET


class LocalShellAction(Struct, frozen=True, kw_only=True, tag_field="type", tag="exec"):
    """A command as its list of words."""

    command: tuple[str, ...]
    env: dict[str, str] = {}
    timeout_ms: int | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    working_directory: str | UnsetType | None = UNSET


class LocalShellCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="local_shell_call"):
    """The model asks the client to run a command."""

    id: str | UnsetType = UNSET
    call_id: str
    action: LocalShellAction
    status: Status = "completed"


class LocalShellCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="local_shell_call_output"):
    """What the command gave, as JSON text. The specification pairs it by `id`, its guides by `call_id`."""

    id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    output: str
    status: Status | UnsetType = UNSET


class ShellAction(Struct, frozen=True, kw_only=True):
    """Commands to run, with limits in milliseconds and characters."""

    commands: tuple[str, ...]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class ShellCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="shell_call"):
    """The model asks for commands to be run, by the client or in a container."""

    id: str | UnsetType = UNSET
    call_id: str
    action: ShellAction
    status: Status = "completed"
    environment: dict[str, Any] | None = None
    caller: dict[str, Any] | UnsetType = UNSET


class ShellCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="shell_call_output"):
    """What each command gave: `{stdout, stderr, outcome}`."""

    id: str | UnsetType = UNSET
    call_id: str
    output: tuple[dict[str, Any], ...]
    max_output_length: int | None = None
    status: Status = "completed"
    caller: dict[str, Any] | UnsetType = UNSET


class ApplyPatchCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="apply_patch_call"):
    """The model asks the client to change a file; `operation` is create_file, update_file or delete_file."""

    id: str | UnsetType = UNSET
    call_id: str
    operation: dict[str, Any]
    status: Literal["in_progress", "completed"] = "completed"
    caller: dict[str, Any] | UnsetType = UNSET


class ApplyPatchCallOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="apply_patch_call_output"):
    """Whether the change could be made."""

    id: str | UnsetType = UNSET
    call_id: str
    status: Literal["completed", "failed"] = "completed"
    output: str | UnsetType | None = UNSET
    caller: dict[str, Any] | UnsetType = UNSET


class ToolSearchCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_search_call"):
    """The model looks for tools whose definitions were deferred."""

    id: str | UnsetType = UNSET
    call_id: str | None = None
    execution: Execution = "server"
    arguments: Any
    status: Status = "completed"


class ToolSearchOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_search_output"):
    """The definitions of the tools that were found."""

    id: str | UnsetType = UNSET
    call_id: str | None = None
    execution: Execution = "server"
    status: Status = "completed"
    tools: tuple[dict[str, Any], ...] = ()


class AdditionalTools(Struct, frozen=True, kw_only=True, tag_field="type", tag="additional_tools"):
    """Tools that are offered from here on."""

    id: str | UnsetType = UNSET
    role: Role = "developer"
    tools: tuple[dict[str, Any], ...]


class Program(Struct, frozen=True, kw_only=True, tag_field="type", tag="program"):
    """A program of the model that calls tools; `fingerprint` is opaque."""

    id: str | UnsetType = UNSET
    call_id: str
    code: str
    fingerprint: str


class ProgramOutput(Struct, frozen=True, kw_only=True, tag_field="type", tag="program_output"):
    """What the program gave."""

    id: str | UnsetType = UNSET
    call_id: str
    result: str
    status: Literal["completed", "incomplete"] = "completed"


class Compaction(Struct, frozen=True, kw_only=True, tag_field="type", tag="compaction"):
    """Stands for the conversation before it; `encrypted_content` is opaque."""

    id: str | UnsetType = UNSET
    encrypted_content: str


class ItemReference(Struct, frozen=True, kw_only=True, tag_field="type", tag="item_reference"):
    """Stands for the stored item with this id (input only)."""

    id: str


class CompactionTrigger(Struct, frozen=True, kw_only=True, tag_field="type", tag="compaction_trigger"):
    """Asks for compaction; the last item of the input, and never stored."""


KnownItem: TypeAlias = (
    Message
    | Reasoning
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | FileSearchCall
    | WebSearchCall
    | CodeInterpreterCall
    | ImageGenerationCall
    | ComputerCall
    | ComputerCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | LocalShellCall
    | LocalShellCallOutput
    | ShellCall
    | ShellCallOutput
    | ApplyPatchCall
    | ApplyPatchCallOutput
    | ToolSearchCall
    | ToolSearchOutput
    | AdditionalTools
    | Program
    | ProgramOutput
    | Compaction
    | ItemReference
    | CompactionTrigger
)


class OpenItem(Open):
    """`Item` as msgspec sees it."""

    name = "Item"
    parts = (KnownItem,)


if TYPE_CHECKING:
    Item: TypeAlias = KnownItem | Unknown
else:
    Item = OpenItem

ITEM_TYPES: dict[str, type[KnownItem]] = OpenItem.tags
"""The class of every known item type."""

_KNOWN = msgspec.json.Decoder(KnownItem)
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def read_item(content: bytes | msgspec.Raw) -> Item:
    """The item that `encode` wrote. Raises msgspec.DecodeError when it is not the JSON of an item."""
    try:
        return _KNOWN.decode(content)
    except msgspec.ValidationError:
        fields = _OBJECT.decode(content)
        if fields.get("type") in ITEM_TYPES:
            raise
        return Unknown(fields)


def read_items(contents: Sequence[bytes | msgspec.Raw]) -> tuple[Item, ...]:
    """`read_item` of each."""
    return tuple(map(read_item, contents))


def item_id(item: Item) -> str | None:
    """The item's id, None while it has none."""
    if isinstance(item, CompactionTrigger):
        return None
    return item.id or None


def identified(item: Item, new: str) -> Item:
    """The same item with this id. A compaction trigger has none and stays as it is."""
    match item:
        case CompactionTrigger():
            return item
        case Unknown():
            return Unknown({**item.fields, "id": new})
        case _:
            return msgspec.structs.replace(item, id=new)
