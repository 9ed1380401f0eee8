"""`/v1/responses/compact` and `/v1/responses/input_tokens`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from antiphon.wire.items import Item
from antiphon.wire.responses import (
    ConversationRef,
    PromptCacheOptions,
    ReasoningConfig,
    ServiceTier,
    Text64,
    TextConfig,
    Usage,
)
from antiphon.wire.tools import Tool, ToolChoice


class CompactRequest(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/responses/compact after parsing."""

    model: str
    input: tuple[Item, ...] = ()
    instructions: str | None = None
    previous_response_id: str | None = None
    prompt_cache_key: Text64 | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    service_tier: ServiceTier | None = None


class CompactedResponse(Struct, frozen=True, kw_only=True):
    """What takes the place of the conversation: the user's messages and one compaction item."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: tuple[Item, ...]
    usage: Usage


class CountRequest(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/responses/input_tokens after parsing. `personality` has no effect here."""

    model: str | None = None
    input: tuple[Item, ...] = ()
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: ConversationRef | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    reasoning: ReasoningConfig | None = None
    text: TextConfig = TextConfig()
    truncation: Literal["auto", "disabled"] = "disabled"
    personality: Annotated[str, Meta(max_length=64)] | None = None


class InputTokens(Struct, frozen=True, kw_only=True):
    """How many tokens a response would take in."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int
