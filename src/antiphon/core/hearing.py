"""Native events of `/v1/responses` become deltas.

An upstream may leave out any event whose content a later one repeats (`added` before deltas, deltas before `done`,
everything before the end): what was not told by then is told from the later one, and nothing is told twice. Items of
kinds that are never offered (hosted tools) are passed over, and so are events that we do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from antiphon.core.chunks import ReportedError, logprobs_of
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
from antiphon.core.native import marked
from antiphon.wire.content import UrlCitation
from antiphon.wire.items import Phase
from antiphon.wire.native import (
    NativeEvent,
    NativeItem,
    NativePart,
    NativeResponse,
    NativeTokens,
    NativeType,
    NativeUsage,
)
from antiphon.wire.responses import InputTokensDetails, OutputTokensDetails, Usage

_EVENT: Final = msgspec.json.Decoder(NativeEvent)
_TYPE: Final = msgspec.json.Decoder(NativeType)
_PART: Final = msgspec.json.Decoder(NativePart | None)
_ITEM: Final = msgspec.json.Decoder(NativeItem)
_RESPONSE: Final = msgspec.json.Decoder(NativeResponse)

_TEXT: Final = "response.output_text.delta"
_ITEMS: Final = {"message", "reasoning", "function_call", "custom_tool_call"}
_PHASES: Final[dict[object, Phase]] = {"commentary": "commentary", "final_answer": "final_answer"}


class EventReader:
    """Reads the events of one generation by the endpoint called `origin`.

    `feed` and `whole` raise `chunks.ReportedError` for an error, and one of `chunks.GARBAGE` for what is no event.
    """

    def __init__(self, origin: str) -> None:
        self._telling = _Telling(origin)

    @property
    def finish(self) -> str | None:
        """How the response ended, in the finish words of chat completions; None while it has not ended."""
        return self._telling.finish

    @property
    def over(self) -> bool:
        """Whether nothing more is to come."""
        return self._telling.finish is not None

    def feed(self, documents: Sequence[bytes]) -> list[Delta]:
        """The deltas of these events, in order."""
        deltas: list[Delta] = []
        telling = self._telling
        for document in documents:
            try:
                event = _EVENT.decode(document)
            except msgspec.ValidationError:
                kind = _TYPE.decode(document).type
                if not kind or kind in _TOLD:
                    raise
                continue  # an event that we do not know uses a field's name for something else
            if (  # the hot path: one more piece
                event.type == _TEXT
                and event.content_index == telling.place
                and event.output_index == telling.at
                and not event.logprobs
            ):
                deltas.append(TextDelta(event.delta))
                continue
            tell = _TOLD.get(event.type)
            if tell is not None:
                tell(telling, event, deltas)
            elif event.error is not None:
                raise ReportedError(event.error)
            elif not event.type:
                raise msgspec.ValidationError("an event without a type")
        return deltas

    def whole(self, document: bytes) -> list[Delta]:
        """The deltas of a response object, from an upstream that does not stream."""
        deltas: list[Delta] = []
        self._telling.end(_RESPONSE.decode(document), deltas)
        return deltas

    def ended(self) -> StepEnded:
        """The end of the generation. Raises ReportedError where the stream ended without saying how."""
        if self.finish is None:
            raise ReportedError({"message": "The stream has no end."})
        return StepEnded(self.finish, self._telling.usage)


class _Telling:
    """What has been told of one response. The first group of methods takes events, the second what they carry."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.at: int = -1  # the output index of the item that is being told,
        self.place: int = -1  # and the content index of the part of a message, while one is open
        self._said: set[tuple[Literal["text", "thought", "summary", "arguments"], int, int]] = set()
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._annotated: dict[tuple[int, int], int] = {}
        self._called = False

    # events

    def item_added(self, event: NativeEvent, deltas: list[Delta]) -> None:
        item = _item(event.item)
        if item is not None:
            self._open(event.output_index, item, deltas)

    def item_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        item = _item(event.item)
        if item is not None:
            self._close(event.output_index, item, deltas)

    def part_added(self, event: NativeEvent, deltas: list[Delta]) -> None:
        if (event.content_index or event.summary_index) and event.output_index == self.at:
            self._end_part(deltas)

    def part_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        part = _PART.decode(event.part)
        if part is None or event.output_index != self.at:
            return
        if part.type == "reasoning_text":
            self._think("thought", event.output_index, event.content_index, part.text, deltas)
        else:
            self._part(event.output_index, event.content_index, part, deltas)
        self._end_part(deltas)

    def summary_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        if event.output_index == self.at:
            self._end_part(deltas)

    def text(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._speak(event.output_index, event.content_index, deltas)
        deltas.append(TextDelta(event.delta, logprobs_of(event.logprobs)))

    def refusal(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._speak(event.output_index, event.content_index, deltas)
        deltas.append(RefusalDelta(event.delta))

    def text_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        part = NativePart(text=event.text, refusal=event.refusal, logprobs=event.logprobs)
        self._words(event.output_index, event.content_index, part, deltas)

    def annotation(self, event: NativeEvent, deltas: list[Delta]) -> None:
        index, place = event.output_index, event.content_index
        if (index, place) == (self.at, self.place):
            self._annotated[index, place] = self._annotated.get((index, place), 0) + 1
            _annotate(event.annotation, deltas)

    def thought(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._begin(event.output_index, ReasoningStarted(event.output_index), deltas)
        self._said.add(("thought", event.output_index, event.content_index))
        deltas.append(ReasoningDelta(event.delta))

    def summary(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._begin(event.output_index, ReasoningStarted(event.output_index), deltas)
        self._said.add(("summary", event.output_index, event.summary_index))
        deltas.append(ReasoningDelta(event.delta, summary=True))

    def arguments(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._argue(event.output_index, event.delta, deltas)

    def arguments_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._arguments(event.output_index, event.arguments or "", deltas)

    def input(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._argue(event.output_index, _escaped(event.delta), deltas)

    def input_done(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self._arguments(event.output_index, _escaped(event.input or ""), deltas)

    def error(self, event: NativeEvent, deltas: list[Delta]) -> None:
        del deltas  # OpenAI's shape is flat, that of Open Responses nested
        raise ReportedError(event.error or {"code": event.code, "message": event.message, "param": event.param})

    def response_ended(self, event: NativeEvent, deltas: list[Delta]) -> None:
        self.end(_RESPONSE.decode(event.response), deltas)

    # what they carry

    def end(self, response: NativeResponse, deltas: list[Delta]) -> None:
        """The end of the response; tells its output where none of it was streamed."""
        if response.status not in {"completed", "incomplete"}:
            raise ReportedError(response.error or {"message": f"The response is {response.status}."})
        if not self._started:
            for index, raw in enumerate(response.output or ()):
                item = _item(raw)
                if item is not None:
                    self._close(index, item, deltas)
        self.usage = None if response.usage is None else _usage(response.usage)
        details = response.incomplete_details
        if response.status == "completed":
            self.finish = "tool_calls" if self._called else "stop"
        else:
            self.finish = "content_filter" if details and details.reason == "content_filter" else "length"

    def _begin(self, index: int, opening: Delta, deltas: list[Delta]) -> None:
        """Turn to the item, which opens with this unless it has opened before."""
        if index != self.at:
            self.at, self.place = index, -1
        if index not in self._started:
            self._started.add(index)
            deltas.append(opening)

    def _speak(self, index: int, place: int, deltas: list[Delta]) -> None:
        """Turn to the part of a message."""
        self._begin(index, MessageStarted(), deltas)
        if self.place not in {-1, place}:
            deltas.append(PartEnded())
        self.place = place
        self._said.add(("text", index, place))

    def _end_part(self, deltas: list[Delta]) -> None:
        self.place = -1
        deltas.append(PartEnded())

    def _open(self, index: int, item: NativeItem, deltas: list[Delta]) -> None:
        match item.type:
            case "message":
                self._begin(index, MessageStarted(_PHASES.get(item.phase)), deltas)
            case "reasoning":
                self._begin(index, ReasoningStarted(index), deltas)
            case kind:
                self._called = True
                begun = '{"input":"' if kind == "custom_tool_call" else None
                self._begin(index, CallDelta(index, item.call_id, item.name, begun), deltas)

    def _close(self, index: int, item: NativeItem, deltas: list[Delta]) -> None:
        """Tell what was not told of an item that is whole."""
        if index in self._ended:
            return
        if index not in self._started:
            self._open(index, item, deltas)
        self._ended.add(index)
        heard = index == self.at  # where another item is being told meanwhile, what is left has no place any more
        match item.type:
            case "message":
                if heard:
                    self._parts(index, item, deltas)
            case "reasoning":
                if heard:
                    self._thoughts(index, item, deltas)
                sealed = item.encrypted_content
                deltas.append(ReasoningEnded(index, marked(self._origin, sealed) if sealed else None))
            case "custom_tool_call":
                self._arguments(index, _escaped(item.input or ""), deltas)
                deltas.append(CallDelta(index, arguments='"}'))
            case _:
                self._arguments(index, item.arguments or "", deltas)

    def _parts(self, index: int, item: NativeItem, deltas: list[Delta]) -> None:
        for place, part in enumerate(item.content or ()):
            self._part(index, place, part, deltas)

    def _part(self, index: int, place: int, part: NativePart, deltas: list[Delta]) -> None:
        """Tell what was not told of a part of a message that is whole."""
        self._words(index, place, part, deltas)
        if (index, place) != (self.at, self.place):
            return
        told = self._annotated.get((index, place), 0)
        annotations = part.annotations or ()
        self._annotated[index, place] = max(told, len(annotations))
        for annotation in annotations[told:]:
            _annotate(annotation, deltas)

    def _words(self, index: int, place: int, part: NativePart, deltas: list[Delta]) -> None:
        if ("text", index, place) in self._said or not (part.text or part.refusal):
            return
        self._speak(index, place, deltas)
        if part.text:
            deltas.append(TextDelta(part.text, logprobs_of(part.logprobs)))
        if part.refusal:
            deltas.append(RefusalDelta(part.refusal))

    def _thoughts(self, index: int, item: NativeItem, deltas: list[Delta]) -> None:
        for place, part in enumerate(item.summary or ()):
            self._think("summary", index, place, part.text, deltas)
        for place, part in enumerate(item.content or ()):
            self._think("thought", index, place, part.text, deltas)

    def _think(
        self, kind: Literal["thought", "summary"], index: int, place: int, text: str | None, deltas: list[Delta]
    ) -> None:
        if text and (kind, index, place) not in self._said:
            self._said.add((kind, index, place))
            deltas += [ReasoningDelta(text, summary=kind == "summary"), PartEnded()]

    def _arguments(self, index: int, arguments: str, deltas: list[Delta]) -> None:
        if arguments and ("arguments", index, 0) not in self._said:
            self._argue(index, arguments, deltas)

    def _argue(self, index: int, piece: str, deltas: list[Delta]) -> None:
        if index in self._started:  # otherwise nobody knows yet whose they are; the whole item will tell
            self._said.add(("arguments", index, 0))
            deltas.append(CallDelta(index, arguments=piece))


_TOLD: Final[dict[str, Callable[[_Telling, NativeEvent, list[Delta]], None]]] = {
    _TEXT: _Telling.text,
    "response.output_text.done": _Telling.text_done,
    "response.output_text.annotation.added": _Telling.annotation,
    "response.refusal.delta": _Telling.refusal,
    "response.refusal.done": _Telling.text_done,
    "response.content_part.added": _Telling.part_added,
    "response.content_part.done": _Telling.part_done,
    "response.reasoning_text.delta": _Telling.thought,
    "response.reasoning.delta": _Telling.thought,  # its name in Open Responses
    "response.reasoning_summary_text.delta": _Telling.summary,
    "response.reasoning_summary_part.added": _Telling.part_added,
    "response.reasoning_summary_part.done": _Telling.summary_done,
    "response.function_call_arguments.delta": _Telling.arguments,
    "response.function_call_arguments.done": _Telling.arguments_done,
    "response.custom_tool_call_input.delta": _Telling.input,
    "response.custom_tool_call_input.done": _Telling.input_done,
    "response.output_item.added": _Telling.item_added,
    "response.output_item.done": _Telling.item_done,
    "response.completed": _Telling.response_ended,
    "response.incomplete": _Telling.response_ended,
    "response.failed": _Telling.response_ended,
    "response.cancelled": _Telling.response_ended,
    "error": _Telling.error,
}


def _item(raw: msgspec.Raw) -> NativeItem | None:
    """The item, None where it is of a kind that is passed over."""
    return _ITEM.decode(raw) if _TYPE.decode(raw).type in _ITEMS else None


def _annotate(annotation: Any, deltas: list[Delta]) -> None:
    """Citations of pages pass on; other annotations speak of the upstream's own files, which mean nothing here."""
    try:
        deltas.append(AnnotationDelta(msgspec.convert(annotation, UrlCitation)))
    except msgspec.ValidationError:
        return


def _escaped(text: str) -> str:
    """The text as it stands inside of a JSON string: the input of a custom tool is told as a function's arguments."""
    return msgspec.json.encode(text).decode()[1:-1]


def _usage(counts: NativeUsage) -> Usage:
    went_in = counts.input_tokens_details or NativeTokens()
    came_out = counts.output_tokens_details or NativeTokens()
    return Usage(
        input_tokens=counts.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=went_in.cached_tokens or 0, cache_write_tokens=went_in.cache_write_tokens or 0
        ),
        output_tokens=counts.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=came_out.reasoning_tokens or 0),
        total_tokens=counts.total_tokens or counts.input_tokens + counts.output_tokens,
    )
