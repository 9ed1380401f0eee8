"""Runs played without an engine: ids are counted, time stands still, a search tool is a receipt only."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from antiphon.core.effects import Call, Effect, Entry, Execute, Offer, Opening, Outcome, Told
from antiphon.core.fitting import Bounds
from antiphon.core.limits import Limits
from antiphon.core.plan import Plan
from antiphon.core.run import Run
from antiphon.core.state import OpenItem, unpack
from antiphon.core.taint import Guard
from antiphon.wire.codec import encode
from antiphon.wire.content import InputText
from antiphon.wire.events import Event, OutputItemAdded, OutputItemDone
from antiphon.wire.items import Item, Message, WebSearchCall
from antiphon.wire.responses import CreateResponse, Response

Json = dict[str, Any]


def counted_ids() -> Callable[[str], str]:
    """An id source that counts."""
    counter = itertools.count(1)
    return lambda prefix: f"{prefix}{next(counter):04d}"


class SearchReceipt:
    """A web search as an item."""

    prefix = "ws_"
    phases = ("in_progress", "searching")

    def opened(self, item_id: str) -> Item:
        return WebSearchCall(id=item_id, status="in_progress")

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        action = {"type": "search", "query": call.arguments}
        status = "failed" if outcome is None or outcome.failed else "completed"
        return WebSearchCall(id=item_id, status=status, action=UNSET if outcome is None else action)


SEARCH = Offer("web_search", "Search", {"type": "object"}, receipt=SearchReceipt())
WEATHER = Offer("get_weather", "Weather", {"type": "object"}, tool=1)


def user(text: str) -> Entry:
    return Entry(Message(id="msg_user", role="user", content=(InputText(text=text),)))


class Play:
    """A run and everything it told, as JSON."""

    def __init__(
        self,
        *offers: Offer,
        limits: Limits | None = None,
        context: tuple[Entry, ...] = (),
        bounds: Bounds | None = None,
        opening: Opening | None = None,
        guard: Guard | None = None,
        **request: Any,
    ) -> None:
        asked = CreateResponse(model="m", **request)
        response = Response(id="resp_1", created_at=1, status="in_progress", model="m")
        plan = Plan(
            request=asked,
            response=response,
            model="m",
            context=context or (user("Hello"),),
            offers=offers,
            prefaces=opening.prefaces if opening else (),
            approved=opening.approved if opening else (),
            tool_choice=asked.tool_choice,
            limits=limits or Limits(),
            bounds=bounds or Bounds(),
            guard=guard,
        )
        self._plan = plan
        self._new_id = counted_ids()
        self.run = Run(plan, self._new_id, lambda: 2.0)
        self.events: list[Json] = []
        self._open: dict[int, Item] = {}
        self._take(self.run.begin())

    @property
    def effect(self) -> Effect | None:
        return self.run.effect

    @property
    def types(self) -> list[str]:
        return [event["type"].removeprefix("response.") for event in self.events]

    @property
    def output(self) -> list[Json]:
        return json.loads(encode(self.run.response.output))

    def tell(self, *outcomes: Told) -> None:
        self._take(self.run.receive(outcomes))

    def cancel(self) -> None:
        self._take(self.run.cancel())

    def crash(self, *, repeatable: bool = True) -> None:
        """Forget everything but what the rows hold, and resume."""
        state = unpack(self.run.state(OpenItem(index, item) for index, item in self._open.items()).pack())
        rows = {i: self.run.entry(i) for i in range(state.next_index) if self.run.holds(i)}
        self.run = Run(self._plan, self._new_id, lambda: 2.0)
        self._take(self.run.resume(state, rows, lambda _: repeatable))

    def calls(self) -> Sequence[Call]:
        assert isinstance(self.run.effect, Execute)
        return self.run.effect.calls

    def _take(self, events: list[Event]) -> None:
        for event in events:
            event.sequence_number = len(self.events)
            if isinstance(event, OutputItemAdded):
                self._open[event.output_index] = event.item
            elif isinstance(event, OutputItemDone):
                del self._open[event.output_index]
            self.events.append(json.loads(encode(event)))
