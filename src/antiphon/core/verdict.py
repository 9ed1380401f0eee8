"""What an upstream's finish word means for the response (wire checklist E.2)."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["completed", "max_output_tokens", "content_filter", "failed"]

VERDICTS: Final[dict[str, Verdict]] = {
    "stop": "completed",
    "eos": "completed",
    "end_turn": "completed",
    "stop_sequence": "completed",
    "tool_calls": "completed",
    "function_call": "completed",
    "tool_use": "completed",
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "model_length": "max_output_tokens",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "error": "failed",
    "abort": "failed",
}


def verdict_of(finish: str | None) -> Verdict:
    """The verdict; words that no table knows end the generation normally, none at all means that it was cut."""
    if finish is None:
        return "failed"
    return VERDICTS.get(finish.lower(), "completed")
