"""When two requests are the same: each is reduced to a canonical form, and equal forms are equal requests.

Not significant: ids of tool calls, texts of tool messages and beside tool calls, nulls, the order of keys, how JSON
arguments are spaced, reasoning that is sent back, a single text part for a string. Everything else of model, messages,
tools and response_format is. Pure; a form is JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import UNSET, Struct

from antiphon.wire.codec import builtins

Form: TypeAlias = dict[str, Any]

_REASONING: Final = {"reasoning", "reasoning_content", "reasoning_details"}
_NO_PARAMETERS: Final[Form] = {"type": "object", "properties": {}}
_OPTIONS: Final = ("logprobs", "top_logprobs", "reasoning_effort")
_SHOWN: Final = 120
"""Characters of a value that a difference shows."""


class Asked(Struct, frozen=True):
    """A request at a port (`chat`, `embeddings`, `tool`), ready to be looked up. `hints` do not decide whether a
    recording matches, but which of several that do is preferred: the one with the most equal hints."""

    port: str
    form: Form
    hints: tuple[bytes, ...] = ()

    @property
    def key(self) -> bytes:
        """Equal for equal requests."""
        return digest([self.port, self.form])


class Difference(Struct, frozen=True):
    """Where two forms first differ: a JSON path (`$.messages[2].content`) and both values as JSON, shortened."""

    path: str
    wanted: str
    recorded: str
    weight: float = 1.0
    """How much it separates the two: 0 to 1, less for texts that share most of their words."""

    def __str__(self) -> str:
        return f"at {self.path}: asked {self.wanted}, recorded {self.recorded}"


def digest(value: object) -> bytes:
    """A short name of a JSON value; the order of keys does not change it."""
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=16).digest()


def chat(body: Mapping[str, Any]) -> Asked:
    """A chat completion request, from its JSON object."""
    plain = cast("Form", builtins(body))
    texts: list[Any] = []
    messages = [_message(message, texts) for message in plain.get("messages") or ()]
    form: Form = {"model": plain.get("model"), "messages": messages}
    if tools := [_tool(tool) for tool in plain.get("tools") or ()]:
        form["tools"] = tools
    wanted = _dense(plain.get("response_format"))
    if wanted and wanted != {"type": "text"}:
        form["response_format"] = wanted
    options = {name: plain.get(name) for name in _OPTIONS}
    alone = plain.get("parallel_tool_calls") is False
    return Asked("chat", form, (digest(texts), digest(options), digest(bool(plain.get("stream"))), digest(alone)))


def embeddings(body: Mapping[str, Any]) -> Asked:
    """An embeddings request. A single input is a list of one."""
    given = body.get("input")
    form = {"model": body.get("model"), "input": [given] if isinstance(given, str) else given}
    if body.get("dimensions") is not None:
        form["dimensions"] = body["dimensions"]
    return Asked("embeddings", form)


def tool(name: str, arguments: Mapping[str, Any]) -> Asked:
    """A call of a server-side tool."""
    return Asked("tool", {"name": name, "arguments": _dense(builtins(arguments))})


def distance(one: Form, other: Form) -> tuple[float, Difference | None]:
    """How far apart the forms are (0: equal), and where they first differ."""
    found = list(differences(one, other))
    apart = sum(one.weight * (3 if one.path.startswith("$.messages") else 1) for one in found)
    return apart, found[0] if found else None


def _message(message: Form, texts: list[Any]) -> Form:
    form = {name: _dense(value) for name, value in message.items() if value is not None and name not in _REASONING}
    if form.get("role") == "tool":
        form.pop("tool_call_id", None)
        texts.append(_parsed(_text(form.pop("content", ""))))
        return form
    if "content" in form:
        form["content"] = _text(form["content"])
    if calls := form.pop("tool_calls", None):
        form["tool_calls"] = [_call(call) for call in calls]
        if said := form.pop("content", None):
            texts.append(said)
    return form


def _text(content: Any) -> Any:
    """A content of one text part as its string."""
    if isinstance(content, list) and len(parts := cast("list[Any]", content)) == 1:
        part = parts[0]
        if isinstance(part, dict) and set(cast("Form", part)) == {"type", "text"} and part["type"] == "text":
            return cast("Form", part)["text"]
    return cast("Any", content)


def _call(call: Form) -> Form:
    function: Form = dict(call.get("function") or {})
    function["arguments"] = _parsed(function.get("arguments") or "{}")
    return {"type": call.get("type") or "function", "function": function}


def _parsed(text: Any) -> Any:
    """JSON text as its value, so that its spacing and nulls do not count; other text as it is."""
    if not isinstance(text, str):
        return text
    try:
        return _dense(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def _tool(tool: Form) -> Form:
    form = _dense(tool)
    function = form.get("function")
    if isinstance(function, dict):
        function = cast("Form", function)
        function.pop("type", None)  # some clients repeat the tool's type inside
        if function.get("strict") is False:
            del function["strict"]
        function.setdefault("parameters", _NO_PARAMETERS)
    return form


def _dense(value: Any) -> Any:
    """The value without nulls in its objects."""
    if isinstance(value, dict):
        return {name: _dense(held) for name, held in cast("Form", value).items() if held is not None}
    if isinstance(value, list):
        return [_dense(held) for held in cast("list[Any]", value)]
    return value


def differences(one: Any, other: Any, path: str = "$") -> Iterator[Difference]:
    """Every place where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("Form", one), cast("Form", other)
        for name in dict.fromkeys([*ours, *theirs]):
            yield from differences(ours.get(name, UNSET), theirs.get(name, UNSET), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list):
        mine, its = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        for place in range(max(len(mine), len(its))):
            here = mine[place] if place < len(mine) else UNSET
            there = its[place] if place < len(its) else UNSET
            yield from differences(here, there, f"{path}[{place}]")
    elif one != other:
        yield Difference(path, *_shown(one, other), _unlike(one, other))


def _unlike(one: Any, other: Any) -> float:
    if not (isinstance(one, str) and isinstance(other, str)):
        return 1.0
    ours, theirs = set(one.split()), set(other.split())
    return 1.0 - 0.9 * len(ours & theirs) / (len(ours | theirs) or 1)


def _shown(one: Any, other: Any) -> tuple[str, str]:
    """Both values as JSON; of long ones the part around the first difference."""
    texts = ["nothing" if value is UNSET else msgspec.json.encode(value).decode() for value in (one, other)]
    if all(len(text) <= _SHOWN for text in texts):
        return texts[0], texts[1]
    same = next((n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, same - _SHOWN // 2)
    return _cut(texts[0], start), _cut(texts[1], start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
