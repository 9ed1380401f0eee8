"""A folder of recorded exchanges, one JSON file each, found again by what was asked.

Only keys and paths stay in memory; what was answered is read when it is replayed. A file holds `test_id` (the case it
was recorded in), `request` (`endpoint` and `body`, or `tool_name` and `kwargs`) and `response` (`body` as one object or
a list of chunks, each as `__type__` and `__data__`; or `exception_data`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from antiphon.replay import matching
from antiphon.replay.cassette import TOLD, ReplayMissError
from antiphon.replay.exchange import RecordingError
from antiphon.replay.matching import Asked, Difference

COMPARED: Final = 2000
"""Recordings that are compared with a request that missed, to name the nearest."""


class Recording(Struct, frozen=True):
    """Where an exchange is kept, and which case it was recorded in."""

    path: Path
    case: str
    hints: tuple[bytes, ...]

    def agrees(self, asked: Asked) -> int:
        """How many of the request's hints are this recording's."""
        return sum(ours == theirs for ours, theirs in zip(self.hints, asked.hints, strict=True))


class Failure(Struct, frozen=True):
    """An exchange that ended with the upstream's refusal: its HTTP status (0: unknown) and the words of its body."""

    status: int
    words: str
    code: str | None = None


class Answer(Struct, frozen=True):
    """What was answered: JSON documents (the chunks of a stream, or one object), or a failure."""

    documents: tuple[bytes, ...] = ()
    streamed: bool = False
    failure: Failure | None = None


class Request(Struct, frozen=True):
    """What was asked: at an endpoint with a body, or of a tool with its arguments."""

    endpoint: str | None = None
    model: str | None = None
    body: dict[str, Any] | None = None
    tool_name: str | None = None
    kwargs: dict[str, Any] | None = None


class _Head(Struct):
    """A file without its answer: decoding skips the rest."""

    request: Request
    test_id: str | None = None


class _Tagged(Struct):
    data: Raw = msgspec.field(name="__data__")


class _Response(Struct):
    body: _Tagged | list[_Tagged] | None = None
    exception_data: dict[str, Any] | None = None
    exception_message: str | None = None


class _Tail(Struct):
    response: _Response


class Recordings:
    """The recorded exchanges under a folder. `case`: where several exchanges have one request, those recorded in a case
    whose name contains this are preferred. The folder is read at the first use; thread-safe. `answered` and `missed`
    count requests, `misses` says of the first that were missed why."""

    def __init__(self, folder: Path, *, case: str | None = None) -> None:
        self.folder = folder
        self.answered = 0
        self.missed = 0
        self.misses: list[str] = []
        self._case = case
        self._lock = threading.Lock()
        self._index: dict[bytes, list[Recording]] | None = None
        self._models: dict[str, None] = {}
        self._listed: list[Path] = []
        self._served: dict[tuple[Path, ...], int] = {}  # how often each choice of recordings was asked for
        self._used: set[Path] = set()

    def models(self) -> tuple[str, ...]:
        """The models whose answers were recorded, by name."""
        self._indexed()
        return tuple(sorted(self._models))

    def lists(self) -> Iterator[Answer]:
        """The recorded lists of models."""
        self._indexed()
        return (answer_of(path) for path in self._listed)

    def holds(self, asked: Asked) -> bool:
        """Whether this request was recorded."""
        return asked.key in self._indexed()

    def find(self, asked: Asked) -> Recording:
        """The next recording of this request: several are given in order, the last one again and again. Where the
        wanted case has some, only those count; then only those that agree in the most hints. Raises ReplayMissError."""
        found = self._indexed().get(asked.key)
        if not found:
            miss = self._miss(asked)
            with self._lock:
                self.missed += 1
                self.misses = [*self.misses, miss.message][:TOLD]
            raise miss
        chosen = [one for one in found if self._case is not None and self._case in one.case] or found
        most = max(one.agrees(asked) for one in chosen)
        chosen = [one for one in chosen if one.agrees(asked) == most]
        with self._lock:
            turn = tuple(one.path for one in chosen)
            served = self._served.get(turn, 0)
            self._served[turn] = served + 1
            given = chosen[min(served, len(chosen) - 1)]
            self.answered += 1
            self._used.add(given.path)
        return given

    def unused(self) -> list[str]:
        """The names of the recordings that nothing was answered from."""
        return sorted(one.path.name for held in self._indexed().values() for one in held if one.path not in self._used)

    def each(self) -> Iterator[tuple[Path, str, Request]]:
        """All files in order: the case and the request of each. Raises RecordingError."""
        for path in self._paths():
            head = _head(path)
            yield path, head.test_id or "", head.request

    def answer(self, asked: Asked) -> Answer:
        """What was answered to this request; reads one file. Raises ReplayMissError, RecordingError."""
        return answer_of(self.find(asked).path)

    def _indexed(self) -> dict[bytes, list[Recording]]:
        with self._lock:
            if self._index is None:
                self._index = self._read()
            return self._index

    def _read(self) -> dict[bytes, list[Recording]]:
        index: dict[bytes, list[Recording]] = {}
        for path in self._paths():
            head = _head(path)
            asked = _asked(head.request)
            if asked is None:
                if head.request.endpoint == "/v1/models":
                    self._listed.append(path)
                continue
            if asked.port != "tool":
                self._models[str(asked.form["model"])] = None
            index.setdefault(asked.key, []).append(Recording(path, head.test_id or "", asked.hints))
        return index

    def _paths(self) -> Sequence[Path]:
        return sorted(self.folder.rglob("*.json"), key=lambda path: (path.name, path))

    def _miss(self, asked: Asked) -> ReplayMissError:
        nearest = self._nearest(asked)
        if nearest is None:
            return ReplayMissError(f"No recording of this request: none for the port '{asked.port}' was found.")
        path, difference = nearest
        return ReplayMissError(f"No recording of this request. The nearest is {path.name}; it differs {difference}.")

    def _nearest(self, asked: Asked) -> tuple[Path, Difference] | None:
        best: tuple[float, Path, Difference] | None = None
        for path in self._paths()[:COMPARED]:
            other = _asked(_head(path).request)
            if other is None or other.port != asked.port:
                continue
            apart, first = matching.distance(asked.form, other.form)
            if first is not None and (best is None or apart < best[0]):
                best = (apart, path, first)
        return None if best is None else (best[1], best[2])


def answer_of(path: Path) -> Answer:
    """What a recording answers. Raises RecordingError."""
    try:
        response = msgspec.json.decode(path.read_bytes(), type=_Tail).response
    except (OSError, msgspec.DecodeError) as error:
        raise RecordingError(f"The recording {path.name} cannot be read: {error}.") from error
    if response.exception_data is not None:
        return Answer(failure=_failure(response.exception_data))
    if isinstance(response.body, list):
        return Answer(tuple(bytes(chunk.data) for chunk in response.body), streamed=True)
    if response.body is None:
        raise RecordingError(f"The recording {path.name} holds no answer.")
    return Answer((bytes(response.body.data),))


def _head(path: Path) -> _Head:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Head)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordingError(f"The recording {path.name} cannot be read: {error}.") from error


def _asked(request: Request) -> Asked | None:
    """What was asked, None where it is no request of a port that is matched."""
    if request.tool_name is not None:
        return matching.tool(request.tool_name, request.kwargs or {})
    body = request.body or {}
    if request.endpoint == "/v1/chat/completions":
        return matching.chat(body)
    if request.endpoint == "/v1/embeddings":
        return matching.embeddings(body)
    return None


def _failure(recorded: dict[str, Any]) -> Failure:
    status = recorded.get("status_code")
    body = recorded.get("body")
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    words, code = fields.get("message"), fields.get("code")
    return Failure(
        status if isinstance(status, int) else 0,
        words if isinstance(words, str) else "",
        code if isinstance(code, str) else None,
    )
