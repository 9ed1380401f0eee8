"""Chat completion chunks become deltas.

Quirks that concern the meaning (calls without ids, names in pieces) pass on to the assembler; mended here is only what
has no place in a delta: a call without an index, usage in any position, `bytes` that are null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.wire.chat import ChatChunk, ChatUsage, ChunkChoice, ChunkDelta, ToolCallDelta
from antiphon.wire.content import LogProb, TopLogProb
from antiphon.wire.responses import InputTokensDetails, OutputTokensDetails, Usage


class _WholeChoice(msgspec.Struct, frozen=True, gc=False):
    message: ChunkDelta | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class _Whole(msgspec.Struct, frozen=True, gc=False):
    """One `chat.completion`: its message has the fields of a delta."""

    choices: tuple[_WholeChoice, ...] = ()
    usage: ChatUsage | None = None
    error: Any = None


GARBAGE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding raises for what is no JSON of the expected type."""

_NOTHING = ChunkDelta()
_CHUNK = msgspec.json.Decoder(ChatChunk)
_WHOLE = msgspec.json.Decoder(_Whole)


class ReportedError(Exception):
    """The answer holds an error object instead of a chunk; `report` is that object."""

    def __init__(self, report: object) -> None:
        super().__init__("the answer holds an error")
        self.report = report


class ChunkReader:
    """Reads the chunks of one generation. `feed` and `whole` raise ReportedError for an error object and one of GARBAGE
    for what is no chunk."""

    def __init__(self) -> None:
        self.finish: str | None = None
        """The finish word, once it has come."""
        self.usage: Usage | None = None
        """What was counted, once it has come; the last count stands."""
        self._indices: dict[str, int] = {}  # of calls that come without an index, by id
        self._last_index = 0
        self._next_index = 0

    @property
    def over(self) -> bool:
        """Never: usage may follow the finish word, so that `[DONE]` is waited for."""
        return False

    def feed(self, documents: Sequence[bytes]) -> list[Delta]:
        """The deltas of these chunks, in order."""
        deltas: list[Delta] = []
        decode = _CHUNK.decode
        for document in documents:
            chunk = decode(document)
            if chunk.choices:
                choice = chunk.choices[0]
                delta = choice.delta or _NOTHING
                if delta.content and choice.logprobs is None:  # the hot path
                    deltas.append(TextDelta(delta.content))
                if choice.finish_reason:
                    self.finish = choice.finish_reason
                if not delta.content or choice.logprobs is not None or delta.tool_calls:
                    self._rest(choice, deltas)
            if chunk.usage is not None:
                self.usage = usage_of(chunk.usage) or self.usage
            if chunk.error is not None:
                raise ReportedError(chunk.error)
        return deltas

    def whole(self, document: bytes) -> list[Delta]:
        """The deltas of a `chat.completion`, from an upstream that does not stream."""
        completion = _WHOLE.decode(document)
        if completion.error is not None:
            raise ReportedError(completion.error)
        deltas: list[Delta] = []
        if completion.choices:
            choice = completion.choices[0]
            said = ChunkChoice(delta=choice.message or ChunkDelta(), logprobs=choice.logprobs or {})
            self._rest(said, deltas)
            self.finish = choice.finish_reason or "stop"
        if completion.usage is not None:
            self.usage = usage_of(completion.usage)
        return deltas

    def ended(self) -> StepEnded:
        """The end of the generation, with `stop` where no finish word came."""
        return StepEnded(self.finish or "stop", self.usage)

    def _rest(self, choice: ChunkChoice, deltas: list[Delta]) -> None:
        delta = choice.delta or _NOTHING
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            deltas.append(ReasoningDelta(reasoning))
        if choice.logprobs is not None:
            logprobs = logprobs_of(choice.logprobs.get("content"))
            if delta.content or logprobs:
                deltas.append(TextDelta(delta.content or "", logprobs))
        if delta.refusal:
            deltas.append(RefusalDelta(delta.refusal))
        deltas.extend(self._call(call) for call in delta.tool_calls or ())

    def _call(self, call: ToolCallDelta) -> CallDelta:
        function = call.function
        name = None if function is None else function.name
        index = call.index
        if index is None:
            index = self._index(call.id, name)
        self._last_index = index
        self._next_index = max(self._next_index, index + 1)
        return CallDelta(index, call.id, name, None if function is None else function.arguments)

    def _index(self, call_id: str | None, name: str | None) -> int:
        """Where a call without an index belongs: by its id; one that has only a name is a new call."""
        if call_id:
            return self._indices.setdefault(call_id, self._next_index)
        return self._next_index if name else self._last_index


def usage_of(counts: ChatUsage) -> Usage | None:
    """The counts in the words of Responses; None when the upstream counted nothing."""
    if counts.prompt_tokens is None and counts.completion_tokens is None:
        return None
    prompt, completion = counts.prompt_tokens or 0, counts.completion_tokens or 0
    went_in, came_out = counts.prompt_tokens_details or {}, counts.completion_tokens_details or {}
    return Usage(
        input_tokens=prompt,
        input_tokens_details=InputTokensDetails(
            cached_tokens=_count(went_in, "cached_tokens") or counts.prompt_cache_hit_tokens or 0,
            cache_write_tokens=_count(went_in, "cache_write_tokens"),
        ),
        output_tokens=completion,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=_count(came_out, "reasoning_tokens")),
        total_tokens=counts.total_tokens or prompt + completion,
    )


def _count(details: dict[str, Any], name: str) -> int:
    found = details.get(name)
    return found if isinstance(found, int) else 0


class _Top(msgspec.Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class _Token(_Top):
    top_logprobs: tuple[_Top, ...] | None = None


def logprobs_of(content: object) -> tuple[LogProb, ...]:
    """The log probabilities of an upstream: `bytes` that are null are those of the token."""
    if not content:
        return ()
    return tuple(
        LogProb(
            token=entry.token,
            bytes=_bytes(entry),
            logprob=entry.logprob,
            top_logprobs=tuple(
                TopLogProb(token=top.token, bytes=_bytes(top), logprob=top.logprob) for top in entry.top_logprobs or ()
            ),
        )
        for entry in msgspec.convert(content, tuple[_Token, ...])
    )


def _bytes(entry: _Top) -> tuple[int, ...]:
    return tuple(entry.token.encode("utf-8", "surrogatepass")) if entry.bytes is None else entry.bytes
