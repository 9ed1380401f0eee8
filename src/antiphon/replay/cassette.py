"""A cassette: a folder of exchanges, one file each, found by what is asked.

A file is named `<port>-<key>-<n>.json`: the key is that of the canonical request, `n` counts equal requests. So the
names alone are the index, and memory does not grow with what was recorded. A name that is taken is never written over
by another process; a file whose request is not the one that it is named for is refused.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from antiphon.replay import exchange as files
from antiphon.replay.canon import Canon, Form, Rules, key, mistake
from antiphon.replay.exchange import Exchange, Head, RecordingError
from antiphon.replay.folder import Folder
from antiphon.replay.matching import Difference, distance
from antiphon.wire.errors import AntiphonError

RULES: Final = "cassette.toml"
"""The rules by which the requests of a folder are compared, where it has some of its own."""
RUN: Final = "run.json"
"""What a whole run is beside its exchanges."""
COMPARED: Final = 2000
"""Exchanges that are compared with a request that missed, to name the nearest."""
LOOKED: Final = 16 * 1024 * 1024
"""Bytes of files that are looked at for that."""
FIX: Final = "`antiphon cassette check --fix`"
TOLD: Final = 100
"""Misses whose words are kept."""
NAME: Final = re.compile(r"(?P<port>[a-z.]+)-(?P<key>[0-9a-f]{16})-(?P<n>\d{3,})\.json")


class ReplayMissError(AntiphonError):
    """Nothing that was recorded fits the request. The message names the nearest recording and the first difference.
    A 400: what is repeated by itself would only miss again. No model is told of it: the run ends."""

    http_status, type, default_code = 400, "invalid_request_error", "replay_miss"
    fatal = True


class Asked(msgspec.Struct, frozen=True):
    """A request at a port, in canonical form; `ids` are the ids in it by their numbers in the form (`<id 1>`)."""

    port: str
    form: Form
    endpoint: str = ""
    ids: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        """Equal for equal requests."""
        return key(self.port, self.form)


class Cassette:
    """The exchanges in a folder; the folder is made by the first one that is kept, and read at the first use.
    Thread-safe. `missed` counts requests that nothing fits, `misses` says of the first of them why; `answered` and
    `recorded` count exchanges."""

    def __init__(self, folder: Path, canon: Canon | None = None) -> None:
        self.folder = folder
        self.canon = canon or Canon(rules_of(folder))
        self.missed = 0
        self.misses: list[str] = []
        self.answered = 0
        self.recorded = 0
        self._files = Folder(folder)
        self._started = time.time()
        self._lock = threading.Lock()
        self._index: dict[tuple[str, str], list[str]] | None = None
        self._turns: dict[tuple[str, str], int] = {}  # how often each request was asked
        self._fresh: dict[tuple[str, str], int] = {}  # how many of its answers were recorded since the start
        self._used: set[str] = set()

    @property
    def whole(self) -> bool:
        """Whether it is a whole run that was exported (runs/script.py)."""
        return (self.folder / RUN).is_file()

    def find(self, asked: Asked) -> Exchange | None:
        """The next recording of this request: equal requests are answered in order, the last answer again and again.
        None: there is none. Raises RecordingError."""
        place = (asked.port, asked.key)
        with self._lock:
            names = self._indexed().get(place)
            if not names:
                return None
            turn = self._turns.get(place, 0)
            self._turns[place] = turn + 1
            name = names[min(turn, len(names) - 1)]
            self._used.add(name)
        exchange = self.read(name)
        if (exchange.port, Asked(exchange.port, exchange.request).key) != place:
            words = f"The recording {name} holds another request than its name says: it was edited or renamed."
            raise RecordingError(f"{words} {FIX} puts it right.")
        with self._lock:
            self.answered += 1
        return exchange

    def miss(self, asked: Asked) -> ReplayMissError:
        """What to say where `find` gave None."""
        words = f"No recording of this request{self._nearest(asked)}"
        with self._lock:
            self.missed += 1
            if len(self.misses) < TOLD:
                self.misses.append(words)
        return ReplayMissError(words)

    def holds(self, asked: Asked) -> bool:
        """Whether `find` would find something; it does not count."""
        with self._lock:
            return bool(self._indexed().get((asked.port, asked.key)))

    def asking(self, port: str, request: Mapping[str, Any], endpoint: str = "") -> Asked:
        """What is looked up or recorded where this is asked. Raises RecordingError for what is too deep."""
        form, ids = self.canon.asked(request)
        return Asked(port, form, endpoint, ids)

    def keep(self, exchange: Exchange, *, anew: bool = False, ids: Mapping[str, str] | None = None) -> str:
        """Add an exchange behind those that its request has; the file's name. The request is in canonical form; the
        answer is cleaned here, with the `ids` that the request numbers. `anew`: the first one since the start takes the
        place of all that were there before it. Raises RecordingError."""
        place = (exchange.port, Asked(exchange.port, exchange.request).key)
        answer = self.canon.cleaned(exchange.answer, ids or {})
        content = files.written(msgspec.structs.replace(exchange, answer=answer))
        with self._lock:
            names = self._indexed().setdefault(place, [])
            stale: list[str] = []
            if anew and not self._fresh.get(place):  # what another process recorded meanwhile stays
                stale = [name for name in names if self._files.older(name, self._started)]
                names[:] = [name for name in names if name not in stale]
            name = self._files.add("-".join(place), len(names) + 1, content, stale)
            names.append(name)
            self._fresh[place] = self._fresh.get(place, 0) + 1
            self._used.add(name)
            self.recorded += 1
            return name

    def refresh(self, name: str) -> str | None:
        """Write a file again by today's rules, and name it for what it holds; its name, None where nothing changed.
        Raises RecordingError."""
        exchange = self.read(name)
        form, ids = self.canon.asked(exchange.request)
        content = files.written(
            Exchange(exchange.port, form, self.canon.cleaned(exchange.answer, ids, again=True), exchange.endpoint)
        )
        stem = f"{exchange.port}-{key(exchange.port, form)}"
        with self._lock:
            if name.startswith(f"{stem}-"):
                if content == self._files.read(name):
                    return None
                self._files.replace(name, content)
                return name
            named = self._files.add(stem, 1, content)
            self._files.remove(name)
            self._index = None
            return named

    def kept(self, asked: Asked) -> bool:
        """Whether an answer to this request was recorded since the start."""
        with self._lock:
            return bool(self._fresh.get((asked.port, asked.key)))

    def read(self, name: str) -> Exchange:
        """One file. Raises RecordingError."""
        return files.read(self._content(name), name)

    def head(self, name: str) -> Head:
        """What was asked in a file. Raises RecordingError."""
        return files.head(self._content(name), name)

    def names(self) -> list[str]:
        """All files, in order."""
        with self._lock:
            return sorted(name for names in self._indexed().values() for name in names)

    def of(self, port: str) -> list[str]:
        """The files of a port, in order."""
        with self._lock:
            return sorted(name for (at, _), names in self._indexed().items() if at == port for name in names)

    def unused(self) -> list[str]:
        """The files that nothing was answered from."""
        return [name for name in self.names() if name not in self._used]

    def asked(self, head: Head) -> Asked:
        """What a file's request would be asked as by today's rules."""
        return Asked(head.port, self.canon.form(head.request), head.endpoint)

    def remove(self, name: str) -> None:
        """Delete a file."""
        with self._lock:
            self._files.remove(name)
            self._index = None

    # the folder

    def _indexed(self) -> dict[tuple[str, str], list[str]]:
        if self._index is None:
            index: dict[tuple[str, str], list[str]] = {}
            for name in self._files.names():
                found = NAME.fullmatch(name)
                if found is not None:
                    index.setdefault((found["port"], found["key"]), []).append(name)
            self._index = index
        return self._index

    def _content(self, name: str) -> bytes:
        content = self._files.read(name)
        if content is None:
            raise RecordingError(f"The recording {name} cannot be read: it is not there any more.")
        return content

    def _nearest(self, asked: Asked) -> str:
        """What to say of the recording that is nearest to what was asked."""
        best: tuple[float, str, Difference] | None = None
        broken: list[str] = []
        for name in self._looked(self.of(asked.port)):
            try:
                recorded = self.head(name).request
            except RecordingError as error:
                broken.append(error.message)
                continue
            apart, first = distance(asked.form, recorded)
            if first is not None and (best is None or apart < best[0]):
                best = (apart, name, first)
        rest = f" {broken[0]}" if broken else ""
        if best is None:
            return f": none of the port '{asked.port}' was found.{rest}"
        _, name, first = best
        if self.asked(self.head(name)).form == asked.form:
            return f". {name} is one by today's rules, but was recorded by others; {FIX} puts it right.{rest}"
        return f". The nearest is {name}; it differs {first}.{rest}"

    def _looked(self, names: Sequence[str]) -> Iterator[str]:
        """As many of these files as there is time for."""
        left = LOOKED
        for name in names[:COMPARED]:
            left -= self._files.size(name)
            if left < 0:
                return
            yield name


def rules_of(folder: Path) -> Rules:
    """The rules of a folder; those of every folder where it says nothing. Raises RecordingError, which names the file
    and the key."""
    name = f"{folder.name}/{RULES}"
    content = Folder(folder).read(RULES)
    if content is None:
        return Rules()
    try:
        rules = msgspec.toml.decode(content, type=Rules)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingError(f"The rules {name} cannot be read: {error}.") from error
    if (wrong := mistake(rules)) is not None:
        raise RecordingError(f"The rules {name} are wrong: {wrong}.")
    return rules
