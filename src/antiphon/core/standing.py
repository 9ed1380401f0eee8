"""How vector stores and batches of files stand, said by the files in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import structs

from antiphon.wire.vector_stores import FileBatch, FileCounts, FileStatus, VectorStore

_DAY: Final = 86_400
"""Seconds."""


def counted(files: Mapping[str, int]) -> FileCounts:
    """The counts, given how many files have each status."""
    return FileCounts(
        in_progress=files.get("in_progress", 0),
        completed=files.get("completed", 0),
        failed=files.get("failed", 0),
        cancelled=files.get("cancelled", 0),
        total=sum(files.values()),
    )


def expired(store: VectorStore, now: float) -> bool:
    """Whether its time has passed."""
    return store.expires_at is not None and store.expires_at <= now


def store_as(store: VectorStore, counts: FileCounts, usage_bytes: int, now: float) -> VectorStore:
    """The store with what its files say."""
    status = "expired" if expired(store, now) else "in_progress" if counts.in_progress else "completed"
    return structs.replace(store, file_counts=counts, usage_bytes=usage_bytes, status=status)


def batch_as(batch: FileBatch, counts: FileCounts, *, cancelled: bool) -> FileBatch:
    """The batch with what its files say."""
    return structs.replace(batch, file_counts=counts, status=_batch(counts, cancelled=cancelled))


def _batch(counts: FileCounts, *, cancelled: bool) -> FileStatus:
    if counts.in_progress:
        return "in_progress"
    if cancelled:
        return "cancelled"
    return "failed" if counts.failed and counts.failed == counts.total else "completed"


def used(store: VectorStore, now: float) -> VectorStore:
    """The store once it was used; an expired one stays as it is."""
    if expired(store, now):
        return store
    after = store.expires_after
    until = store.expires_at if after is None else int(now) + after.days * _DAY
    return structs.replace(store, last_active_at=int(now), expires_at=until)


def updated(store: VectorStore, given: VectorStore, now: float) -> VectorStore:
    """The store with what of the given one may be changed, which is a use of it; an expired one stays expired."""
    then = structs.replace(store, name=given.name, description=given.description, metadata=given.metadata)
    if expired(store, now):
        return then
    return used(structs.replace(then, expires_after=given.expires_after, expires_at=given.expires_at), now)
