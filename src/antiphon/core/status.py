"""Lifecycles as tables (law 2). A status without a row is final."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

Lifecycle: TypeAlias = Mapping[str, AbstractSet[str]]

RESPONSE: Final[Lifecycle] = {
    "queued": {"in_progress", "cancelled", "failed"},
    "in_progress": {"completed", "incomplete", "failed", "cancelled"},
}

ITEM: Final[Lifecycle] = {
    "in_progress": {"searching", "calling", "interpreting", "generating", "completed", "incomplete", "failed"},
    "searching": {"completed", "incomplete", "failed"},
    "calling": {"completed", "incomplete", "failed"},
    "interpreting": {"completed", "incomplete", "failed"},
    "generating": {"completed", "incomplete", "failed"},
}

UPLOAD: Final[Lifecycle] = {"pending": {"completed", "cancelled", "expired"}}

VECTOR_STORE_FILE: Final[Lifecycle] = {"in_progress": {"completed", "failed", "cancelled"}}
"""Of one document: a file that is attached again after it failed is another one."""

FILE_BATCH: Final[Lifecycle] = {"in_progress": {"completed", "failed", "cancelled"}}


class IllegalMoveError(RuntimeError):
    """A lifecycle was asked for a move that its table does not have: a fault of ours, never of a client."""


def moved(lifecycle: Lifecycle, now: str, then: str) -> str:
    """`then`, when the table allows it after `now`."""
    if then not in lifecycle.get(now, ()):
        raise IllegalMoveError(f"{now} -> {then}")
    return then


def final(lifecycle: Lifecycle, status: str) -> bool:
    """Whether nothing comes after this status."""
    return status not in lifecycle
