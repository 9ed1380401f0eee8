"""What a run starts from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from antiphon.core.effects import Approved, Entry, Offer, Preface
from antiphon.core.fitting import Bounds
from antiphon.core.limits import Limits
from antiphon.core.taint import Guard
from antiphon.wire.responses import CreateResponse, Response
from antiphon.wire.tools import ToolChoice


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do: the request, its echo (status `in_progress` or `queued`), the upstream's name of the model,
    the context (history and input) as the model is to see it, the functions offered, what comes before the first
    generation (`prefaces`, and calls that were `approved`), and the bounds. `guard`: how it is kept from acting on
    untrusted content; None: it is not. `seal` makes the encrypted content of reasoning, where that was asked for or is
    needed again."""

    request: CreateResponse
    response: Response
    model: str
    context: tuple[Entry, ...]
    offers: tuple[Offer, ...] = ()
    prefaces: tuple[Preface, ...] = ()
    approved: tuple[Approved, ...] = ()
    tool_choice: ToolChoice = "auto"
    limits: Limits = Limits()
    bounds: Bounds = Bounds()
    guard: Guard | None = None
    seal: Callable[[str], str] | None = None
