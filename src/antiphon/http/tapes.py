"""The cassette that a request chooses: `X-Antiphon-Cassette` and `X-Antiphon-Cassette-Mode`.

Law: a name is one segment of a path below the folder that the operator set; without that folder nobody may choose.
What is asked on behalf of the request passes its cassette, and nothing that outlives the request.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.types import Scope

from antiphon.replay.cassette import Cassette
from antiphon.replay.tape import CHOSEN, Mode, Tape
from antiphon.wire.errors import InvalidRequestError, OverloadedError

NAME: Final = "X-Antiphon-Cassette"
MODE: Final = "X-Antiphon-Cassette-Mode"
OPEN: Final = 64
"""Cassettes that are open at once."""

SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
"""What a name is."""
_NAMES: Final = {NAME.lower().encode(): NAME, MODE.lower().encode(): MODE}


class _Open(Struct):
    """A cassette, and how many requests use it."""

    cassette: Cassette
    users: int = 0


class Tapes:
    """The cassettes that requests may choose, those in `root` (None: none). At most `most` are open; where one more is
    wanted, the one that nobody uses for longest is forgotten, and begins anew when it is named again."""

    def __init__(
        self,
        root: Path | None = None,
        make: Callable[[Path], Cassette] = Cassette,
        *,
        timing: float = 0.0,
        most: int = OPEN,
    ) -> None:
        self._root = root
        self._make = make
        self._timing = timing
        self._most = most
        self._open: OrderedDict[str, _Open] = OrderedDict()

    @contextmanager
    def chosen(self, scope: Scope) -> Generator[None]:
        """While this lasts, the request's cassette is the one in use, if it chose one. Raises InvalidRequestError that
        names the header, OverloadedError."""
        given = {header: value.decode("latin-1") for key, value in scope["headers"] if (header := _NAMES.get(key))}
        if not given:
            yield
            return
        name, mode = self._named(given), _mode(given.get(MODE))
        held = self._taken(name, mode)
        token = CHOSEN.set(Tape(held.cassette, mode, timing=self._timing))
        try:
            yield
        finally:
            CHOSEN.reset(token)
            held.users -= 1

    def _named(self, given: dict[str, str]) -> str:
        if self._root is None:
            raise _wrong(next(iter(given)), "requests may not choose a cassette here (`cassette.root` is not set).")
        name = given.get(NAME)
        if name is None:
            raise _wrong(MODE, f"it needs '{NAME}'.")
        if not re.fullmatch(SEGMENT, name):
            raise _wrong(NAME, "a name is 1 to 100 of the characters A-Z a-z 0-9 . _ - and does not begin with a dot.")
        return name

    def _taken(self, name: str, mode: Mode) -> _Open:
        assert self._root is not None
        folder = self._root / name
        if not folder.resolve().is_relative_to(self._root.resolve()):
            raise _wrong(NAME, f"'{name}' leads out of the folder of cassettes.")
        if mode is Mode.REPLAY and not folder.is_dir():
            raise _wrong(NAME, f"there is no cassette '{name}'.")
        held = self._open.get(name)
        if held is None:
            self._make_room()
            held = self._open[name] = _Open(self._make(folder))
        self._open.move_to_end(name)
        held.users += 1
        return held

    def _make_room(self) -> None:
        if len(self._open) < self._most:
            return
        idle = next((name for name, held in self._open.items() if not held.users), None)
        if idle is None:
            raise OverloadedError("Too many cassettes are in use; try again.", retry_after=1)
        del self._open[idle]


def refuse_later(what: str, param: str | None = None) -> None:
    """Raise InvalidRequestError where this request chose a cassette, of work that is done when it is answered
    already."""
    if CHOSEN.get() is not None:
        raise InvalidRequestError(
            f"{what} outlives its request, which therefore cannot choose its cassette ('{NAME}'). "
            "Start the server with --record or --replay.",
            param=param,
            code="invalid_cassette",
        )


def _mode(given: str | None) -> Mode:
    try:
        return Mode.REPLAY if given is None else Mode(given.lower().replace("-", "_"))
    except ValueError:
        raise _wrong(MODE, f"expected one of {', '.join(Mode)}.") from None


def _wrong(header: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"Invalid '{header}': {why}", code="invalid_cassette")
