"""Keeping a cassette in order: what is broken in it, what it need not hold, files written again by today's rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from antiphon.replay.cassette import NAME, RULES, RUN, Cassette
from antiphon.replay.comparison import same
from antiphon.replay.excerpt import told
from antiphon.replay.exchange import RecordingError

LEFT: Final = ".part"
"""How a file ends that was never finished."""


class Problem(Struct, frozen=True):
    """What is wrong with a file; `fixed`: it was put right."""

    name: str
    words: str
    fixed: bool = False


def check(cassette: Cassette, *, fix: bool = False) -> list[Problem]:
    """Everything that is wrong in the folder. `fix`: files whose names do not fit their requests get their right
    names; what cannot be read stays."""
    found = [Problem(name, "was never finished") for name in _left(cassette)]
    found += [Problem(name, "is no recording") for name in _strays(cassette)]
    for name in cassette.names():
        found += _checked(cassette, name, fix=fix)
    return found


def rewrite(cassette: Cassette) -> list[str]:
    """Write every exchange again by today's rules: secrets are redacted, requests get their canonical form; the files
    that changed, by their former names. Raises RecordingError."""
    return [name for name in cassette.names() if cassette.refresh(name) is not None]


def duplicates(cassette: Cassette) -> list[str]:
    """The files without which every request is answered as before: the last answer is given again and again, so that
    one which repeats it is not needed."""
    needless: list[str] = []
    for names in _groups(cassette.names()):
        kept = list(names)
        while len(kept) > 1 and same(cassette.read(kept[-1]).answer, cassette.read(kept[-2]).answer):
            needless.append(kept.pop())
    return sorted(needless)


def _groups(names: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition("-")[0], []).append(name)
    return list(groups.values())


def _checked(cassette: Cassette, name: str, *, fix: bool) -> Iterator[Problem]:
    try:
        exchange = cassette.read(name)
        if exchange.answer.chunks is None and exchange.answer.value is None and exchange.answer.failure is None:
            raise RecordingError(f"The recording {name} holds no answer.")
        told(exchange)
    except RecordingError as error:
        yield Problem(name, error.message)
        return
    if not _fits(cassette, name):
        words = "the name does not fit the request: it was edited, or recorded by other rules"
        if fix:
            cassette.refresh(name)
        yield Problem(name, words, fixed=fix)


def _fits(cassette: Cassette, name: str) -> bool:
    found = NAME.fullmatch(name)
    asked = cassette.asked(cassette.head(name))
    return found is not None and (found["port"], found["key"]) == (asked.port, asked.key)


def _left(cassette: Cassette) -> list[str]:
    return sorted(path.name for path in cassette.folder.glob(f".*{LEFT}"))


def _strays(cassette: Cassette) -> list[str]:
    known = {*cassette.names(), RULES, RUN}
    return sorted(path.name for path in cassette.folder.glob("*.json") if path.name not in known)
