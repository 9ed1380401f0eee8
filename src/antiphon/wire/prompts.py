"""`/v1/prompts`, our extension: templates that a request names by `prompt {id, version, variables}`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from antiphon.wire.responses import Metadata

MOST_VARIABLES: Final = 100

Variable: TypeAlias = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Variables: TypeAlias = Annotated[tuple[Variable, ...], Meta(max_length=MOST_VARIABLES)]
Template: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1_048_576)]
Name: TypeAlias = Annotated[str, Meta(max_length=256)]
ModelName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]


class PromptVersion(Struct, frozen=True, kw_only=True):
    """One version of a prompt. `prompt` is its text with `{{ name }}` for each of `variables`; it becomes the
    instructions of the turn. `created_at` is epoch seconds; `version` counts from "1". `model` answers requests that
    name this prompt and no model."""

    id: str
    object: Literal["prompt"] = "prompt"
    created_at: int
    name: str | None = None
    version: str
    is_default: bool = True
    prompt: str
    variables: tuple[str, ...] = ()
    model: str | None = None
    metadata: dict[str, str] = {}


class PromptDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["prompt.deleted"] = "prompt.deleted"
    deleted: bool = True


class PromptList(Struct, frozen=True, kw_only=True):
    """A page of prompts in their default versions, or all versions of one; the ids of the latter are all the same."""

    object: Literal["list"] = "list"
    data: tuple[PromptVersion, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class CreatePrompt(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/prompts. `variables`: all that a request has to give; by default those that the text has
    places for. Variables without a place are for images and files."""

    prompt: Template
    variables: Variables | None = None
    name: Name | None = None
    model: ModelName | None = None
    metadata: Metadata = {}


class UpdatePrompt(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/prompts/{id}: a new version. What is absent or null is as in the default version; the
    variables go with the text."""

    prompt: Template | None = None
    variables: Variables | None = None
    name: Name | None = None
    model: ModelName | None = None
    metadata: Metadata | None = None
    set_as_default: bool = True


class DefaultPrompt(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/prompts/{id}/default."""

    version: str
