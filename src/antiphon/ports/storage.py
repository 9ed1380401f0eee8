"""All that one store keeps."""

from __future__ import annotations

from typing import Protocol

from antiphon.ports.completions import Completions
from antiphon.ports.files import Files
from antiphon.ports.idempotency import Idempotency
from antiphon.ports.prompts import Prompts
from antiphon.ports.runs import Runs
from antiphon.ports.store import Store
from antiphon.ports.vector_stores import VectorStores


class Storage(Store, Runs, Prompts, Completions, Idempotency, Protocol):
    """What a file in `adapters/stores` makes. Whoever needs one part of it takes that part's port."""

    @property
    def files(self) -> Files:
        """Files and uploads."""
        ...

    @property
    def vector_stores(self) -> VectorStores:
        """Vector stores and their files."""
        ...
