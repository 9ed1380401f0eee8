"""`/v1/responses`: the request (section C of the wire checklist) and the response object, keys in recorded order.

The limits of parameters stand in their types; what hangs on several parameters is checked in `requests`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from antiphon.wire.codec import decode, encode
from antiphon.wire.items import Item
from antiphon.wire.tools import Tool, ToolChoice

ResponseStatus: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
Include: TypeAlias = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
INCLUDES: Final[tuple[str, ...]] = get_args(Include)
"""What `include` may ask for."""

Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Temperature: TypeAlias = Annotated[float, Meta(ge=0, le=2)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
TopLogProbs: TypeAlias = Annotated[int, Meta(ge=0, le=20)]
Text64: TypeAlias = Annotated[str, Meta(max_length=64)]
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Verbosity: TypeAlias = Literal["low", "medium", "high"]
ServiceTier: TypeAlias = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


class InputTokensDetails(Struct, frozen=True, kw_only=True):
    """What of the input came from or went to the upstream's cache."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, frozen=True, kw_only=True):
    """What of the output was reasoning."""

    reasoning_tokens: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens, summed over all generations of the response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseError(Struct, frozen=True, kw_only=True):
    """Why a response failed; `code` is one of OpenAI's (checklist 0.1), `server_error` where none fits."""

    code: str
    message: str


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ReasoningConfig(Struct, frozen=True, kw_only=True):
    """How hard to think and what to show of it."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | UnsetType | None = UNSET
    context: Literal["auto", "current_turn", "all_turns"] | UnsetType | None = UNSET
    mode: Literal["standard", "pro"] | UnsetType | None = UNSET


class TextFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Free text."""


class JsonObjectFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Struct, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    name: Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    schema: dict[str, Any]
    strict: bool | None = None
    description: str | UnsetType | None = UNSET


class TextConfig(Struct, frozen=True, kw_only=True):
    """The form of the answer."""

    format: TextFormat | JsonObjectFormat | JsonSchemaFormat = TextFormat()
    verbosity: Verbosity | None = "medium"


class ConversationRef(Struct, frozen=True, kw_only=True):
    """A conversation by id."""

    id: str


class StreamOptions(Struct, frozen=True, kw_only=True):
    """Options of the stream."""

    include_obfuscation: bool | None = None


class ContextManagement(Struct, frozen=True, kw_only=True, tag_field="type", tag="compaction"):
    """Compact the context when it passes this many tokens."""

    compact_threshold: Annotated[int, Meta(ge=1000)] | None = None


class PromptCacheOptions(Struct, frozen=True, kw_only=True):
    """How the upstream's prompt cache is used."""

    ttl: Literal["30m"] = "30m"
    mode: Literal["implicit", "explicit"] = "implicit"


class Prompt(Struct, frozen=True, kw_only=True):
    """A stored prompt; `variables` are strings or input parts."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class CreateResponse(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/responses after parsing: `input` is a tuple of items, `conversation` an object."""

    model: str
    input: tuple[Item, ...] = ()
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: ConversationRef | None = None
    store: bool = True
    background: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    include: tuple[Include, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_logprobs: TopLogProbs | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    text: TextConfig = TextConfig()
    reasoning: ReasoningConfig | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    context_management: tuple[ContextManagement, ...] = ()
    metadata: Metadata = {}
    service_tier: ServiceTier | None = None
    safety_identifier: Text64 | None = None
    prompt_cache_key: Text64 | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    user: str | None = None
    moderation: dict[str, Any] | None = None
    prompt: Prompt | None = None


class Response(Struct, frozen=True, kw_only=True):
    """The response object; keys in the order of api.openai.com (July 2026)."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: ResponseStatus
    background: bool = False
    completed_at: int | None = None
    error: ResponseError | None = None
    frequency_penalty: float = 0.0
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    moderation: dict[str, Any] | None = None
    output: tuple[Item, ...] = ()
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    reasoning: ReasoningConfig = ReasoningConfig()
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1.0
    text: TextConfig = TextConfig()
    tool_choice: ToolChoice = "auto"
    tool_usage: dict[str, Any] | UnsetType = UNSET
    tools: tuple[Tool, ...] = ()
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: Usage | None = None
    user: str | None = None
    metadata: dict[str, str] = {}
    conversation: ConversationRef | UnsetType = UNSET
    prompt: Prompt | UnsetType = UNSET
    prompt_cache_options: PromptCacheOptions | UnsetType = UNSET


class ResponseDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ResponsePage(Struct, frozen=True, kw_only=True):
    """A page of stored responses: GET /v1/responses, our extension."""

    object: Literal["list"] = "list"
    data: tuple[Response, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


def parse_response(body: bytes) -> Response:
    """Read a response object that `encode` wrote; nothing is lost. Raises msgspec.DecodeError."""
    return decode(body, Response)


def pack(response: Response) -> bytes:
    """The response for the store: only what differs from the defaults, and without `output`, whose items are rows of
    their own (law 5)."""
    return encode({name: value for name, default in _DEFAULTS if (value := getattr(response, name)) != default})


def unpack(body: bytes, output: tuple[Item, ...]) -> Response:
    """The inverse of `pack`. Raises msgspec.DecodeError."""
    response = decode(body, Response)
    msgspec.structs.force_setattr(response, "output", output)  # nobody else has seen it yet
    return response


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


_DEFAULTS: Final = tuple(
    (field.name, _default(field))
    for field in msgspec.structs.fields(Response)
    if field.name not in {"object", "output"}
)
