"""Contextual chunking: a model writes a line for each chunk that says what it is about within its document.

The line is searched with the chunk. A chunk whose line cannot be had fails the file: nothing is indexed without. Lines
are kept, so that a file that is ingested again asks only for what is missing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Final

import msgspec

from antiphon.core.chunking import Chunk
from antiphon.core.deltas import TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.engine.catalog import Catalog, Served, UnknownModelError
from antiphon.ports.lines import Lines
from antiphon.wire.content import InputText
from antiphon.wire.errors import InvalidRequestError, ModelError, RateLimitError
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse
from antiphon.wire.vector_stores import ContextualOptions

DOCUMENT: Final = "{{WHOLE_DOCUMENT}}"
CHUNK: Final = "{{CHUNK_CONTENT}}"
PROMPT: Final = (
    f"<document>\n{DOCUMENT}\n</document>\n\n<passage>\n{CHUNK}\n</passage>\n\n"
    "The passage is a part of the document. Write one sentence that says where in the document it stands and what it "
    "is about, with the names that it leaves out, so that a search finds it. Answer with this sentence alone, in the "
    "language of the passage."
)
_MARK: Final = re.compile(f"{re.escape(DOCUMENT)}|{re.escape(CHUNK)}")
EXCERPT: Final = 12_000
"""Characters of the document that the model gets: its beginning, and what is around the chunk."""
MOST_TOKENS: Final = 256
LONGEST: Final = 1000
"""Characters of a line."""
PARALLEL: Final = 4
"""Models' answers that one file waits for at once."""
CALLS: Final = 8
"""As `PARALLEL`, over all files of this process."""
PAUSES: Final = (1.0, 4.0, 15.0)
"""Seconds before another try of a call that failed in passing."""


class Contextual:
    """Writes the lines. `model`: for strategies that name none; None: those are refused."""

    def __init__(
        self,
        catalog: Catalog,
        lines: Lines,
        model: str | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._catalog = catalog
        self._lines = lines
        self._model = model
        self._sleep = sleep
        self._calls = asyncio.Semaphore(CALLS)

    async def settle(self, options: ContextualOptions) -> ContextualOptions:
        """The options with the model that will be asked; InvalidRequestError when there is none of this name."""
        name = options.model or options.model_id or self._model
        param = "chunking_strategy.contextual.model"
        if name is None:
            raise InvalidRequestError("Contextual chunking needs a model: name one.", param=param)
        try:
            await self._catalog.resolve(name)
        except UnknownModelError as error:
            raise InvalidRequestError(error.message, param=param, code="model_not_found") from None
        return msgspec.structs.replace(options, model=name, model_id=msgspec.UNSET)

    async def written(
        self, project: str, text: str, chunks: Sequence[Chunk], options: ContextualOptions
    ) -> list[Chunk]:
        """The chunks of this text with their lines. Raises AntiphonError when one of them cannot be had."""
        options = await self.settle(options)
        keys = [_key(text, chunk, options) for chunk in chunks]
        known = await self._lines.known(project, keys)
        missing = {key: chunk for key, chunk in zip(keys, chunks, strict=True) if key not in known}
        served = await self._catalog.resolve(options.model or "")
        waiting = iter(missing.items())

        async def work() -> None:
            for key, chunk in waiting:
                known[key] = await self._written(served, prompt(text, chunk, options))
                await self._lines.keep(project, key, known[key])

        workers = [asyncio.create_task(work()) for _ in range(min(PARALLEL, len(missing)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [msgspec.structs.replace(chunk, context=known[key]) for key, chunk in zip(keys, chunks, strict=True)]

    async def close(self) -> None:
        """Close what the lines are kept in."""
        await self._lines.close()

    async def _written(self, served: Served, asked: str) -> str:
        async with self._calls:
            for pause in PAUSES:
                try:
                    return await _answer(served, asked)
                except (ModelError, RateLimitError) as error:
                    if error.code == "insufficient_quota":
                        raise
                    await self._sleep(max(pause, min(error.retry_after or 0.0, PAUSES[-1])))
            return await _answer(served, asked)


def prompt(text: str, chunk: Chunk, options: ContextualOptions) -> str:
    """What the model is asked for a chunk. What the options say stands for ours; the document and the chunk come where
    it has their marks, else in front of it."""
    wanted = options.context_prompt or PROMPT
    if DOCUMENT not in wanted:
        wanted = f"<document>\n{DOCUMENT}\n</document>\n\n{wanted}"
    if CHUNK not in wanted:
        wanted = f"{wanted}\n\n<passage>\n{CHUNK}\n</passage>"
    texts = {DOCUMENT: excerpt(text, chunk), CHUNK: chunk.text}
    return _MARK.sub(lambda found: texts[found[0]], wanted)


def excerpt(text: str, chunk: Chunk) -> str:
    """The document, or where it is too long its beginning and what is around the chunk; what is left out is marked."""
    if len(text) <= EXCERPT:
        return text
    half = EXCERPT // 3
    start = min(max(chunk.start - half, half), max(len(text) - 2 * half, half))
    end = min(start + 2 * half, len(text))
    cut = "" if start == half else "\n[...]\n"
    return f"{text[:half]}{cut}{text[start:end]}" + ("\n[...]" if end < len(text) else "")


async def _answer(served: Served, asked: str) -> str:
    """One line; ModelError when the model says nothing."""
    wanted = Generate(
        model=served.name,
        request=CreateResponse(model=served.name),
        context=(Entry(Message(role="user", content=(InputText(text=asked),))),),
        max_output_tokens=MOST_TOKENS,
    )
    pieces: list[str] = []
    async with aclosing(served.model.stream(wanted)) as batches:
        async for batch in batches:
            pieces += [delta.text for delta in batch if isinstance(delta, TextDelta)]
    line = " ".join("".join(pieces).split())[:LONGEST]
    if not line:
        raise ModelError(f"The model '{served.card.id}' wrote no context for a chunk.")
    return line


def _key(text: str, chunk: Chunk, options: ContextualOptions) -> bytes:
    """All that a line depends on."""
    return sha256(f"{options.model}\n{prompt(text, chunk, options)}".encode("utf-8", "surrogatepass")).digest()
