"""Whether two runs are the same: their events and responses, without what is random by nature. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from antiphon.replay.matching import differences

SHOWN: Final = 5
"""Differences that are told."""
RANDOM: Final = frozenset({"encrypted_content", "obfuscation"})


def unlike(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first differences between two lists of events, in words; none: they are equal."""
    found = [
        f"event {number} ({one.get('type')}): {difference}"
        for number, (one, other) in enumerate(zip(then, now, strict=False))
        for difference in differences(settled(one), settled(other))
    ]
    if len(then) != len(now):
        found.append(f"there were {len(then)} events, and are {len(now)}")
    return found[:SHOWN]


def unlike_responses(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The first differences between two responses, in words."""
    return [f"the response: {each}" for each in differences(settled(then), settled(now))][:SHOWN]


def settled(value: Any) -> Any:
    """A JSON value without what is random by nature."""
    if isinstance(value, Mapping):
        held = cast("Mapping[str, Any]", value).items()
        return {name: settled(each) for name, each in held if name not in RANDOM}
    if isinstance(value, list | tuple):
        return [settled(each) for each in cast("Sequence[Any]", value)]
    return value
