"""A stored run as clients see it, asked once more of another model: what to ask, what to answer, and what differs.

Everything here is the JSON of the Responses API, so that the run may be any server's. Pure.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from msgspec import Struct

Json: TypeAlias = dict[str, Any]

OUTPUT: Final = "_output"
"""Ends the type of what a client gives back for a call."""
CLIENTS: Final = frozenset(
    "function_call custom_tool_call local_shell_call shell_call apply_patch_call computer_call".split()
)
"""Types of calls that a client runs."""
OWN: Final = frozenset({"function", "custom", "local_shell", "shell", "apply_patch", "computer", "namespace"})
"""Types of tools that a client runs."""
_SAME: Final = (
    "instructions tool_choice parallel_tool_calls max_output_tokens max_tool_calls text truncation tools".split()
)
_DEFAULTS: Final[Json] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_BY_CHANCE: Final = frozenset({"id", "call_id", "encrypted_content", "results", "logprobs", "created_by"})


class Round(Struct, frozen=True):
    """One response, and what its request added to the context."""

    response: Json
    given: tuple[Json, ...]

    @property
    def answers(self) -> bool:
        """Whether the request only gave back what calls gave."""
        return bool(self.given) and all(str(item.get("type")).endswith(OUTPUT) for item in self.given)


class Exchange(Struct, frozen=True):
    """What the user asked, and all responses until the model had answered; `before` is what a conversation held."""

    rounds: tuple[Round, ...]
    before: tuple[Json, ...] = ()

    @property
    def output(self) -> list[Json]:
        """All items that the model and the server's tools made."""
        return [item for each in self.rounds for item in each.response["output"]]


class Row(Struct, frozen=True):
    """An item then and now; `difference`: lines of a text diff."""

    change: Literal["equal", "changed", "gone", "new"]
    type: str
    then: str = ""
    now: str = ""
    difference: tuple[str, ...] = ()


def parameters(response: Mapping[str, Any]) -> Json:
    """The request's parameters, as far as a response tells them; those that have their default are left out."""
    found: Json = {name: response[name] for name in _SAME if response.get(name) is not None}
    found |= {name: response[name] for name, default in _DEFAULTS.items() if response.get(name, default) != default}
    given: Json = response.get("reasoning") or {}
    reasoning = {name: value for name, value in given.items() if value is not None}
    return {**found, "reasoning": reasoning} if reasoning else found


def referred(items: Iterable[Json]) -> list[Json]:
    """The items by their ids, where they have one."""
    return [{"type": "item_reference", "id": item["id"]} if item.get("id") else item for item in items]


def owed(output: Iterable[Json]) -> list[Json]:
    """The calls that wait for their client."""
    return [item for item in output if item["type"] in CLIENTS and item.get("status") != "incomplete"]


class Answers:
    """What a client gave back, by what was called: equal calls are answered in order, the last answer again and
    again."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        given = {item["call_id"]: item for each in rounds for item in each.given if "call_id" in item}
        self._found: dict[str, list[Json]] = {}
        for call in owed(item for each in rounds for item in each.response["output"]):
            if (answer := given.get(call["call_id"])) is not None:
                self._found.setdefault(_key(call), []).append(answer)

    def take(self, call: Json) -> Json | None:
        """The answer to a call; None: it was never made."""
        held = self._found.get(_key(call))
        if not held:
            return None
        answer = held.pop(0) if len(held) > 1 else held[0]
        return {**{name: value for name, value in answer.items() if name != "id"}, "call_id": call["call_id"]}


def _key(call: Json) -> str:
    return _written({name: _parsed(value) for name, value in call.items() if name not in {*_BY_CHANCE, "status"}})


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _parsed(value: Any) -> Any:
    """JSON text as its value: how arguments are written does not count."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


# forks


class StepError(Exception):
    """There is no such step, or it cannot be edited; the words say which there are."""


def forked(exchange: Exchange, step: int, edit: str | None = None) -> list[Json]:
    """The input of a run that goes on behind the first `step` output items, with what was given back for them; `edit`
    is what the last of them says instead (of a client's call: what was given back). Raises StepError."""
    output = exchange.output
    if not 0 <= step <= len(output):
        raise StepError(f"the run has {len(output)} output items, so a step is from 0 to {len(output)}")
    first, *later = exchange.rounds
    kept: list[Json] = [*exchange.before, *first.given]
    given = {item["call_id"]: item for each in later for item in each.given if "call_id" in item}
    for item in output[:step]:
        kept.append(item)
        if item["type"] in CLIENTS and item["call_id"] in given:
            kept.append(given[item["call_id"]])
    if step and (last := output[step - 1])["type"] in CLIENTS and kept[-1] is last:
        raise StepError(f"what was given back for item {step} is not known")
    return referred(kept) if edit is None else [*referred(kept[:-1]), edited(kept[-1], edit)]


def edited(item: Json, text: str) -> Json:
    """The item saying something else. Raises StepError."""
    plain = {name: value for name, value in item.items() if name != "id"}
    kind = str(item.get("type"))
    if kind == "message":
        part = "output_text" if item["role"] == "assistant" else "input_text"
        return {**plain, "content": [{"type": part, "text": text}]}
    if kind.endswith(OUTPUT) or kind == "mcp_call":
        return {**plain, "output": text}
    raise StepError(f"an item of the type '{kind}' cannot be edited")


# differences


def compared(then: Sequence[Json], now: Sequence[Json]) -> list[Row]:
    """The items of two runs side by side."""
    ours, theirs = [_kind(item) for item in then], [_kind(item) for item in now]
    rows: list[Row] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [_pair(one, other) for one, other in zip(then[a:b], now[c:d], strict=True)]
        else:
            rows += [Row("gone", str(item["type"]), then=said(item)) for item in then[a:b]]
            rows += [Row("new", str(item["type"]), now=said(item)) for item in now[c:d]]
    return rows


def _pair(one: Json, other: Json) -> Row:
    kind = str(one["type"])
    if _plain(one) == _plain(other):
        return Row("equal", kind, said(one), said(other))
    was, now = said(one), said(other)
    lines = difflib.ndiff(was.splitlines(), now.splitlines())
    return Row("changed", kind, was, now, tuple(line for line in lines if line[:1] in "+-"))


def _kind(item: Json) -> str:
    return f"{item['type']} {item.get('name', '')}"


def _plain(value: Any) -> Any:
    """A JSON value without what is another one in every run."""
    if isinstance(value, dict):
        held = cast("Json", value).items()
        return {name: _plain(_parsed(each)) for name, each in held if name not in _BY_CHANCE and each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value


def said(item: Json) -> str:
    """An item in words: a text, or a call with its arguments and what it gave."""
    kind = item["type"]
    if kind in {"message", "reasoning"}:
        parts: list[Json] = [*(item.get("content") or ()), *(item.get("summary") or ())]
        return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
    name = item.get("name")
    rest = {key: _parsed(value) for key, value in item.items() if key not in {*_BY_CHANCE, "type", "status", "name"}}
    if set(rest) == {"arguments"}:
        return f"{name}({_written(rest['arguments'])})"
    shown = {key: value for key, value in rest.items() if value is not None and key != "tools"}
    return f"{name or kind}({_written(shown)})"
