"""A kind of document that does to its reader what the file says: for the tests of the processes that read."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor


def _hang(words: str) -> NoReturn:
    while True:
        time.sleep(3600)


def _spin(words: str) -> NoReturn:
    while True:
        pass


def _eat(words: str) -> Extracted:
    kept = [bytearray(16 << 20) for _ in range(1000)]
    return Extracted(str(len(kept)))


def _die(words: str) -> Extracted:
    os.kill(os.getpid(), getattr(signal, words))
    return Extracted("still here")


def _leave(words: str) -> NoReturn:
    os._exit(int(words))


def _raise(words: str) -> NoReturn:
    raise ZeroDivisionError(words)


def _babble(words: str) -> Extracted:
    sys.stdout.write("what libraries print\n")
    sys.stdout.flush()
    os.write(1, b"\xff" * 5000)
    return Extracted("done")


def _nonsense(words: str) -> NoReturn:
    """Write to every pipe that is open but the log."""
    for number in range(3, 20):
        try:
            os.write(number, b"\xff" * 5000)
        except OSError:
            continue
    raise SystemExit


def _environ(words: str) -> Extracted:
    return Extracted("\n".join(f"{name}={value}" for name, value in sorted(os.environ.items())))


def _pid(words: str) -> Extracted:
    return Extracted(str(os.getpid()))


def _many(words: str) -> Extracted:
    return Extracted("é" * int(words))


def _odd(words: str) -> Extracted:
    return Extracted("a\ud800b", headings=tuple(range(200_000)))


def _refuse(words: str) -> NoReturn:
    raise ExtractionError("unsupported_file", words)


_DEEDS: Final[dict[str, Callable[[str], Extracted]]] = {
    "hang": _hang,
    "spin": _spin,
    "eat": _eat,
    "die": _die,
    "leave": _leave,
    "raise": _raise,
    "babble": _babble,
    "nonsense": _nonsense,
    "environ": _environ,
    "pid": _pid,
    "many": _many,
    "odd": _odd,
    "refuse": _refuse,
}


class Misbehaving:
    """Reads files that begin with a deed."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """One of its own, and one that our own extractors read too."""
        return (".deed", ".rst")

    @property
    def media(self) -> tuple[str, ...]:
        """None."""
        return ()

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """Do it."""
        deed, _, words = content.decode().strip().partition(" ")
        return _DEEDS[deed](words)


def make(config: Plain, parts: Parts) -> Extractor:
    """Needs nothing."""
    return Misbehaving()
