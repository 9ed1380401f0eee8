"""Counting tokens: sums over the generations of a run, and an estimate where the upstream counts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from antiphon.core.effects import Call, Entry
from antiphon.wire.codec import encode
from antiphon.wire.responses import InputTokensDetails, OutputTokensDetails, Usage


def estimate(text: str) -> int:
    """About how many tokens the text is: a token for every four bytes of UTF-8, rounded up."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def counted(input_tokens: int, output_tokens: int) -> Usage:
    """Usage from two plain counts."""
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=input_tokens + output_tokens)


def estimated(context: Iterable[Entry], made: Mapping[int, Entry], calls: Mapping[int, Call]) -> Usage:
    """About what a generation cost whose upstream counted nothing (wire checklist E.2: never null)."""
    asked = sum(estimate(encode(entry.item).decode()) for entry in context if entry.item is not None)
    spoken = sum(estimate(encode(entry.item).decode()) for entry in made.values())
    return counted(asked, spoken + sum(estimate(call.arguments) for call in calls.values()))


def added(one: Usage | None, other: Usage) -> Usage:
    """The sum of both."""
    if one is None:
        return other
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=one.input_tokens_details.cached_tokens + other.input_tokens_details.cached_tokens,
            cache_write_tokens=one.input_tokens_details.cache_write_tokens
            + other.input_tokens_details.cache_write_tokens,
        ),
        output_tokens=one.output_tokens + other.output_tokens,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=one.output_tokens_details.reasoning_tokens + other.output_tokens_details.reasoning_tokens
        ),
        total_tokens=one.total_tokens + other.total_tokens,
    )
