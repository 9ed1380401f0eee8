"""Two cassettes beside each other, by what was asked and what was answered."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from antiphon.replay.cassette import NAME, Cassette
from antiphon.replay.excerpt import told, words
from antiphon.replay.exchange import Answer, Exchange
from antiphon.replay.matching import differences, distance

SHOWN: Final = 20
"""Differences that are told of two requests."""
COMPARED: Final = 200
"""Requests of the other side that one is compared with to find the nearest."""


class Change(Struct, frozen=True):
    """An exchange that is not the same on both sides: `what` is `request`, `answer`, `only left` or `only right`, and
    `lines` say where they differ."""

    what: str
    left: str
    right: str
    words: str
    lines: tuple[str, ...] = ()


def cassettes(left: Cassette, right: Cassette) -> list[Change]:
    """Everything in which they differ. Equal requests are compared in their order; one that only one side has, with the
    nearest that only the other has. Raises RecordingError."""
    mine, its = set(left.names()), set(right.names())
    changes: list[Change] = []
    for name in sorted(mine & its):
        change = _answers(name, left.read(name), name, right.read(name))
        changes += [] if change is None else [change]
    return changes + _unpaired(left, sorted(mine - its), right, sorted(its - mine))


def exchanges(one: str, left: Exchange, other: str, right: Exchange) -> list[Change]:
    """In what two exchanges differ."""
    changes: list[Change] = []
    asked = [{"port": each.port, "endpoint": each.endpoint, "request": each.request} for each in (left, right)]
    if lines := _lines(asked[0], asked[1]):
        changes.append(Change("request", one, other, words(left.request), lines))
    change = _answers(one, left, other, right)
    return changes if change is None else [*changes, change]


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are equal but for their timing: also for what happened to come together."""
    return _plain(one) == _plain(other)


def _plain(answer: Answer) -> Any:
    came = None if answer.chunks is None else [each for chunk in answer.chunks for each in _documents(chunk.content)]
    return came, None if answer.value is None else msgspec.json.decode(answer.value), answer.failure


def _documents(content: msgspec.Raw) -> list[Any]:
    return msgspec.json.decode(content, type=list[Any])


def _answers(one: str, left: Exchange, other: str, right: Exchange) -> Change | None:
    if same(left.answer, right.answer):
        return None
    lines = tuple(difflib.unified_diff(told(left).splitlines(), told(right).splitlines(), "left", "right", "", "", 1))
    return Change("answer", one, other, words(left.request), lines or ("the same, in other pieces",))


def _lines(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    found = [f"{each.path}: {each.wanted} | {each.recorded}" for each in islice(differences(one, other), SHOWN + 1)]
    return (*found[:SHOWN], "…") if len(found) > SHOWN else tuple(found)


def _unpaired(left: Cassette, mine: Sequence[str], right: Cassette, its: Sequence[str]) -> list[Change]:
    rest = list(its)
    changes: list[Change] = []
    for name in mine:
        head = left.head(name)
        ports = [each for each in rest if _port(each) == head.port][:COMPARED]
        near = min(ports, key=lambda each: distance(head.request, right.head(each).request)[0], default=None)
        if near is None:
            changes.append(Change("only left", name, "", words(head.request)))
        else:
            rest.remove(near)
            changes += exchanges(name, left.read(name), near, right.read(near))
    return [*changes, *(Change("only right", "", name, words(right.head(name).request)) for name in rest)]


def _port(name: str) -> str:
    found = NAME.fullmatch(name)
    return "" if found is None else found["port"]
