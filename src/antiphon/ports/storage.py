"""All that one store keeps."""

from __future__ import annotations

from typing import Protocol

from antiphon.ports.completions import Completions
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.prompts import Prompts
from antiphon.ports.runs import Runs
from antiphon.ports.store import Store


class Storage(Store, Runs, Prompts, Completions, Idempotency, Protocol):
    """What a file in `adapters/stores` makes. Whoever needs one part of it takes that part's port."""
