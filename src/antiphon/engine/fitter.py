"""What is done about the size of a context: it is measured, and a model summarises it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from antiphon.core.chat import chat_body
from antiphon.core.compaction import asking, compacted
from antiphon.core.context import chat_messages
from antiphon.core.counting import body_tokens, messages_tokens
from antiphon.core.deltas import Delta, StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Compact, Compacted, Entry, Generate, Measure, Measured
from antiphon.core.pruning import grouped, halved, oldest
from antiphon.core.sealed import Summary, packed
from antiphon.core.usage import counted
from antiphon.core.verdict import verdict_of
from antiphon.ports.seal import Seal
from antiphon.ports.tokens import Tokens
from antiphon.wire.errors import InvalidRequestError, ModelError
from antiphon.wire.responses import Usage


class Means(msgspec.Struct, frozen=True):
    """What turns are made with. `wary`: who has read untrusted content asks before it writes (core/taint.py)."""

    seal: Seal
    tokens: Tokens
    wary: bool = False


class Speaker(Protocol):
    """What is needed of a model."""

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Generate, as a Model does."""
        ...


class Fitter:
    """For one turn: its project, and the model as its endpoint knows it."""

    def __init__(self, means: Means, project: str, model: str, dialect: Dialect) -> None:
        self._means = means
        self._project = project
        self._model = model
        self._dialect = dialect

    def seal(self, content: str) -> str:
        """The encrypted content of reasoning; `content` as `core.sealed.packed` gives it."""
        return self._means.seal.seal(self._project, "reasoning", content)

    async def measure(self, effect: Measure) -> Measured:
        """The size of a generation; see Measured."""
        return await asyncio.to_thread(self._measured, effect.wanted)

    async def count(self, wanted: Generate) -> int:
        """The tokens that the generation takes in."""
        return await asyncio.to_thread(self._tokens, wanted)

    async def compact(self, effect: Compact, model: Speaker) -> Compacted:
        """Have the model summarise; errors as of Model."""
        text, usage = await self.summarise(effect.wanted, effect.past, model)
        return self.compacted(compacted(effect.past, effect.since, text, effect.room), usage)

    def compacted(self, summary: Summary, usage: Usage) -> Compacted:
        """The content of a compaction item."""
        content = packed(summary)
        return Compacted(content, self._means.seal.seal(self._project, "compaction", content), usage)

    async def summarise(self, wanted: Generate, past: Sequence[Entry], model: Speaker) -> tuple[str, Usage]:
        """The model's words for `past`, and what they cost. Of a past that is too long for it they are for the newer
        part, and say so. ModelError when it has none."""
        dropped = 0
        while True:
            try:
                text, usage = await self._summary(asking(wanted, past), model)
            except InvalidRequestError as error:
                past, gone = halved(past)
                if error.code != "context_length_exceeded" or not gone:
                    raise
                dropped += gone
                continue
            return (f"[Too long to be read: {oldest(dropped)} left out.]\n\n{text}" if dropped else text), usage

    async def _summary(self, asked: Generate, model: Speaker) -> tuple[str, Usage]:
        pieces: list[str] = []
        ended = StepEnded(None)
        async with aclosing(model.stream(asked)) as batches:
            async for batch in batches:
                pieces += [delta.text for delta in batch if isinstance(delta, TextDelta)]
                if isinstance(batch[-1], StepEnded):
                    ended = batch[-1]
        text = "".join(pieces).strip()
        verdict = verdict_of(ended.finish)
        if verdict == "max_output_tokens" and text:
            text += "\n\n[These notes were cut here.]"
        elif not text or verdict != "completed":
            raise ModelError("The model did not write a summary of the conversation.")
        usage = ended.usage
        if usage is None:
            count = partial(self._means.tokens.count, text, self._model)
            usage = counted(await self.count(asked), await asyncio.to_thread(count))
        return text, usage

    def _count(self, text: str) -> int:
        return self._means.tokens.count(text, self._model)

    def _tokens(self, wanted: Generate) -> int:
        return body_tokens(chat_body(wanted, self._dialect), self._count)

    def _measured(self, wanted: Generate) -> Measured:
        bare = replace(wanted.request, instructions=None)
        sizes = tuple(
            messages_tokens(chat_messages(replace(wanted, request=bare, context=group), self._dialect), self._count)
            for group in grouped(wanted.context)
        )
        return Measured(self._tokens(replace(wanted, context=())) + sum(sizes), sizes)
