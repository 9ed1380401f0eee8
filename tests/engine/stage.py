"""An engine on a real SQLite file with a scripted model, for the tests of this room."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Script, Scripted, Step
from antiphon.adapters.seal import Keys
from antiphon.adapters.stores.sqlite import SqliteStore
from antiphon.adapters.tokens import BpeTokens
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.core.limits import Limits
from antiphon.engine.catalog import Catalog
from antiphon.engine.fitter import Means
from antiphon.engine.intake import Intake
from antiphon.engine.runner import Runner
from antiphon.ports.tool import Tool
from antiphon.wire.requests import parse_create
from antiphon.wire.responses import Response
from antiphon.wire.tools import Tool as ToolConfig
from tests.attached import attachments
from tests.core.plays import SearchReceipt
from tests.grammar import parse_sse

DEADLINE = 10.0
_seeds = itertools.count()


class Functions:
    """Functions of the client."""

    types = ("function",)
    repeatable = False

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        return [Offer(getattr(config, "name", ""), tool=place)]

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        raise AssertionError("the client runs functions")

    async def close(self) -> None:
        """Nothing to release."""


class Searches:
    """A search that answers when the test lets it; `running` counts the calls in flight."""

    types = ("web_search",)
    repeatable = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self._changed = asyncio.Condition()

    async def busy(self, calls: int) -> None:
        """Return once so many calls are in flight."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(lambda: self.running >= calls)

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        return [Offer("web_search", receipt=SearchReceipt(), tool=place)]

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self._changed:
                self._changed.notify_all()
            await self.gate.wait()
            query = json.loads(call.arguments).get("query", "")
            if query == "boom":
                raise RuntimeError("a fault in a tool")
            return Outcome(call.call_id, f"results for {query}")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def close(self) -> None:
        """Nothing to release."""


class Stage:
    """The parts, and the ways of a client."""

    def __init__(
        self, model: Scripted, store: SqliteStore, runner: Runner, searches: Searches, clock: SeededClock
    ) -> None:
        self.model = model
        self.clock = clock
        self.store = store
        self.runner = runner
        self.searches = searches

    async def create(self, **body: Any) -> Response:
        """A request that waits for its answer."""
        request = parse_create(json.dumps({"model": "scripted", **body}).encode())
        async with asyncio.timeout(DEADLINE):
            return await (await self.runner.start("default", request)).last()

    async def stream(self, **body: Any) -> list[dict[str, Any]]:
        """A streamed request, to its end."""
        request = parse_create(json.dumps({"model": "scripted", "stream": True, **body}).encode())
        async with asyncio.timeout(DEADLINE):
            journal = await self.runner.start("default", request)
            return parse_sse(b"".join([batch async for batch in journal.follow()]))


@asynccontextmanager
async def staged(
    folder: Path,
    *steps: Step,
    limits: Limits | None = None,
    clock: SeededClock | None = None,
    retention: float | None = None,
    kind: type[SqliteStore] = SqliteStore,
) -> AsyncGenerator[Stage]:
    """An engine over the SQLite file in this folder; drained and closed at the end."""
    # another seed each time: two engines on one file must not repeat their ids
    clock = clock or SeededClock(next(_seeds))
    store = kind(clock, folder)
    await store.open()
    model = Scripted(Script(steps))
    searches = Searches()
    tools: dict[str, Tool] = {"function": Functions(), "web_search": searches}
    means = Means(Keys(["a secret of these tests, long enough"]), BpeTokens())
    catalog = Catalog({"test": model}, clock)
    intake = Intake(
        store=store,
        clock=clock,
        catalog=catalog,
        tools=tools,
        means=means,
        attachments=attachments(clock, store.files),
    )
    runner = Runner(store=store, clock=clock, intake=intake, limits=limits, retention=retention)
    runner.open()
    try:
        yield Stage(model, store, runner, searches, clock)
    finally:
        async with asyncio.timeout(DEADLINE):
            await runner.drain(0.0)
            await store.close()
