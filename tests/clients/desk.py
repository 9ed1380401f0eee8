"""What clients of retrieval meet: a server with a small library, and a model that searches and cites as it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.citing import Citing
from tests.whole.house import Json, Whole
from tests.whole.library import Library, library

MODEL = "m"
MILL, LAMP = "mill.txt", "lamp.md"
TEXTS: dict[str, tuple[str, Json]] = {
    MILL: ("The tide mill grinds corn twice a day.", {"topic": "mills", "year": 1820, "open": True}),
    LAMP: (
        "# The lamp\n\nThe lighthouse lamp turns once in ten seconds.",
        {"topic": "lamps", "year": 1901, "open": False},
    ),
}


class Desk(Library):
    """The library: a store, and the ids of the files in it by name."""

    def __init__(self, served: Whole, data: Path) -> None:
        super().__init__(served, data)
        self.store_id = ""
        self.ids: dict[str, str] = {}

    @property
    def model(self) -> Citing:
        found = self.served.composition.catalog.endpoints["test"]
        assert isinstance(found, Citing)
        return found


def wish(say: str, *queries: str) -> str:
    """What a user says so that the model searches for these and then says this; `{name}` cites the file."""
    return json.dumps({"say": say, "search": [{"query": query} for query in queries]})


@asynccontextmanager
async def desk(data: Path, **tree: Any) -> AsyncGenerator[Desk]:
    """The server, its library ready."""
    endpoint: Json = {"name": "test", "kind": "tests.citing"}
    async with library(data, models=[endpoint], **tree) as shelf:
        opened = Desk(shelf.served, data)
        opened.store_id = (await opened.client.vector_stores.create(name="Island")).id
        for name, (text, attributes) in TEXTS.items():
            opened.ids[name] = await opened.file(text, name)
            attached = await opened.attach(opened.store_id, opened.ids[name], attributes=attributes)
            assert attached.status == "completed"
        yield opened
