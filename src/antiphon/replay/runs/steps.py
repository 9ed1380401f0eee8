"""The output of a stored response as what its model said, generation by generation, and what its tools gave. Pure.

Where the events of the response are stored, texts come in the pieces in which they came; otherwise in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.core.deltas import (
    AnnotationDelta,
    CallDelta,
    Delta,
    MessageStarted,
    PartEnded,
    ReasoningDelta,
    ReasoningEnded,
    ReasoningStarted,
    RefusalDelta,
    StepEnded,
    TextDelta,
)
from antiphon.core.effects import Entry
from antiphon.core.recall import called, flattened
from antiphon.core.sealed import is_exchange, thought_of
from antiphon.replay.exchange import Failure
from antiphon.replay.taped.tool import Given
from antiphon.wire.codec import builtins
from antiphon.wire.content import OutputText, Refusal
from antiphon.wire.items import Compaction, Item, McpApprovalRequest, McpCall, McpListTools, Message, Reasoning
from antiphon.wire.responses import Response, Usage

Pieces: TypeAlias = Mapping[tuple[int, str, int], Sequence[str]]
"""Texts in the pieces in which they were told: by output index, kind of the event and place of the part."""

NOTHING: Final = Usage(input_tokens=0, output_tokens=0, total_tokens=0)
NOTE: Final = "\0note"
"""Stands among the pieces of a text for an annotation."""
_FINISH: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ERRORS: Final = {"rate_limit_exceeded": "RateLimitError", "invalid_prompt": "InvalidRequestError"}
_TEXTS: Final = {
    "response.output_text.delta": "content_index",
    "response.refusal.delta": "content_index",
    "response.reasoning_text.delta": "content_index",
    "response.reasoning_summary_text.delta": "summary_index",
    "response.function_call_arguments.delta": "",
    "response.mcp_call_arguments.delta": "",
}
"""Events that tell a piece of a text, and the field that tells of which part."""


class Step(Struct, frozen=True):
    """One generation: what the model said, in batches, and how it failed, if it did."""

    batches: tuple[tuple[Delta, ...], ...]
    failure: Failure | None = None


class Handed(Struct, frozen=True):
    """A call that the server ran, and what it gave."""

    name: str
    arguments: str
    given: Given


class Telling(Struct, frozen=True):
    """All that a run was told: generations and calls in order, and the lists of MCP servers."""

    steps: tuple[Step, ...]
    handed: tuple[Handed, ...]
    listed: tuple[McpListTools, ...]


class UntoldError(Exception):
    """The run cannot be told again; the words say why."""


def telling(response: Response, output: Sequence[Entry], events: Sequence[Mapping[str, Any]] = ()) -> Telling:
    """What the run that made this output was told; `events` are its own, where they are known. Raises UntoldError."""
    generations: list[list[Delta]] = [[]]
    given: list[Handed] = []
    listed: list[McpListTools] = []
    writer = _Writer(pieces_of(events))
    ended = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    for index, entry in enumerate(output):
        item = entry.item
        if isinstance(item, Compaction):
            raise UntoldError("its context was compacted on the way, and what was summarised is not kept")
        if isinstance(item, McpListTools):
            listed.append(item)
            continue
        if (found := handed(entry)) is not None:
            order = ended.index(index) + 1 if index in ended else 0
            given.append(replace(found, given=replace(found.given, order=order)))
            if isinstance(item, McpCall) and item.approval_request_id and not generations[0]:
                continue  # it ran before the model was asked
        if writer.begins(entry, generations[-1]):
            generations.append([])
        generations[-1] += writer.told(index, entry)
    if given and writer.awaited and _asked_again(response):
        generations.append([])  # the calls ran, and the model was asked again
    return Telling(_steps(response, generations), tuple(given), tuple(listed))


def _asked_again(response: Response) -> bool:
    return response.status in {"completed", "failed"} or response.incomplete_details is not None


def _steps(response: Response, generations: Sequence[Sequence[Delta]]) -> tuple[Step, ...]:
    """Each generation with its end; that of the last is the response's."""
    steps = [_step(deltas, StepEnded("stop", NOTHING)) for deltas in generations[:-1]]
    last = generations[-1]
    if response.status == "failed":
        error = response.error
        name = _ERRORS.get(error.code if error is not None else "", "ModelError")
        words = "" if error is None else error.message
        steps.append(Step(tuple((delta,) for delta in last), Failure(name, words)))
    else:
        cut = response.incomplete_details
        steps.append(_step(last, StepEnded("stop" if cut is None else _FINISH[cut.reason], response.usage)))
    return tuple(steps)


def _step(deltas: Sequence[Delta], end: StepEnded) -> Step:
    return Step(tuple((delta,) for delta in (*deltas, end)))


class _Writer:
    """Writes items as deltas."""

    def __init__(self, pieces: Pieces) -> None:
        self.awaited = False
        """Whether the last generation ended in calls of the server."""
        self._pieces = pieces
        self._round: int | None = None  # that of the calls that the server ran, in the last generation

    def begins(self, entry: Entry, before: Sequence[Delta]) -> bool:
        """Whether the entry belongs to another generation than what is `before` it."""
        exchange = entry.exchange if is_exchange(entry.exchange) else None
        known, self._round = self._round, None if exchange is None else exchange.round
        self.awaited = exchange is not None and getattr(entry.item, "status", None) != "incomplete"
        return bool(before) and known is not None and known != self._round

    def told(self, index: int, entry: Entry) -> list[Delta]:
        """The entry in deltas."""
        item = entry.item
        if is_exchange(entry.exchange):
            given = entry.exchange
            return self._call(index, given.call_id, given.name, given.arguments)
        match item:
            case Message():
                return self._message(index, item)
            case Reasoning():
                return self._reasoning(index, entry, item)
            case McpApprovalRequest():
                return self._call(index, None, flattened(item.server_label, item.name), item.arguments)
            case None:
                return []
            case _ if (call := called(item)) is not None:
                return self._call(index, call.call_id, call.name, call.arguments)
            case _:
                raise UntoldError(f"how its model asked for an item of type '{_type(item)}' is not known")

    def _message(self, index: int, item: Message) -> list[Delta]:
        found: list[Delta] = [MessageStarted(item.phase or None)]
        for place, part in enumerate(item.content):
            if place:
                found.append(PartEnded())
            if isinstance(part, OutputText):
                found += self._text(index, place, part)
            elif isinstance(part, Refusal):
                texts = self._texts(index, "response.refusal.delta", place, part.refusal)
                found += [RefusalDelta(text) for text in texts]
        return found

    def _text(self, index: int, place: int, part: OutputText) -> list[Delta]:
        """With each annotation where it was told; behind the text where that is not known."""
        noted = iter(part.annotations)
        found: list[Delta] = []
        for text in self._texts(index, "response.output_text.delta", place, part.text):
            if text != NOTE:
                found.append(TextDelta(text, () if found else part.logprobs))
            elif (annotation := next(noted, None)) is not None:
                found.append(AnnotationDelta(annotation))
        return [*found, *map(AnnotationDelta, noted)]

    def _reasoning(self, index: int, entry: Entry, item: Reasoning) -> list[Delta]:
        thought = thought_of(entry)
        found: list[Delta] = []
        parts = [(part.text, False, "response.reasoning_text.delta") for part in item.content or ()]
        parts += [(part.text, True, "response.reasoning_summary_text.delta") for part in item.summary]
        if not parts and thought is not None:
            parts.append((thought.text, False, "response.reasoning_text.delta"))
        seen: dict[str, int] = {}
        for place, (text, summary, kind) in enumerate(parts):
            if place:
                found.append(PartEnded())
            part = seen[kind] = seen.get(kind, -1) + 1
            found += [ReasoningDelta(each, summary) for each in self._texts(index, kind, part, text)]
        if thought is not None and thought.opaque:
            return [ReasoningStarted(index), *found, ReasoningEnded(index, thought.opaque)]
        return found

    def _call(self, index: int, call_id: str | None, name: str, arguments: str) -> list[Delta]:
        kinds = ("response.function_call_arguments.delta", "response.mcp_call_arguments.delta")
        told = next((p for kind in kinds if (p := self._pieces.get((index, kind, 0))) is not None), ())
        texts = told if "".join(told) == arguments else [arguments]
        return [CallDelta(index, call_id, name, ""), *(CallDelta(index, arguments=text) for text in texts)]

    def _texts(self, index: int, kind: str, part: int, whole: str) -> Sequence[str]:
        """The text in the pieces in which it was told, where they are known and are the text."""
        told = self._pieces.get((index, kind, part), ())
        return told if told and "".join(told).replace(NOTE, "") == whole else [whole]


def _type(item: Item) -> str:
    return str(cast("dict[str, Any]", builtins(item)).get("type"))


def handed(entry: Entry) -> Handed | None:
    """What the entry's call gave; None: it is no call that the server ran."""
    if entry.item is None or not is_exchange(entry.exchange):
        return None
    return Handed(entry.exchange.name, entry.exchange.arguments, _given(entry.item, entry.exchange.output))


def _given(item: Item, output: str) -> Given:
    """What a call gave, for its tool to make the item of again."""
    fields = cast("dict[str, Any]", builtins(item))
    action: dict[str, Any] = fields.get("action") or {}
    urls = [source["url"] for source in action.get("sources") or () if "url" in source]
    kept = {name: value for name, value in fields.items() if name not in {"id", "type", "status"} and value is not None}
    return Given(output, {**kept, "urls": urls} if urls else kept, failed=fields.get("status") == "failed")


def pieces_of(events: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str, int], list[str]]:
    """The pieces of texts in these events."""
    found: dict[tuple[int, str, int], list[str]] = {}
    for event in events:
        field = _TEXTS.get(event["type"])
        if field is not None:
            place = (event["output_index"], event["type"], event[field] if field else 0)
            found.setdefault(place, []).append(event["delta"])
        elif event["type"] == "response.output_text.annotation.added":
            place = (event["output_index"], "response.output_text.delta", event["content_index"])
            found.setdefault(place, []).append(NOTE)
    return found


def events_in(frames: bytes) -> list[dict[str, Any]]:
    """The events of an SSE stream of ours."""
    lines = [line[6:] for line in frames.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
