"""`/v1/prompts`, our extension: templates that a request names by `prompt {id, version, variables}`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class PromptVersion(Struct, frozen=True, kw_only=True):
    """One version of a prompt. `prompt` is its text with `{{ name }}` for each of `variables`; it becomes the
    instructions of the turn. `created_at` is epoch seconds; `version` counts from "1"."""

    id: str
    object: Literal["prompt"] = "prompt"
    created_at: int
    name: str | None = None
    version: str
    is_default: bool = True
    prompt: str
    variables: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
