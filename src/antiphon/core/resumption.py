"""What a run that is taken up again makes of the items it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from antiphon.core.effects import Entry, Exchange


def counts(entry: Entry | None) -> bool:
    """Whether the model is to see what stands there: nothing yet (a call in flight), a call that was settled, or an
    item that is whole. One that was interrupted ends incomplete or, where its type knows no such status, failed."""
    if entry is None or entry.exchange is not None:
        return True
    return getattr(entry.item, "status", "completed") not in {"incomplete", "failed"}


def history(done: Mapping[int, Entry], told: Sequence[tuple[int, Exchange]], before: int) -> list[Entry]:
    """The output of earlier rounds as the model is to see it, with the refusals (`told`, by the output index they stand
    before) where they stood."""
    refusals: dict[int, list[Entry]] = {}
    for index, exchange in told:
        refusals.setdefault(index, []).append(Entry(None, exchange))
    found: list[Entry] = []
    for index in range(before + 1):
        found.extend(refusals.get(index, ()))
        if index < before and index in done and counts(done[index]):
            found.append(done[index])
    return found
