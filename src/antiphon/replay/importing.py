"""Recordings in the format of others (`replay.recordings`), made into a cassette that answers the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from antiphon.ports.search import SearchError
from antiphon.replay import matching
from antiphon.replay.cassette import NAME, RULES, Cassette
from antiphon.replay.exchange import Answer, Chunk, Exchange, RecordingError
from antiphon.replay.failures import failure_of
from antiphon.replay.model import cards, error_of, generated
from antiphon.replay.recordings import Answer as Recorded
from antiphon.replay.recordings import Recordings, Request, answer_of
from antiphon.replay.taped import deltas
from antiphon.replay.taped.model import EMBED, LIST, RELAY, STREAM
from antiphon.replay.taped.search import SEARCH
from antiphon.replay.tool import hits_of
from antiphon.wire.codec import encode
from antiphon.wire.errors import ModelError

LOOKED: Final = 8
"""Files that are looked at to know a format."""
_RULES: Final = """# imported: what did not count where these were recorded; how many hits a search wanted is not known
ignore = [
    "limit", "max_completion_tokens", "max_tokens", "parallel_tool_calls", "seed", "service_tier", "stream_options",
    "temperature", "tool_choice", "top_p", "user", "messages.*.tool_calls.*.index",
]
"""
WEB: Final = "web_search"
"""The tool whose calls are searches of ours; of other tools nothing is imported."""


class Imported(Struct, frozen=True):
    """How many recordings became how many exchanges, and why which were left out."""

    recordings: int
    exchanges: int
    left_out: tuple[str, ...] = ()


class _Probe(Struct):
    request: Raw
    response: Raw


def foreign(folder: Path) -> bool:
    """Whether a folder holds recordings of others and none of ours. Reads a few files."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        if any(NAME.fullmatch(entry.name) for entry in entries):
            return False
    return any(_probed(path) for path in islice(folder.rglob("*.json"), LOOKED))


def prepare(folder: Path) -> None:
    """Give a cassette that is to be made of such recordings its rules. Raises RecordingError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / RULES).exists():
            (folder / RULES).write_text(_RULES, "utf-8")
    except OSError as error:
        raise RecordingError(f"The cassette {folder.name} cannot be written: {error.strerror}.") from error


def _probed(path: Path) -> bool:
    try:
        msgspec.json.decode(path.read_bytes(), type=_Probe)
    except (OSError, msgspec.DecodeError):
        return False
    return True


def imported(recordings: Recordings, cassette: Cassette, endpoint: str, *, case: str = "") -> Imported:
    """Write what was recorded in cases whose name contains `case` into a cassette, as of this endpoint. Raises
    RecordingError."""
    taken, kept = 0, 0
    left: list[str] = []
    for path, name, request in recordings.each():
        if case not in name or request.endpoint == "/v1/models":
            continue
        found = list(_exchanges(request, path, endpoint, left))
        for exchange in found:
            _keep(cassette, exchange)
        taken, kept = taken + bool(found), kept + len(found)
    if listed := cards(recordings):
        answer = Answer(value=Raw(encode(tuple(listed))))
        _keep(cassette, Exchange(LIST, {"endpoint": endpoint}, answer, endpoint))
        kept += 1
    return Imported(taken, kept, tuple(left))


def _keep(cassette: Cassette, exchange: Exchange) -> None:
    asked = cassette.asking(exchange.port, exchange.request, exchange.endpoint)
    cassette.keep(msgspec.structs.replace(exchange, request=asked.form), ids=asked.ids)


def _exchanges(request: Request, path: Path, endpoint: str, left: list[str]) -> Iterator[Exchange]:
    """A chat completion is two: clients may ask for it as such, or for a response that is made from it."""
    body, answer = request.body or {}, answer_of(path)
    model = str(body.get("model") or request.model or "")
    asked = {**body, "model": model}
    if request.endpoint == "/v1/chat/completions":
        stream = bool(body.get("stream"))
        yield Exchange(RELAY, {**asked, "stream": stream}, _relayed(answer, model), endpoint)
        yield Exchange(STREAM, generation(asked), _generated(answer, model), endpoint)
    elif request.endpoint == "/v1/embeddings":
        failed = _refused(answer, model)
        yield Exchange(EMBED, asked, failed or Answer(value=Raw(answer.documents[0])), endpoint)
    elif request.tool_name == WEB:
        query: dict[str, Any] = {"query": (request.kwargs or {}).get("query", ""), "domains": []}
        yield Exchange(SEARCH.port, query, _searched(answer))
    else:
        left.append(f"{path.name}: nothing of ours asks {request.tool_name or request.endpoint}")


def generation(body: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion request as a generation of ours is compared: what servers of other kinds add to it, and how it
    was to be sent, is left out."""
    form = matching.chat(body).form
    plain = {name: value for name, value in body.items() if name not in {"stream", "stream_options", "messages"}}
    held = cast("list[dict[str, Any]]", body.get("messages") or [])
    plain["messages"] = [_message(one, other) for one, other in zip(held, form["messages"], strict=True)]
    if "tools" in form:
        plain["tools"] = form["tools"]
    return plain


def _message(given: Mapping[str, Any], form: dict[str, Any]) -> dict[str, Any]:
    """A message in the form in which it is matched, with what only matching leaves out."""
    message = dict(form)
    if given.get("role") == "tool":
        message["content"] = given.get("content", "")
        message["tool_call_id"] = given.get("tool_call_id")
    if calls := given.get("tool_calls"):
        message["tool_calls"] = calls
    return message


def _relayed(answer: Recorded, model: str) -> Answer:
    failed = _refused(answer, model)
    return failed or Answer(tuple(_chunk([document]) for document in answer.documents))


def _generated(answer: Recorded, model: str) -> Answer:
    failed = _refused(answer, model)
    if failed is not None:
        return failed
    chunks: list[Chunk] = []
    try:
        chunks.extend(_chunk(deltas.written(batch)) for batch in generated(answer, model))
    except ModelError as error:
        return Answer(tuple(chunks), failure=failure_of(error))
    return Answer(tuple(chunks))


def _chunk(documents: Sequence[bytes]) -> Chunk:
    return Chunk(0, Raw(b"[" + b",".join(documents) + b"]"))


def _searched(answer: Recorded) -> Answer:
    try:
        return Answer(value=Raw(encode(hits_of(answer))))
    except SearchError as error:
        return Answer(failure=failure_of(error))


def _refused(answer: Recorded, model: str) -> Answer | None:
    return None if answer.failure is None else Answer(failure=failure_of(error_of(answer.failure, model)))
