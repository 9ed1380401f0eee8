"""Stored chat completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from antiphon.ports.store import PageQuery


class StoredCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion as it was answered (`body`, the JSON object without `metadata`), and the request's messages
    (a JSON array). `created` is epoch seconds."""

    id: str
    created: int
    model: str
    metadata: dict[str, str]
    body: bytes
    messages: bytes
    expires_at: float | None = None


class Completions(Protocol):
    """Contract: as of Store."""

    async def save_completion(self, project: str, completion: StoredCompletion, /) -> None:
        """Store it."""
        ...

    async def completion(self, project: str, completion_id: str, /) -> StoredCompletion | None:
        """The stored one, or None."""
        ...

    async def completions(
        self, project: str, page: PageQuery, model: str | None, metadata: Mapping[str, str], /
    ) -> tuple[Sequence[StoredCompletion], bool]:
        """A page by creation, of this model and with all these metadata; whether there are more."""
        ...

    async def update_completion(
        self, project: str, completion_id: str, metadata: dict[str, str], /
    ) -> StoredCompletion | None:
        """Replace the metadata; None when there is none."""
        ...

    async def delete_completion(self, project: str, completion_id: str, /) -> bool:
        """Delete it; False when there is none."""
        ...
