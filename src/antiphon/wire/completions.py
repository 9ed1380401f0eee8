"""`/v1/completions`, the older endpoint that continues a text. Requests and answers pass through unchanged."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from antiphon.wire.chat import ChatStreamOptions, CompletionUsage
from antiphon.wire.responses import Penalty, Probability, Temperature

Prompts: TypeAlias = str | tuple[str | int | Annotated[tuple[int, ...], Meta(min_length=1)], ...]
"""One text or several, or the same as tokens."""


class CompletionRequest(Struct, frozen=True, kw_only=True):
    """A completion request. `body` is the whole JSON object as the client sent it; the named fields are read from
    it."""

    model: str
    stream: bool
    body: dict[str, Any]


class CompletionParams(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/completions. Unknown keys are let through: they are the upstream's."""

    model: Annotated[str, Meta(min_length=1)]
    prompt: Prompts | None = None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | Annotated[tuple[str, ...], Meta(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    suffix: str | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    user: str | None = None


class CompletionChoice(Struct, frozen=True, kw_only=True):
    """One continuation, or in a stream a piece of it."""

    index: int = 0
    text: str
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class Completion(Struct, frozen=True, kw_only=True):
    """The answer; the chunks of a stream have the same form."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: tuple[CompletionChoice, ...]
    usage: CompletionUsage | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
