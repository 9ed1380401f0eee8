"""Tools that a request may offer, and how it may choose among them: the 16 kinds of the checklist, section C.

Law: what a response shows of its tools comes from `echo`, which fills in the defaults and shows no secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from antiphon.wire.codec import JsonObject, Open, Unknown

NAME = r"^[A-Za-z0-9_-]+$(?!\n)"
"""Names of functions; `$` alone would let a newline follow."""
REDACTED = "<redacted>"
Callers: TypeAlias = tuple[str, ...] | UnsetType | None
"""Who may call a tool: `direct` (the model), `programmatic` (a program of the model)."""


class FunctionTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function that the client runs. `strict` null or absent: the arguments are not forced into the schema."""

    name: Annotated[str, Meta(min_length=1, max_length=128, pattern=NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    output_schema: dict[str, Any] | UnsetType | None = UNSET
    defer_loading: bool | UnsetType = UNSET
    allowed_callers: Callers = UNSET


class CustomTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="custom"):
    """A tool of the client that takes free text; `format` is `{type: text}` or a grammar (lark or regex)."""

    name: Annotated[str, Meta(min_length=1)]
    description: str | UnsetType = UNSET
    format: dict[str, Any] = field(default_factory=lambda: {"type": "text"})
    defer_loading: bool | UnsetType = UNSET
    allowed_callers: Callers = UNSET


class NamespaceTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="namespace"):
    """Functions and custom tools of the client under one name."""

    name: Annotated[str, Meta(min_length=1)]
    description: str = ""
    tools: tuple[FunctionTool | CustomTool, ...]


class ToolSearchTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_search"):
    """Search among the tools whose loading is deferred, by the server or by the client."""

    execution: Literal["server", "client"] = "server"
    description: str | None = None
    parameters: dict[str, Any] | None = None


class RankingOptions(Struct, frozen=True, kw_only=True):
    """How hits are ranked; `hybrid_search` is `{embedding_weight, text_weight}`. The last two are extensions: `alpha`
    stands for the weights `alpha` and `1 - alpha`, `impact_factor` is the constant of reciprocal rank fusion."""

    ranker: str = "auto"
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0
    hybrid_search: dict[str, Any] | UnsetType = UNSET
    alpha: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    impact_factor: Annotated[float, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET


class FileSearchTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="file_search"):
    """Search of vector stores by the server."""

    vector_store_ids: tuple[str, ...]
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 20
    ranking_options: RankingOptions = RankingOptions()


class Location(Struct, frozen=True, kw_only=True, tag_field="type", tag="approximate"):
    """Where the user is, roughly: two-letter country, IANA time zone."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WebSearchTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="web_search"):
    """Search of the web by the server. `filters` is `{allowed_domains, blocked_domains}`."""

    filters: dict[str, Any] | None = None
    search_context_size: Literal["low", "medium", "high"] = "medium"
    user_location: Location | None = None
    external_web_access: bool | UnsetType = UNSET
    search_content_types: tuple[str, ...] | UnsetType = UNSET


class WebSearchTool20250826(WebSearchTool, frozen=True, kw_only=True, tag_field="type", tag="web_search_2025_08_26"):
    """The same under its dated name."""


class WebSearchPreviewTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="web_search_preview"):
    """Search of the web by the server, in its older form."""

    search_context_size: Literal["low", "medium", "high"] = "medium"
    user_location: Location | None = None
    search_content_types: tuple[str, ...] | UnsetType = UNSET


class WebSearchPreviewTool20250311(
    WebSearchPreviewTool, frozen=True, kw_only=True, tag_field="type", tag="web_search_preview_2025_03_11"
):
    """The same under its dated name."""


class AutoContainer(Struct, frozen=True, kw_only=True, tag_field="type", tag="auto"):
    """A container that the server makes."""

    file_ids: tuple[str, ...] | UnsetType = UNSET
    memory_limit: str | UnsetType | None = UNSET
    network_policy: dict[str, Any] | UnsetType = UNSET


class CodeInterpreterTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter"):
    """Runs the model's code in a container, given by id or made by the server."""

    container: str | AutoContainer
    allowed_callers: Callers = UNSET


class ImageGenerationTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="image_generation"):
    """Makes images."""

    action: str | UnsetType = UNSET
    background: Literal["transparent", "opaque", "auto"] = "auto"
    input_fidelity: Literal["high", "low"] | UnsetType | None = UNSET
    input_image_mask: dict[str, Any] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    moderation: Literal["auto", "low"] = "auto"
    n: int = 1
    output_compression: Annotated[int, Meta(ge=0, le=100)] = 100
    output_format: Literal["png", "webp", "jpeg"] = "png"
    partial_images: Annotated[int, Meta(ge=0, le=3)] | UnsetType = UNSET
    quality: Literal["low", "medium", "high", "auto"] = "auto"
    size: str = "auto"


class McpFilter(Struct, frozen=True, kw_only=True):
    """Some tools of an MCP server: by name, or all that say they only read."""

    tool_names: tuple[str, ...] | UnsetType = UNSET
    read_only: bool | UnsetType = UNSET


class McpApproval(Struct, frozen=True, kw_only=True):
    """Which tools of an MCP server need the client's approval, and which never do."""

    always: McpFilter | UnsetType = UNSET
    never: McpFilter | UnsetType = UNSET


class McpTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="mcp"):
    """The tools of an MCP server. `authorization`, `headers` and the path of `server_url` are secrets."""

    server_label: Annotated[str, Meta(min_length=1)]
    server_url: str | UnsetType = UNSET
    connector_id: str | UnsetType = UNSET
    tunnel_id: str | UnsetType = UNSET
    authorization: str | UnsetType = UNSET
    server_description: str | UnsetType = UNSET
    headers: dict[str, str] | None = None
    allowed_tools: tuple[str, ...] | McpFilter | None = None
    require_approval: Literal["always", "never"] | McpApproval = "always"
    defer_loading: bool | UnsetType = UNSET
    allowed_callers: Callers = UNSET


class LocalShellTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="local_shell"):
    """Commands run by the client, one at a time."""


class ShellTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="shell"):
    """Commands run by the client (`local`) or in a container (`container_auto`, `container_reference`)."""

    environment: dict[str, Any] | UnsetType | None = UNSET
    allowed_callers: Callers = UNSET


class ApplyPatchTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="apply_patch"):
    """Changes of files by the client."""

    allowed_callers: Callers = UNSET


class ComputerTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer"):
    """A computer that the client runs."""


class ComputerUsePreviewTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer_use_preview"):
    """A computer that the client runs, in its older form."""

    display_width: int
    display_height: int
    environment: str


class ProgrammaticToolCallingTool(Struct, frozen=True, kw_only=True, tag_field="type", tag="programmatic_tool_calling"):
    """Lets the model call tools from a program that it writes."""


KnownTool: TypeAlias = (
    FunctionTool
    | CustomTool
    | NamespaceTool
    | ToolSearchTool
    | FileSearchTool
    | WebSearchTool
    | WebSearchTool20250826
    | WebSearchPreviewTool
    | WebSearchPreviewTool20250311
    | CodeInterpreterTool
    | ImageGenerationTool
    | McpTool
    | LocalShellTool
    | ShellTool
    | ApplyPatchTool
    | ComputerTool
    | ComputerUsePreviewTool
    | ProgrammaticToolCallingTool
)


class OpenTool(Open):
    """`Tool` as msgspec sees it."""

    name = "Tool"
    parts = (KnownTool,)


TOOL_TYPES: dict[str, type[KnownTool]] = OpenTool.tags
"""The class of every known tool type; dated names have their own."""


class NamedChoice(Struct, frozen=True, kw_only=True):
    """This tool must be called: a function, custom tool or MCP tool by name, a hosted tool by its type."""

    type: str
    name: str | UnsetType = UNSET
    server_label: str | UnsetType = UNSET


class AllowedTools(Struct, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    """Only these of the offered tools may be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[tuple[dict[str, Any], ...], Meta(min_length=1, max_length=128)]


ChoiceMode: TypeAlias = Literal["none", "auto", "required"]


class OpenToolChoice(Open):
    """`ToolChoice` as msgspec sees it, which does not mix structs with and without a tag."""

    name = "ToolChoice"
    parts = (ChoiceMode, NamedChoice, AllowedTools)

    @classmethod
    def read(cls, value: object) -> object:
        """The choice that this JSON value is. Raises msgspec.ValidationError."""
        if isinstance(value, str):
            return msgspec.convert(value, ChoiceMode)
        if isinstance(value, dict) and cast("JsonObject", value).get("type") == "allowed_tools":
            return msgspec.convert(value, AllowedTools)
        return msgspec.convert(value, NamedChoice)

    @classmethod
    def describe(cls, parts: Any) -> dict[str, Any]:
        """One of its parts."""
        return {"anyOf": list(parts)}


if TYPE_CHECKING:
    Tool: TypeAlias = KnownTool | Unknown
    ToolChoice: TypeAlias = ChoiceMode | NamedChoice | AllowedTools
else:
    Tool = OpenTool
    ToolChoice = OpenToolChoice


def echo(tool: Tool) -> Tool:
    """The tool as a response shows it: `strict` true where the request did not say, a location with all its keys, no
    secrets (checklist, section C; other defaults are already those of the types)."""
    match tool:
        case FunctionTool(strict=None):
            return msgspec.structs.replace(tool, strict=True)
        case WebSearchTool(user_location=None) | WebSearchPreviewTool(user_location=None):
            return msgspec.structs.replace(tool, user_location=Location())
        case McpTool():
            return _masked(tool)
        case CodeInterpreterTool(container=AutoContainer(network_policy=dict() as policy) as container):
            container = msgspec.structs.replace(container, network_policy=_without_secrets(policy))
            return msgspec.structs.replace(tool, container=container)
        case ShellTool(environment=dict() as environment):
            return msgspec.structs.replace(tool, environment=_without_secrets(environment))
        case Unknown():
            return Unknown(_without_secrets(tool.fields))
        case _:
            return tool


def confidential(tool: Tool) -> bool:
    """Whether the tool may hold what must not be kept as it is."""
    return isinstance(tool, McpTool | CodeInterpreterTool | ShellTool | Unknown)


def armed(tool: Tool) -> bool:
    """Whether the tool holds credentials. Of a URL that are the user and the query; a path may be one, nobody knows."""
    if not isinstance(tool, McpTool):
        return confidential(tool) and echo(tool) != tool
    return bool(tool.authorization or tool.headers) or bool(re.search("[@?]", tool.server_url or ""))


def _masked(tool: McpTool) -> McpTool:
    return msgspec.structs.replace(
        tool,
        authorization=UNSET,
        headers=tool.headers and dict.fromkeys(tool.headers, REDACTED),
        server_url=tool.server_url and masked_url(tool.server_url),
    )


def masked_url(url: str) -> str:
    """The scheme and host, with `<redacted>` for whatever follows."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return REDACTED
    return f"{parts.scheme}://{parts.hostname or ''}{port}/{REDACTED}"


_SECRETS = frozenset({"authorization", "domain_secrets"})


def _without_secrets(fields: JsonObject) -> JsonObject:
    """The object without the keys that hold secrets, in itself and in the objects it holds, and with masked headers."""
    shown: JsonObject = {}
    for key, value in fields.items():
        if key in _SECRETS:
            continue
        shown[key] = (
            _without_keys(cast("JsonObject", value), masked=key == "headers") if isinstance(value, dict) else value
        )
    return shown


def _without_keys(fields: JsonObject, *, masked: bool) -> JsonObject:
    return {key: REDACTED if masked else value for key, value in fields.items() if masked or key not in _SECRETS}
