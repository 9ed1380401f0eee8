"""`/v1/chat/completions`: what clients send to us, and what comes back, whole or in chunks.

Requests and answers pass through unchanged. The types are there to check a request (`ChatParams`), to describe the
answers (`ChatCompletion`, `ChatCompletionChunk`), and to read upstream chunks fast (`ChatChunk`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from antiphon.wire.responses import Effort, Metadata, Penalty, Probability, Temperature, Text64, TopLogProbs, Verbosity

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]

# the request


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A chat completion request. `body` is the whole JSON object as the client sent it, so that nothing is lost on the
    way; the named fields are read from it. `store` and `metadata` are for us, not for the upstream."""

    model: str
    stream: bool
    body: dict[str, Any]
    store: bool = False
    metadata: dict[str, str] = {}


class ChatMessage(Struct, frozen=True, kw_only=True):
    """A message; its other fields hang on the role and are the upstream's to judge."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | tuple[dict[str, Any], ...] | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    tool_calls: tuple[dict[str, Any], ...] | UnsetType | None = UNSET
    tool_call_id: str | UnsetType | None = UNSET


class ChatStreamOptions(Struct, frozen=True, kw_only=True):
    """`include_usage`: the last chunk holds the usage of the whole request."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatTool(Struct, frozen=True, kw_only=True):
    """A tool the model may call; upstreams know more types than `function` and `custom`."""

    type: str
    function: dict[str, Any] | UnsetType = UNSET
    custom: dict[str, Any] | UnsetType = UNSET


class ChatParams(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions (checklist A.5). Unknown keys are let through: they are the upstream's."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1)]
    audio: dict[str, Any] | None = None
    frequency_penalty: Penalty | None = None
    function_call: str | dict[str, Any] | None = None
    functions: Annotated[tuple[dict[str, Any], ...], Meta(min_length=1, max_length=128)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    metadata: Metadata | None = None
    modalities: tuple[str, ...] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: Effort | None = None
    response_format: dict[str, Any] | None = None
    safety_identifier: Text64 | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | Annotated[tuple[str, ...], Meta(max_length=4)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    temperature: Temperature | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: Annotated[tuple[ChatTool, ...], Meta(max_length=128)] | None = None
    top_logprobs: TopLogProbs | None = None
    top_p: Probability | None = None
    user: str | None = None
    verbosity: Verbosity | None = None
    web_search_options: dict[str, Any] | None = None


# the answer, as documented


class ChatFunction(Struct, frozen=True, kw_only=True):
    """The function that is called; `arguments` is JSON text as the model wrote it."""

    name: str
    arguments: str


class ChatToolCall(Struct, frozen=True, kw_only=True):
    """A call of a function."""

    id: str
    type: Literal["function"] = "function"
    function: ChatFunction


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """The message of a choice."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    annotations: tuple[dict[str, Any], ...] = ()
    tool_calls: tuple[ChatToolCall, ...] | UnsetType = UNSET


class ChatChoice(Struct, frozen=True, kw_only=True):
    """One of the `n` answers."""

    index: int = 0
    message: ChatAnswer
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReason


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    """What of the prompt came from the cache."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    """What of the completion was reasoning."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """Tokens of a chat completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()
    completion_tokens_details: CompletionTokensDetails = CompletionTokensDetails()


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A whole answer; vendors' own fields (`reasoning`, `reasoning_content`) pass through beside these. A stored one
    has `metadata`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[ChatChoice, ...]
    usage: CompletionUsage | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class ChatFunctionPiece(Struct, frozen=True, kw_only=True):
    """A piece of a function call; the name comes once."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ChatToolCallPiece(Struct, frozen=True, kw_only=True):
    """A piece of a tool call; `id` and `type` come once."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: ChatFunctionPiece | UnsetType = UNSET


class ChatPiece(Struct, frozen=True, kw_only=True):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: tuple[ChatToolCallPiece, ...] | UnsetType = UNSET


class ChatChunkChoice(Struct, frozen=True, kw_only=True):
    """A choice of a chunk; `finish_reason` is in the last one."""

    index: int = 0
    delta: ChatPiece
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """A chunk of a streamed answer. With `include_usage` the last one has no choice but the usage, the others null."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChatChunkChoice, ...]
    usage: CompletionUsage | UnsetType | None = UNSET
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str | UnsetType = UNSET


# stored ones


class UpdateChatCompletion(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions/{id}: the map replaces the old one."""

    metadata: Metadata


class ChatCompletionDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: bool = True


class ChatCompletionList(Struct, frozen=True, kw_only=True):
    """A page of stored completions."""

    object: Literal["list"] = "list"
    data: tuple[ChatCompletion, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message of the request of a stored completion. Content that came as parts is in `content_parts`, and `content`
    is null. The message's other fields stand beside these."""

    id: str
    role: str
    content: str | None = None
    refusal: str | None = None
    content_parts: tuple[dict[str, Any], ...] | None = None


class StoredMessageList(Struct, frozen=True, kw_only=True):
    """A page of these messages."""

    object: Literal["list"] = "list"
    data: tuple[StoredMessage, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


# the answer, as upstreams send it: nullable everywhere, reduced to what the assembler needs


class FunctionDelta(Struct, frozen=True, gc=False):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A piece of a tool call in a chunk."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class ChunkDelta(Struct, frozen=True, gc=False):
    """What a chunk adds."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] | None = None


class ChunkChoice(Struct, frozen=True, gc=False):
    """The one choice of a chunk."""

    delta: ChunkDelta | None = ChunkDelta()
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None
    index: int = 0


class ChatUsage(Struct, frozen=True, gc=False):
    """Tokens as a chat upstream counts them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None
    prompt_cache_hit_tokens: int | None = None


class ChatChunk(Struct, frozen=True, gc=False):
    """One `chat.completion.chunk`, reduced to what the assembler needs; decoding ignores all other keys."""

    choices: tuple[ChunkChoice, ...] | None = ()
    usage: ChatUsage | None = None
    error: Any = None
