"""The built-in model: it has no weights and writes nothing of its own. It calls tools that fit the request, and answers
with sentences that stand in the conversation or in what tools found, word for word.

Deterministic: the same conversation gets the same answer. What is read is bounded (`core.sentences`), so that a
megabyte of text is answered within a second.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from hashlib import blake2b
from typing import Final

from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.relay import relayed
from antiphon.core.answers import answer_of
from antiphon.core.calling import Saying, called
from antiphon.core.deltas import CallDelta, Delta, StepEnded, TextDelta
from antiphon.core.effects import Generate
from antiphon.core.extraction import instance
from antiphon.core.reading import view
from antiphon.core.usage import counted, estimate
from antiphon.ports.clock import Clock
from antiphon.ports.model import unserved
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.models import Model as ModelCard
from antiphon.wire.responses import JsonObjectFormat, JsonSchemaFormat

MODEL: Final = "antiphon-extractive"
BATCH: Final = 8
"""Words that travel together."""


class Extractive:
    """The model port over nothing but the conversation itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def models(self) -> Sequence[ModelCard]:
        """The one model."""
        return [ModelCard(id=MODEL, owned_by="antiphon")]

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Decide, then say it word by word; see the port."""
        said = await asyncio.to_thread(decide, wanted)
        whole = said.arguments or said.text
        pieces = list(_limited(_pieces(whole), wanted.max_output_tokens))
        for start in range(0, len(pieces), BATCH):
            batch = pieces[start : start + BATCH]
            if said.name:
                opening = start == 0
                call_id = _call_id(wanted, said) if opening else None
                first = CallDelta(0, call_id, said.name if opening else None, batch[0])
                yield [first, *(CallDelta(0, arguments=piece) for piece in batch[1:])]
            else:
                yield [TextDelta(piece) for piece in batch]
            await asyncio.sleep(0)  # others run between batches
        spoken = "".join(pieces)
        finish = "length" if spoken != whole else "tool_calls" if said.name else "stop"
        yield [StepEnded(finish, counted(_input_tokens(wanted), estimate(spoken)))]

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """The same as a chat completion."""
        return relayed(self.stream, request, self._clock)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Not served."""
        raise unserved(request.model, "completions")

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """Not served."""
        raise unserved(request.model, "embeddings")

    async def close(self) -> None:
        """Nothing is held."""


def make(config: Plain, parts: Parts) -> Extractive:
    """The adapter of kind `extractive`."""
    del config
    return Extractive(parts.clock)


def decide(wanted: Generate) -> Saying:
    """What is said to this conversation."""
    seen = view(wanted)
    if (call := called(wanted, seen)) is not None:
        return call
    form = wanted.request.text.format
    if not isinstance(form, JsonSchemaFormat | JsonObjectFormat):
        return Saying(answer_of(seen))
    text = "\n".join([seen.question, *(result.output for result in seen.results), *(one.text for one in seen.texts)])
    answer = answer_of(seen)
    filled = {"answer": answer} if isinstance(form, JsonObjectFormat) else instance(form.schema, text, answer)
    return Saying(json.dumps(filled, ensure_ascii=False))


def _pieces(text: str) -> list[str]:
    """The words, each with the white space behind it."""
    return re.findall(r"\S+\s*|\s+", text)


def _limited(pieces: Sequence[str], most: int | None) -> Iterator[str]:
    """The pieces up to a number of tokens. The piece that would pass it ends the text."""
    spent = 0
    for piece in pieces:
        spent += len(piece.encode("utf-8", "surrogatepass"))
        if most is not None and spent > 4 * most:  # as `estimate` counts
            return
        yield piece


def _call_id(wanted: Generate, said: Saying) -> str:
    """The id of a call: another one for every call of a conversation, the same for the same conversation."""
    asked = f"{len(wanted.context)} {said.name} {said.arguments}".encode()
    return f"call_{blake2b(asked, digest_size=12).hexdigest()}"


def _input_tokens(wanted: Generate) -> int:
    count = estimate(wanted.request.instructions or "")
    for entry in wanted.context:
        if entry.exchange is not None:
            count += estimate(entry.exchange.arguments) + estimate(entry.exchange.output)
        elif entry.item is not None:
            count += estimate(encode(entry.item).decode())
    return count
