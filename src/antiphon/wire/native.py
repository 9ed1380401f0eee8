"""What an upstream's `/v1/responses` says, read leniently: a server that imitates it leaves fields out or null.

Only what is read has a field. Parts, items and responses stay raw until it is known that they are of interest.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

_NULL = Raw(b"null")


class NativeEvent(Struct, frozen=True, gc=False):
    """Any event, with the fields of all that are read."""

    type: str = ""
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    logprobs: Any = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    annotation: Any = None
    part: Raw = _NULL
    item: Raw = _NULL
    response: Raw = _NULL
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None


class NativeType(Struct, frozen=True):
    """The type of anything that has one."""

    type: str = ""


class NativePart(Struct, frozen=True):
    """A part of a message, of reasoning or of its summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: tuple[Any, ...] | None = None
    logprobs: Any = None


class NativeItem(Struct, frozen=True):
    """A message, reasoning, a function call or a call of a custom tool."""

    type: str
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: tuple[NativePart, ...] | None = None
    summary: tuple[NativePart, ...] | None = None
    encrypted_content: str | None = None
    phase: Any = None


class NativeTokens(Struct, frozen=True):
    """Details of usage, of the input or of the output."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class NativeUsage(Struct, frozen=True):
    """Tokens counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int | None = None
    input_tokens_details: NativeTokens | None = None
    output_tokens_details: NativeTokens | None = None


class NativeReason(Struct, frozen=True):
    """Why a response is incomplete."""

    reason: str | None = None


class NativeResponse(Struct, frozen=True):
    """A response that has ended."""

    status: str
    error: Any = None
    incomplete_details: NativeReason | None = None
    output: tuple[Raw, ...] | None = None
    usage: NativeUsage | None = None
