"""Chat completions as they are kept: a stream's chunks put together again, under an id of ours, fit to be retrieved.

What upstreams add beside the documented fields stays: texts are joined, lists are continued, elements that come in
pieces are found again by their index, and of anything else the last value stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, cast

from antiphon.core.completion import Head

Fields: TypeAlias = dict[str, Any]

_ONCE: Final = frozenset({"id", "type", "role", "index", "format", "finish_reason"})
"""Fields that are repeated, not continued."""
_OWN: Final = frozenset({"id", "object", "created", "choices", "obfuscation"})


class _Pieces(list[str]):
    """A text that is still coming."""


class Transcript:
    """Puts the chunks of one answer together."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._top: Fields = {}
        self._choices: dict[int, Fields] = {}

    def add(self, chunk: Fields) -> None:
        """The next chunk, or a whole completion from an upstream that does not stream."""
        for name, value in chunk.items():
            if name not in _OWN and value is not None:
                self._top[name] = value
        for choice in cast("list[Fields]", chunk.get("choices") or ()):
            index = choice.get("index") or 0
            known = self._choices.setdefault(index, {"index": index, "message": {}})
            _merge(known["message"], choice.get("delta") or choice.get("message") or {})
            _merge(known, {name: value for name, value in choice.items() if name not in {"delta", "message"}})

    def completion(self) -> Fields:
        """The completion as far as it has come."""
        choices = [_joined(choice) for _, choice in sorted(self._choices.items())]
        return kept({**self._top, "choices": choices}, self._head)


def assembled(chunks: Iterable[Fields], head: Head) -> Fields:
    """The completion that these chunks are the stream of."""
    transcript = Transcript(head)
    for chunk in chunks:
        transcript.add(chunk)
    return transcript.completion()


def kept(document: Fields, head: Head) -> Fields:
    """The completion under the id of `head`, with every documented field that an upstream may have left out."""
    given = _dense(document)
    if isinstance(given.get("usage"), dict):
        given["usage"] = _dense(given["usage"])
    choices = [_choice(place, choice) for place, choice in enumerate(document.get("choices") or ())]
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": given.get("created") or head.created,
        "model": given.get("model") or head.model,
        "choices": choices,
        **{name: value for name, value in given.items() if name not in _OWN and name != "model"},
    }


def _dense(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _choice(place: int, choice: Fields) -> Fields:
    message: Fields = {"role": "assistant", "content": None, "refusal": None, **(choice.get("message") or {})}
    calls: list[Fields] = message.pop("tool_calls", None) or []
    if calls:
        message["tool_calls"] = [_call(number, call) for number, call in enumerate(calls)]
    if message.get("function_call") is None:
        message.pop("function_call", None)
    return {
        "index": place,
        "logprobs": None,
        **choice,
        "message": message,
        "finish_reason": choice.get("finish_reason") or "stop",
    }


def _call(number: int, call: Fields) -> Fields:
    shown = {name: value for name, value in call.items() if name != "index" and value is not None}
    kind = shown.get("type", "function")
    if kind == "function":
        function: Fields = shown.get("function") or {}
        said = {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}
        shown["function"] = {**function, **said}
    return {"id": f"call_{number}", "type": kind, **shown}


def _merge(known: Fields, piece: Fields) -> None:
    for name, value in piece.items():
        here = known.get(name)
        if value is None or (here is not None and name in _ONCE and here):
            known.setdefault(name, None)
        elif isinstance(value, str) and name not in _ONCE:
            if isinstance(here, _Pieces):
                here.append(value)
            else:
                known[name] = _Pieces([value])
        elif isinstance(value, dict):
            if not isinstance(here, dict):
                here = known[name] = {}
            _merge(cast("Fields", here), cast("Fields", value))
        elif isinstance(value, list):
            if not isinstance(here, list):
                here = known[name] = []
            _extend(cast("list[Any]", here), cast("list[Any]", value), calls=name == "tool_calls")
        else:
            known[name] = value


def _extend(known: list[Any], pieces: list[Any], *, calls: bool) -> None:
    """Continue a list. Elements with an index, and tool calls in any case, may come in pieces."""
    for piece in pieces:
        if not isinstance(piece, dict):
            known.append(piece)
            continue
        fields = cast("Fields", piece)
        here = _found(known, fields) if calls or isinstance(fields.get("index"), int) else None
        if here is None:
            here = {}
            known.append(here)
        _merge(here, fields)


def _found(known: list[Any], piece: Fields) -> Fields | None:
    """The element that this piece belongs to: the last one of its index, unless that has another id. A call without an
    index is found by its id; one with neither is new when it brings a name, else the last one goes on."""
    elements = [cast("Fields", element) for element in known if isinstance(element, dict)]
    index, given = piece.get("index"), piece.get("id")
    if index is not None:
        here = next((element for element in reversed(elements) if element.get("index") == index), None)
        return None if here and given and here.get("id") and here["id"] != given else here
    if given:
        return next((element for element in elements if element.get("id") == given), None)
    function: Fields = piece.get("function") or {}
    return None if function.get("name") or not elements else elements[-1]


def _joined(value: Any) -> Any:
    """The value with its texts in one piece."""
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _joined(held) for name, held in cast("Fields", value).items()}
    if isinstance(value, list):
        return [_joined(held) for held in cast("list[Any]", value)]
    return value
