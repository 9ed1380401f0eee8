"""An answer as it is recorded: without secrets, with the ids of its request numbered. Pure.

What a stream says comes in pieces, and a secret or an id may be cut over several of them. So the pieces of one text are
looked at together: `<redacted>` stands in the piece where the secret begins, and an id keeps its cuts (see `numbers`).
Law: a document in which nothing was found keeps its bytes.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec
from msgspec import Raw

from antiphon.replay.exchange import Answer, Chunk, Failure, RecordingError
from antiphon.replay.numbers import Numbers, escaped, piece
from antiphon.replay.secrets import Secrets, Span

Path: TypeAlias = tuple[str | int, ...]

SAID: Final = frozenset(
    "text content reasoning reasoning_content refusal arguments thinking summary delta partial_json".split()
)
"""Fields whose values in successive documents are one text."""
_LISTED: Final = msgspec.json.Decoder(list[Raw])
_ENCODER: Final = msgspec.json.Encoder()


class _Piece(NamedTuple):
    """A part of a text: in which document, where in it, and where it begins in the text."""

    document: int
    path: Path
    start: int
    words: str


class _Text(NamedTuple):
    """What was said in several documents."""

    pieces: Sequence[_Piece]
    words: str


def cleaned(answer: Answer, secrets: Secrets, ids: Mapping[str, str], *, again: bool = False) -> Answer:
    """The answer as it is recorded; `again`: it is one already, its ids have numbers. Raises RecordingError for what is
    not JSON."""
    numbers = Numbers(ids, marked=again)
    chunks, value, failure = answer.chunks, answer.value, answer.failure
    if chunks is not None:
        batches = [[bytes(each) for each in _listed(chunk)] for chunk in chunks]
        flat = iter(documents([each for batch in batches for each in batch], secrets, numbers))
        chunks = tuple(
            Chunk(chunk.after, Raw(b"[" + b",".join(next(flat) for _ in batch) + b"]"))
            for chunk, batch in zip(chunks, batches, strict=True)
        )
    if value is not None:
        value = Raw(documents([bytes(value)], secrets, numbers)[0])
    if failure is not None:
        (plain,) = documents([_ENCODER.encode({"message": failure.message, **failure.fields})], secrets, numbers)
        fields = cast("dict[str, Any]", msgspec.json.decode(plain))
        failure = Failure(failure.error, fields.pop("message"), fields)
    return Answer(chunks, value, failure)


def documents(given: Sequence[bytes], secrets: Secrets, numbers: Numbers) -> list[bytes]:
    """The JSON documents of one answer, in order. Raises RecordingError."""
    read = [_read(each) for each in given]
    moved = _moved(read, secrets)
    plain: list[bytes] = []
    for place, value in enumerate(read):
        changed = secrets.value(_with(value, moved.get(place, {})))
        if changed != value:
            read[place] = _without_tokens(changed)
            plain.append(_ENCODER.encode(read[place]))
        else:
            plain.append(given[place])
    return _numbered(plain, read, numbers)


def _listed(chunk: Chunk) -> list[Raw]:
    try:
        return _LISTED.decode(chunk.content)
    except msgspec.DecodeError as error:
        raise RecordingError("A part of an answer is no list of JSON documents; it is not recorded.") from error


def _read(document: bytes) -> Any:
    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordingError("An answer is not JSON, or too deep; it is not recorded.") from error


# what is said in pieces


def _texts(read: Sequence[Any]) -> list[_Text]:
    """The texts of which there is more than one piece."""
    found: dict[Path, list[tuple[int, Path, str]]] = {}
    for place, value in enumerate(read):
        for channel, path, words in _said(value, (), ()):
            found.setdefault(channel, []).append((place, path, words))
    return [_text(pieces) for pieces in found.values() if len(pieces) > 1]


def _text(held: Iterable[tuple[int, Path, str]]) -> _Text:
    pieces: list[_Piece] = []
    start = 0
    for document, path, words in held:
        pieces.append(_Piece(document, path, start, words))
        start += len(words)
    return _Text(pieces, "".join(each.words for each in pieces))


def _said(value: Any, channel: Path, path: Path) -> Iterator[tuple[Path, Path, str]]:
    """The pieces in a document: of which text, at which path, the words. A choice or a call is known by its index."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        if isinstance(held.get("index"), int):
            channel = (*channel, f"#{held['index']}")
        for name, each in held.items():
            if isinstance(each, str):
                if each and name in SAID:
                    yield (*channel, name), (*path, name), each
            elif name != "logprobs":
                yield from _said(each, (*channel, name), (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(cast("list[Any]", value)):
            named = isinstance(each, dict) and "index" in each
            yield from _said(each, channel if named else (*channel, place), (*path, place))


def _moved(read: Sequence[Any], secrets: Secrets) -> dict[int, dict[Path, str]]:
    """By document, what its pieces say without secrets."""
    moved: dict[int, dict[Path, str]] = {}
    for text in _texts(read):
        for each, words in _spread(text, secrets.spans(text.words)):
            moved.setdefault(each.document, {})[each.path] = words
    return moved


def _spread(text: _Text, spans: Sequence[Span]) -> Iterator[tuple[_Piece, str]]:
    """The pieces that change, and what they say then: other words stand where what they replace begins."""
    starts = [each.start for each in text.pieces]
    parts: dict[int, list[tuple[int, int, str]]] = {}
    for span in spans:
        first = bisect_right(starts, span.start) - 1
        for place in range(first, bisect_right(starts, span.end - 1)):
            each = text.pieces[place]
            start, end = max(span.start - each.start, 0), min(span.end - each.start, len(each.words))
            parts.setdefault(place, []).append((start, end, span.by if place == first else ""))
    for place, edits in parts.items():
        words = text.pieces[place].words
        for start, end, by in reversed(edits):
            words = words[:start] + by + words[end:]
        yield text.pieces[place], words


def _with(value: Any, edits: Mapping[Path, str]) -> Any:
    """The value with other words at these paths."""
    if not edits:
        return value
    copied = msgspec.json.decode(_ENCODER.encode(value))
    for path, words in edits.items():
        held = copied
        for step in path[:-1]:
            held = held[step]
        held[path[-1]] = words
    return copied


def _without_tokens(value: Any) -> Any:
    """A document that is not what was said any more, without the log probabilities: they say it token by token."""
    if isinstance(value, dict):
        return {
            name: _emptied(each) if name == "logprobs" else _without_tokens(each)
            for name, each in cast("dict[str, Any]", value).items()
        }
    return [_without_tokens(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _emptied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _emptied(each) for name, each in cast("dict[str, Any]", value).items()}
    return [] if isinstance(value, list) else value


# ids


def _numbered(plain: Sequence[bytes], read: Sequence[Any], numbers: Numbers) -> list[bytes]:
    found = list(plain) if numbers.marked else [escaped(each) for each in plain]
    if numbers.pattern is None:
        return found
    for text in _texts(read) if len(plain) > 1 else ():
        for match in numbers.pattern.finditer(text.words):
            _cut(found, text, match.span(), numbers.ids[match[0]])
    return [numbers.put(each) for each in found]


def _cut(found: list[bytes], text: _Text, span: tuple[int, int], number: str) -> None:
    """Number an id that is cut over several pieces, each of its parts in its place."""
    starts = [each.start for each in text.pieces]
    first, last = bisect_right(starts, span[0]) - 1, bisect_right(starts, span[1] - 1) - 1
    if first == last:
        return
    for place in range(first, last + 1):
        each = text.pieces[place]
        start, end = max(span[0], each.start), min(span[1], each.start + len(each.words))
        mark = piece(number, start - span[0], None if place == last else end - span[0])
        whole = text.words[start:end].encode()
        found[each.document] = _marked(found[each.document], each, whole, mark, at_start=start == each.start)


def _marked(document: bytes, at: _Piece, part: bytes, mark: bytes, *, at_start: bool) -> bytes:
    """The document with the mark in the place of the part with which a piece begins or ends. The piece is found by how
    it is written; one that was marked at its other end already, by that part alone."""
    name = json.dumps(at.path[-1]).encode()
    for words in (json.dumps(at.words, ensure_ascii=False), json.dumps(at.words)):
        written = escaped(words.encode())
        for between in (b":", b": "):
            before = name + between + written
            if document.count(before) == 1:
                start = document.index(before) + len(name) + len(between)
                inner = mark + written[1 + len(part) :] if at_start else written[: -1 - len(part)] + mark + b'"'
                inner = b'"' + inner if at_start else inner
                return document[:start] + inner + document[start + len(written) :]
    old, new = (b'"' + part, b'"' + mark) if at_start else (part + b'"', mark + b'"')
    return document.replace(old, new, 1) if document.count(old) == 1 else document
