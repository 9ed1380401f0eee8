"""Keeping the context of a run within bounds: when it is measured, compacted, or cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from antiphon.core.compaction import divided
from antiphon.core.effects import Compact, Effect, Entry, Generate, Measure, Measured
from antiphon.core.pruning import grouped, halved, without
from antiphon.wire.codec import encode
from antiphon.wire.responses import CreateResponse

MOST_CUTS: Final = 8
"""How often one run is cut because its endpoint says that it is too long; each time the older half goes."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """In tokens: `threshold` above which the context is compacted, `window` that the model has at most (None: not
    known). `truncate`: the oldest items may go. `forced`: compact, and do nothing else."""

    threshold: int | None = None
    window: int | None = None
    truncate: bool = False
    forced: bool = False


def bounds_of(request: CreateResponse, window: int | None, *, forced: bool) -> Bounds:
    """What the request asks for, at a model with this window."""
    thresholds = [each.compact_threshold for each in request.context_management if each.compact_threshold is not None]
    return Bounds(
        threshold=min(thresholds, default=None),
        window=window,
        truncate=request.truncation == "auto",
        forced=forced,
    )


def weight(wanted: Generate) -> int:
    """Bytes of all that is sent. No token is shorter than a byte, so this is never less than its tokens."""
    return _told(wanted) + _held(wanted.context)


def _told(wanted: Generate) -> int:
    """Bytes of the instructions and of the functions."""
    total = len(wanted.request.instructions or "") * 4 + sum(len(encode(offer.parameters)) for offer in wanted.offers)
    return total + sum(len(offer.name) + len(offer.description or "") * 4 for offer in wanted.offers)


def _held(context: Sequence[Entry]) -> int:
    """Bytes of these entries."""
    return sum(
        len(encode(entry.item)) + (0 if entry.exchange is None else len(encode(entry.exchange))) for entry in context
    )


def excess(wanted: Generate, tokens: int, window: int) -> int:
    """By how many tokens the input is too long for the window; what may be generated needs room there as well, as far
    as half of it."""
    return tokens + min(wanted.max_output_tokens or 0, window // 2) - window


class Fitting:
    """The decisions for one run. `dropped` counts the entries that went."""

    def __init__(self, bounds: Bounds) -> None:
        self.dropped = 0
        self._bounds = bounds
        self._compacted = False
        self._cuts = 0
        self._weighed: tuple[Sequence[Entry], int] = ((), 0)

    def before(self, wanted: Generate, *, begun: bool) -> Effect:
        """What has to come before this generation, or itself. `begun`: the response has output already; until then the
        context is known to fit the window."""
        bounds = self._bounds
        if bounds.forced and not begun:
            return Compact(wanted, wanted.context if isinstance(wanted.context, tuple) else tuple(wanted.context))
        compacted, self._compacted = self._compacted, False
        limits = [bounds.window if begun else None, None if compacted else bounds.threshold]
        known = [limit for limit in limits if limit is not None]
        return Measure(wanted) if known and self._weight(wanted) > min(known) else wanted

    def _weight(self, wanted: Generate) -> int:
        """As `weight`; of a context that has grown only what is new is weighed."""
        context, (former, weighed) = wanted.context, self._weighed
        since = len(former) if context[: len(former)] == former else 0
        weighed = (weighed if since else 0) + _held(context[since:])
        self._weighed = (context, weighed)
        return _told(wanted) + weighed

    def measured(self, wanted: Generate, found: Measured) -> Effect | None:
        """What comes next, now that the size is known. None: it is too long, and nothing may go."""
        threshold, window = self._bounds.threshold, self._bounds.window
        if threshold is not None and found.tokens > threshold:
            past, since = divided(wanted.context)
            if past:
                return Compact(wanted, past, since, room=2 * threshold)  # about half of the threshold, in bytes
        if window is None or (over := excess(wanted, found.tokens, window)) <= 0:
            return wanted
        if not self._bounds.truncate:
            return None
        kept, gone = without(grouped(wanted.context), found.sizes, over)
        self.dropped += gone
        return replace(wanted, context=kept)

    def compacted(self) -> bool:
        """The context was compacted: it is not compacted again before something is added. Whether the run ends here."""
        self._compacted = True
        return self._bounds.forced

    def overflowed(self, wanted: Generate) -> Generate | None:
        """The generation to try after this one was too long; None: nothing may go (any more)."""
        if not self._bounds.truncate or self._cuts >= MOST_CUTS:
            return None
        self._cuts += 1
        kept, gone = halved(wanted.context)
        self.dropped += gone
        return replace(wanted, context=kept) if gone else None
