"""Batches, retries and the choice of the embedder."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from contextlib import aclosing
from itertools import chain
from typing import Any, Literal

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Script, Scripted
from antiphon.adapters.tokens import BpeTokens
from antiphon.core.vectors import Vectors
from antiphon.engine.catalog import Catalog, Served
from antiphon.engine.embedding import Embeddings, Policy, Sources, Space
from antiphon.ports.embedder import Embedder, EmbedderError
from antiphon.wire.errors import InvalidRequestError

DEADLINE = 10.0
TOKENS = BpeTokens()


class Numbers:
    """Gives each text the vector (its first number, 1): what was asked, and what goes wrong first."""

    model = "numbers"
    most_texts = 4
    most_tokens = 1000

    def __init__(self, dimension: int | None = 2, width: int = 2) -> None:
        self.dimension = dimension
        self.width = width
        self.asked: list[list[str]] = []
        self.uses: list[str] = []
        self.faults: list[EmbedderError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = self.most = self.cancelled = 0
        self.closed = False
        self._changed = asyncio.Condition()

    async def busy(self, calls: int) -> None:
        """Return once so many calls are in flight."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.running >= calls)

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        self.asked.append(list(texts))
        self.uses.append(use)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self._changed:
                self._changed.notify_all()
            await self.gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.faults:
            raise self.faults.pop(0)
        rows = [struct.pack(f"<{self.width}f", float(text.split()[0]), *[1.0] * (self.width - 1)) for text in texts]
        return Vectors(self.width, b"".join(rows))

    async def close(self) -> None:
        self.closed = True


class Desk:
    """Embeddings over `Numbers`, with a clock that goes on when they wait."""

    def __init__(self, own: Numbers | None = None, **policy: Any) -> None:
        self.clock = SeededClock(tick=0.0)
        self.waits: list[float] = []
        self.own = own
        self.far = Numbers()
        self.served: list[tuple[str, int | None]] = []
        catalog = Catalog({"test": Scripted(Script(()))}, self.clock)
        self.embeddings = Embeddings(
            Sources(own, catalog, self.over), TOKENS, self.clock, policy=Policy(**policy), sleep=self.sleep
        )

    def over(self, served: Served, dimension: int | None) -> Embedder:
        self.served.append((served.name, dimension))
        return self.far

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    async def embedded(self, texts: Sequence[str], space: Space | None = None) -> list[list[float]]:
        """The first numbers, by batch."""
        found: list[list[float]] = []
        async with asyncio.timeout(DEADLINE):
            async with aclosing(self.embeddings.embedded(space or Space("numbers"), texts)) as batches:
                async for vectors in batches:
                    numbers = struct.unpack(f"<{len(vectors) * vectors.dimension}f", vectors.packed)
                    found.append(list(numbers[:: vectors.dimension]))
        return found


def texts(count: int, words: int = 1) -> list[str]:
    return [f"{number} " + "word " * words for number in range(count)]


async def test_vectors_come_in_order_and_in_batches() -> None:
    own = Numbers()
    found = await Desk(own).embedded(texts(10))
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert set(own.uses) == {"document"}


async def test_batches_hold_no_more_tokens_than_the_embedder_takes() -> None:
    own = Numbers()
    await Desk(own).embedded([*texts(2, 400), *texts(1, 3000), *texts(3, 450)])
    assert [len(batch) for batch in own.asked] == [2, 1, 2, 1]


async def test_no_texts_have_no_vectors() -> None:
    assert await Desk(Numbers()).embedded([]) == []


async def test_calls_run_side_by_side_and_no_more_than_allowed() -> None:
    own = Numbers()
    desk = Desk(own, parallel=3, calls=5)
    found = await asyncio.gather(*(desk.embedded(texts(40)) for _ in range(4)))
    assert all(list(chain(*one)) == list(range(40)) for one in found)
    assert own.most == 5
    alone = Numbers()
    await Desk(alone, parallel=3, calls=5).embedded(texts(40))
    assert alone.most == 3


async def test_who_stops_reading_stops_the_calls() -> None:
    own = Numbers()
    own.gate.clear()
    desk = Desk(own, parallel=3)
    batches = desk.embeddings.embedded(Space("numbers"), texts(40))
    reading = asyncio.ensure_future(anext(batches))
    async with asyncio.timeout(DEADLINE):
        await own.busy(3)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await batches.aclose()
    assert (own.running, own.cancelled) == (0, 3)


async def test_a_passing_failure_is_tried_again_later_and_later() -> None:
    own = Numbers()
    own.faults = [EmbedderError("busy") for _ in range(3)]
    desk = Desk(own, first=1.0, longest=2.0)
    assert await desk.embedded(texts(1)) == [[0]]
    assert desk.waits == [1.0, 2.0, 2.0]


async def test_what_the_embedder_asks_for_is_waited() -> None:
    own = Numbers()
    own.faults = [EmbedderError("slow down", retry_after=17.0)]
    desk = Desk(own, first=1.0)
    await desk.embedded(texts(1))
    assert desk.waits == [17.0]


async def test_tries_end_at_the_deadline() -> None:
    own = Numbers()
    own.faults = [EmbedderError("busy") for _ in range(100)]
    desk = Desk(own, document=10.0, query=2.0, first=1.0, longest=4.0)
    with pytest.raises(EmbedderError, match="busy"):
        await desk.embedded(texts(1))
    assert desk.waits == [1.0, 2.0, 4.0]
    with pytest.raises(EmbedderError, match="busy"):
        await desk.embeddings.query(Space("numbers"), "1")
    assert desk.waits[3:] == [1.0]
    own.faults = [EmbedderError("slow down", retry_after=60.0)]
    with pytest.raises(EmbedderError, match="slow down"):
        await desk.embedded(texts(1))
    assert len(desk.waits) == 4


async def test_a_failure_that_lasts_is_not_tried_again() -> None:
    own = Numbers()
    own.faults = [EmbedderError("wrong", transient=False)]
    desk = Desk(own)
    with pytest.raises(EmbedderError, match="wrong"):
        await desk.embedded(texts(9))
    assert not desk.waits
    assert own.running == 0


async def test_vectors_of_another_dimension_are_refused() -> None:
    with pytest.raises(EmbedderError, match="2 dimensions where 3 are kept") as caught:
        await Desk(Numbers()).embedded(texts(1), Space("numbers", 3))
    assert not caught.value.transient
    with pytest.raises(EmbedderError, match="2 dimensions"):
        await Desk(Numbers()).embeddings.query(Space("numbers", 3), "1")


async def test_too_few_vectors_are_refused() -> None:
    own = Numbers(width=4)
    desk = Desk(own)
    own.width = 2
    original = own.embed

    class Short(Numbers):
        async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
            return await original(texts[1:], use)

    with pytest.raises(EmbedderError, match="1 vectors for 2 texts"):
        await Desk(Short()).embedded(texts(2))
    assert await desk.embedded(texts(2)) == [[0, 1]]


async def test_queries_are_remembered_until_there_are_too_many() -> None:
    own = Numbers()
    desk = Desk(own, kept=2)
    for text in ("1", "2", "1", "3", "1", "2"):
        await desk.embeddings.query(Space("numbers", 2), text)
    assert [batch[0] for batch in own.asked] == ["1", "2", "3", "2"]
    assert set(own.uses) == {"query"}
    await desk.embeddings.query(Space("numbers"), "1")
    await desk.embeddings.query(Space("numbers"), "1 " * 4000)
    await desk.embeddings.query(Space("numbers"), "1 " * 4000)
    assert len(own.asked) == 7


async def test_a_query_is_not_waited_for_without_end() -> None:
    own = Numbers()
    own.gate.clear()
    desk = Desk(own, query_limit=0.01)
    with pytest.raises(EmbedderError, match="in time"):
        await desk.embeddings.query(Space("numbers"), "1")
    assert own.cancelled == 1


async def test_queries_do_not_wait_for_documents() -> None:
    own = Numbers()
    own.gate.clear()
    desk = Desk(own, calls=1)
    documents = asyncio.ensure_future(desk.embedded(texts(1)))
    async with asyncio.timeout(DEADLINE):
        await own.busy(1)
        query = asyncio.ensure_future(desk.embeddings.query(Space("numbers"), "7"))
        await own.busy(2)
        own.gate.set()
        await asyncio.gather(documents, query)


# which embedder


@pytest.mark.parametrize(
    ("name", "dimension", "space"),
    [
        (None, None, Space("numbers", 2)),
        (None, 2, Space("numbers", 2)),
        ("numbers", None, Space("numbers", 2)),
        ("publisher/numbers", None, Space("publisher/numbers", 2)),
        ("scripted", None, Space("scripted")),
        ("test/scripted", 8, Space("test/scripted", 8)),
    ],
)
async def test_a_store_gets_what_was_asked_for(name: str | None, dimension: int | None, space: Space) -> None:
    assert await Desk(Numbers()).embeddings.settle(name, dimension) == space


@pytest.mark.parametrize(
    ("own", "name", "dimension", "param"),
    [
        (True, "unknown", None, "embedding_model"),
        (True, None, 3, "embedding_dimension"),
        (True, "numbers", 3, "embedding_dimension"),
        (False, "numbers", None, "embedding_model"),
        (False, None, 3, "embedding_dimension"),
    ],
)
async def test_what_cannot_be_is_refused(own: bool, name: str | None, dimension: int | None, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await Desk(Numbers() if own else None).embeddings.settle(name, dimension)
    assert caught.value.param == param


async def test_without_an_embedder_a_store_has_no_vectors() -> None:
    desk = Desk()
    assert await desk.embeddings.settle(None, None) is None
    with pytest.raises(EmbedderError, match="not served"):
        await desk.embedded(texts(1))
    await desk.embeddings.close()


async def test_a_dimension_that_is_not_known_yet_may_be_asked_for() -> None:
    assert await Desk(Numbers(dimension=None)).embeddings.settle(None, 7) == Space("numbers", 7)


async def test_a_name_of_the_catalog_is_embedded_by_its_endpoint() -> None:
    desk = Desk(Numbers())
    await desk.embedded(texts(1), Space("test/scripted", 2))
    await desk.embeddings.query(Space("scripted", 2), "1")
    assert desk.served == [("scripted", 2), ("scripted", 2)]
    assert desk.far.uses == ["document", "query"]
    await desk.embedded(texts(1), Space("publisher/numbers", 2))
    assert len(desk.served) == 2


async def test_closing_closes_the_configured_embedder() -> None:
    own = Numbers()
    await Desk(own).embeddings.close()
    assert own.closed
