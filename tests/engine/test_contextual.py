"""Contextual chunking: a line of a model for every chunk, each asked for once, or no chunks at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.lines import SqliteLines
from antiphon.adapters.models.scripted import Script, Scripted
from antiphon.core.chunking import Chunk
from antiphon.core.deltas import Delta, StepEnded, TextDelta
from antiphon.core.effects import Generate
from antiphon.engine.catalog import Catalog
from antiphon.engine.contextual import CHUNK, DOCUMENT, EXCERPT, PARALLEL, Contextual, excerpt, prompt
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError, RateLimitError
from antiphon.wire.items import Message
from antiphon.wire.vector_stores import ContextualOptions

DEADLINE = 10.0
ASKED = ContextualOptions(model="writer")
TEXT = "Tides. The mill turns. The miller sleeps. The sea comes back."


class Writer(Scripted):
    """Writes `about ` and the chunk, after the failures that a test wants."""

    def __init__(self) -> None:
        super().__init__(Script((), models=("writer",)))
        self.prompts: list[str] = []
        self.faults: list[AntiphonError] = []
        self.silent = False
        self.running = self.most = 0

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        (entry,) = wanted.context
        assert isinstance(entry.item, Message)
        text = "".join(getattr(part, "text", "") for part in entry.item.content)
        self.prompts.append(text)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if self.faults:
                raise self.faults.pop(0)
            said = "" if self.silent else text.split("<passage>\n")[1].split("\n</passage>")[0]
            yield [TextDelta(said and "about\n"), TextDelta(said)]
            yield [StepEnded("stop")]
        finally:
            self.running -= 1


class Desk:
    def __init__(self, writer: Writer, contextual: Contextual, waits: list[float]) -> None:
        self.writer = writer
        self.contextual = contextual
        self.waits = waits

    async def written(self, *places: int, options: ContextualOptions = ASKED, project: str = "p") -> list[str]:
        chunks = [Chunk(position=place, text=f"chunk {place}", start=0, end=1) for place in places]
        async with asyncio.timeout(DEADLINE):
            written = await self.contextual.written(project, TEXT, chunks, options)
        assert [chunk.position for chunk in written] == list(places)
        return [chunk.context for chunk in written]


@asynccontextmanager
async def desk(folder: Path, *, model: str | None = None, most: int = 100) -> AsyncGenerator[Desk]:
    clock = SeededClock()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    writer = Writer()
    contextual = Contextual(Catalog({"test": writer}, clock), SqliteLines(clock, folder, most=most), model, sleep=sleep)
    yield Desk(writer, contextual, waits)
    await contextual.close()


async def test_every_chunk_gets_its_line(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        assert await one.written(*range(9)) == [f"about chunk {place}" for place in range(9)]
        assert len(one.writer.prompts) == 9
        assert one.writer.most == PARALLEL
        assert all(TEXT in asked for asked in one.writer.prompts)


async def test_a_line_is_asked_for_once_also_after_a_restart(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        await one.written(0, 1)
    async with desk(tmp_path) as other:
        assert await other.written(0, 1, 2) == ["about chunk 0", "about chunk 1", "about chunk 2"]
        assert len(other.writer.prompts) == 1
        await other.written(0, project="q")
        await other.written(0, options=ContextualOptions(model="writer", context_prompt="Why?"))
        await other.written(0, options=ContextualOptions(model="test/writer"))
        assert len(other.writer.prompts) == 4


async def test_the_oldest_lines_go_first(tmp_path: Path) -> None:
    async with desk(tmp_path, most=2) as one:
        for place in range(3):
            await one.written(place)
        await one.written(1, 2)
        assert len(one.writer.prompts) == 3
        await one.written(0)
        assert len(one.writer.prompts) == 4


async def test_a_model_that_fails_in_passing_is_asked_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        one.writer.faults = [ModelError("down"), RateLimitError("slow", retry_after=9.0), RateLimitError("slow")]
        assert await one.written(0) == ["about chunk 0"]
        assert one.waits == [1.0, 9.0, 15.0]


@pytest.mark.parametrize(
    ("faults", "tries"),
    [
        ([ModelError("down")] * 9, 4),
        ([RateLimitError("no money", code="insufficient_quota")], 1),
        ([InvalidRequestError("too long")], 1),
    ],
)
async def test_without_a_line_there_are_no_chunks(faults: list[AntiphonError], tries: int, tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        one.writer.faults = list(faults)
        with pytest.raises(type(faults[0])):
            await one.written(0)
        assert len(one.writer.prompts) == tries


async def test_one_failure_stops_the_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        one.writer.faults = [InvalidRequestError("no")]
        with pytest.raises(InvalidRequestError):
            await one.written(*range(50))
        assert one.writer.running == 0
        assert len(one.writer.prompts) < 50


async def test_a_model_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    async with desk(tmp_path) as one:
        one.writer.silent = True
        with pytest.raises(ModelError, match="wrote no context"):
            await one.written(0)


async def test_the_model_is_that_of_the_options_or_of_the_settings(tmp_path: Path) -> None:
    async with desk(tmp_path, model="writer") as one:
        assert (await one.contextual.settle(ContextualOptions())).model == "writer"
        assert (await one.contextual.settle(ContextualOptions(model="test/writer"))).model == "test/writer"
        assert await one.contextual.settle(ContextualOptions(model_id="test/writer")) == ContextualOptions(
            model="test/writer"
        )
        assert await one.written(0, options=ContextualOptions()) == ["about chunk 0"]
    async with desk(tmp_path) as one:
        for options in (ContextualOptions(), ContextualOptions(model="unknown")):
            with pytest.raises(InvalidRequestError) as caught:
                await one.contextual.settle(options)
            assert caught.value.param == "chunking_strategy.contextual.model"


def chunk(text: str, start: int, end: int) -> Chunk:
    return Chunk(position=0, text=text[start:end], start=start, end=end)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (f"{CHUNK} in {DOCUMENT}", "{{WHOLE_DOCUMENT}} in a{{CHUNK_CONTENT}}{{WHOLE_DOCUMENT}}"),
        (
            "What?",
            "<document>\na{{CHUNK_CONTENT}}{{WHOLE_DOCUMENT}}\n</document>\n\nWhat?\n\n<passage>\n{{WHOLE_DOCUMENT}}\n</passage>",
        ),
    ],
)
def test_a_prompt_of_the_client_holds_document_and_chunk(given: str, asked: str) -> None:
    text = f"a{CHUNK}{DOCUMENT}"
    part = chunk(text, len(text) - len(DOCUMENT), len(text))
    assert prompt(text, part, ContextualOptions(context_prompt=given)) == asked


@pytest.mark.parametrize("start", [0, 3000, 5000, 40_000, 96_000, 99_000])
def test_of_a_long_document_the_model_gets_what_is_around_the_chunk(start: int) -> None:
    text = "".join(f"{place:06d} " for place in range(100_000 // 7))
    part = chunk(text, start, start + 900)
    given: Any = excerpt(text, part)
    assert len(given) <= EXCERPT + 20
    assert given.startswith(text[:4000])
    assert part.text in given
    assert excerpt("short", part) == "short"
