"""Prompt templates, kept in versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.ports.store import PageQuery
from antiphon.wire.prompts import PromptVersion


class Prompts(Protocol):
    """Contract: as of Store; a version is immutable, versions count from 1. The store alone says what `version` and
    `is_default` of a prompt are: saving does not set a default."""

    async def save_prompt(self, project: str, prompt: PromptVersion, /) -> PromptVersion | None:
        """Store a new prompt (version 1), or the next version of one that exists; what was stored. None when
        `prompt.version` is above 1 and there is no prompt of this id."""
        ...

    async def prompt(self, project: str, prompt_id: str, version: str | None, /) -> PromptVersion | None:
        """That version, or the default one (None): the version that was set as default, else the newest."""
        ...

    async def prompts(self, project: str, page: PageQuery, /) -> tuple[Sequence[PromptVersion], bool]:
        """A page of prompts in their default versions, by creation; whether there are more."""
        ...

    async def prompt_versions(self, project: str, prompt_id: str, /) -> Sequence[PromptVersion]:
        """All versions, oldest first; empty when there is none."""
        ...

    async def set_default_prompt(self, project: str, prompt_id: str, version: str, /) -> PromptVersion | None:
        """Make this version the default; None when it does not exist."""
        ...

    async def delete_prompt(self, project: str, prompt_id: str, /) -> bool:
        """Delete all versions; False when there is none."""
        ...
